#include "results/trial_query.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"

enum { WORD_SIZE = 256 };
enum operation { EQUAL, NOT_EQUAL, LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, CONTAINS };

struct clause {
    size_t column;
    enum operation operation;
    char value[WORD_SIZE];
};

enum status trial_list_create(size_t columns, const char *const *names, size_t rows, const char *const *cells,
                              struct trial_list *list, struct error *err) {
    *list = (struct trial_list){.columns = columns, .rows = rows, .names = names, .cells = cells, .count = rows};
    list->order = malloc((rows + 1) * sizeof *list->order);
    if (!list->order)
        return error_memory(err, "a list of trials");
    for (size_t i = 0; i < rows; i++)
        list->order[i] = i;
    return STATUS_OK;
}

void trial_list_free(struct trial_list *list) {
    free(list->order);
    *list = (struct trial_list){0};
}

static enum status find_column(const struct trial_list *list, const char *key, size_t *column, struct error *err) {
    for (*column = 0; *column < list->columns; ++*column)
        if (strcmp(list->names[*column], key) == 0)
            return STATUS_OK;
    return error_set(err, STATUS_INVALID, "trials have no column '%s'; the nearest is '%s'", key,
                     text_nearest(key, list->names, list->columns));
}

static bool number_of(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end;
}

static int compare(const char *a, const char *b) {
    double x, y;
    if (number_of(a, &x) && number_of(b, &y))
        return (x > y) - (x < y);
    return strcmp(a, b);
}

// ---- filter ----

static const char *skip_spaces(const char *at) {
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

static enum status wrong(const char *expression, const char *at, const char *wanted, struct error *err) {
    return error_set(err, STATUS_INVALID,
                     "--filter \"%s\": %s is wanted at '%s' (status = done and best_iou > 0.5, say)", expression,
                     wanted, at);
}

static enum status parse_key(const struct trial_list *list, const char *expression, const char **at,
                             struct clause *clause, struct error *err) {
    char key[WORD_SIZE];
    *at = skip_spaces(*at);
    size_t length = strcspn(*at, " \t=!<>~");
    if (length == 0 || length >= sizeof key)
        return wrong(expression, *at, "the name of a column", err);
    snprintf(key, sizeof key, "%.*s", (int)length, *at);
    *at = skip_spaces(*at + length);
    return find_column(list, key, &clause->column, err);
}

static enum status parse_operation(const char *expression, const char **at, struct clause *clause, struct error *err) {
    static const struct {
        const char *text;
        enum operation operation;
    } operations[] = {{"==", EQUAL}, {"!=", NOT_EQUAL}, {"<=", LESS_OR_EQUAL}, {">=", GREATER_OR_EQUAL},
                      {"=", EQUAL},  {"<", LESS},       {">", GREATER},        {"~", CONTAINS}};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        size_t length = strlen(operations[i].text);
        if (strncmp(*at, operations[i].text, length) != 0)
            continue;
        clause->operation = operations[i].operation;
        *at = skip_spaces(*at + length);
        return STATUS_OK;
    }
    return wrong(expression, *at, "one of = != < <= > >= ~", err);
}

// Up to the word "and" or the end, without the spaces around; or what stands in quotes.
static enum status parse_value(const char *expression, const char **at, struct clause *clause, bool *more,
                               struct error *err) {
    size_t length = 0;
    bool quoted = **at == '"';
    if (quoted) {
        ++*at;
        length = strcspn(*at, "\"");
        if (!(*at)[length])
            return wrong(expression, *at, "a closing quote", err);
    } else {
        const char *end = strstr(*at, " and ");
        length = end ? (size_t)(end - *at) : strlen(*at);
        while (length > 0 && isspace((unsigned char)(*at)[length - 1]))
            length--;
    }
    if (length >= sizeof clause->value || (length == 0 && !quoted))
        return wrong(expression, *at, "a value", err);
    snprintf(clause->value, sizeof clause->value, "%.*s", (int)length, *at);
    *at = skip_spaces(*at + length + (quoted ? 1 : 0));
    if (**at && strncmp(*at, "and ", 4) != 0)
        return wrong(expression, *at, "'and' or the end", err);
    *more = **at != 0;
    *at += *more ? 4 : 0;
    return STATUS_OK;
}

static bool holds(const struct clause *clause, const char *cell) {
    int order = compare(cell, clause->value);
    switch (clause->operation) {
    case EQUAL:
        return order == 0;
    case NOT_EQUAL:
        return order != 0;
    case CONTAINS:
        return strstr(cell, clause->value) != NULL;
    default:
        break;
    }
    if (!*cell)
        return false;
    return clause->operation == LESS            ? order < 0
           : clause->operation == LESS_OR_EQUAL ? order <= 0
           : clause->operation == GREATER       ? order > 0
                                                : order >= 0;
}

enum status trial_list_filter(struct trial_list *list, const char *expression, struct error *err) {
    const char *at = expression;
    bool more = true;
    while (more) {
        struct clause clause;
        size_t kept = 0;
        TRY(parse_key(list, expression, &at, &clause, err));
        TRY(parse_operation(expression, &at, &clause, err));
        TRY(parse_value(expression, &at, &clause, &more, err));
        for (size_t i = 0; i < list->count; i++)
            if (holds(&clause, list->cells[list->order[i] * list->columns + clause.column]))
                list->order[kept++] = list->order[i];
        list->count = kept;
    }
    return STATUS_OK;
}

// ---- sort ----

struct sorting {
    const struct trial_list *list;
    size_t column;
    bool descending;
};

static int compare_rows(const void *a, const void *b, void *context) {
    const struct sorting *s = context;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const char *p = s->list->cells[x * s->list->columns + s->column],
               *q = s->list->cells[y * s->list->columns + s->column];
    if (!*p || !*q)
        return *p ? -1 : *q ? 1 : (x > y) - (x < y);
    int order = compare(p, q);
    if (order == 0)
        return (x > y) - (x < y); // qsort is not stable by itself
    return s->descending ? -order : order;
}

enum status trial_list_sort(struct trial_list *list, const char *key, struct error *err) {
    struct sorting s = {.list = list, .descending = *key == '-'};
    TRY(find_column(list, key + s.descending, &s.column, err));
    qsort_r(list->order, list->count, sizeof *list->order, compare_rows, &s);
    return STATUS_OK;
}
