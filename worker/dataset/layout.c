#include "worker/dataset/layout.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_YEAR = 2018, LAST_YEAR = 2024 };

void layout_default(struct layout *layout) {
    static const char *const names[] = {"blue",     "green", "red",   "rededge1", "rededge2",
                                        "rededge3", "nir",   "swir1", "swir2"};
    *layout = (struct layout){.bands = sizeof names / sizeof names[0]};
    for (int i = 0; i < layout->bands; i++)
        snprintf(layout->band[i], sizeof layout->band[i], "%s", names[i]);
    for (int year = FIRST_YEAR; year <= LAST_YEAR; year++)
        for (int quarter = 2; quarter <= 3; quarter++)
            layout->step[layout->steps++] = (struct timestep){year, quarter};
}

// Cuts the next item off a comma-separated list, without the blanks around it; its length, or -1 at the end.
static int next_item(const char **text, const char **item) {
    const char *p = *text;
    if (!p)
        return -1;
    const char *comma = strchr(p, ','), *end = comma ? comma : p + strlen(p);
    *text = comma ? comma + 1 : NULL;
    while (p < end && isspace((unsigned char)*p))
        p++;
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    *item = p;
    return (int)(end - p);
}

static bool is_name(const char *item, int length) {
    for (int i = 0; i < length; i++)
        if (!isalnum((unsigned char)item[i]) && !strchr("_-.", item[i]))
            return false;
    return length > 0 && length < DATASET_NAME_SIZE;
}

enum status layout_parse_bands(struct layout *layout, const char *text, struct error *err) {
    const char *item;
    layout->bands = 0;
    for (int length; (length = next_item(&text, &item)) >= 0;) {
        if (!is_name(item, length))
            return error_set(err, STATUS_INVALID,
                             "band '%.*s' is not a name (1 to %d letters, digits, '_', '-' or '.')", length, item,
                             DATASET_NAME_SIZE - 1);
        if (layout->bands == DATASET_MAX_BANDS)
            return error_set(err, STATUS_INVALID, "more than %d bands", DATASET_MAX_BANDS);
        char *name = layout->band[layout->bands];
        snprintf(name, DATASET_NAME_SIZE, "%.*s", length, item);
        for (int i = 0; i < layout->bands; i++)
            if (strcmp(layout->band[i], name) == 0)
                return error_set(err, STATUS_INVALID, "band '%s' is named twice", name);
        layout->bands++;
    }
    return STATUS_OK;
}

static bool parse_step(const char *item, int length, struct timestep *step) {
    bool with_quarter = length == 7;
    if (!with_quarter && length != 4)
        return false;
    *step = (struct timestep){0, 0};
    for (int i = 0; i < 4; i++) {
        if (!isdigit((unsigned char)item[i]))
            return false;
        step->year = step->year * 10 + item[i] - '0';
    }
    if (!with_quarter)
        return true;
    step->quarter = item[6] - '0';
    return item[4] == '-' && item[5] == 'Q' && step->quarter >= 1 && step->quarter <= 4;
}

enum status layout_parse_steps(struct layout *layout, const char *text, struct error *err) {
    const char *item;
    layout->steps = 0;
    for (int length; (length = next_item(&text, &item)) >= 0;) {
        struct timestep step;
        if (!parse_step(item, length, &step))
            return error_set(err, STATUS_INVALID, "step '%.*s' is neither a quarter (2018-Q2) nor a year (2017)",
                             length, item);
        if (layout->steps == DATASET_MAX_STEPS)
            return error_set(err, STATUS_INVALID, "more than %d steps", DATASET_MAX_STEPS);
        if (layout->steps > 0) {
            struct timestep last = layout->step[layout->steps - 1];
            if (step.year < last.year || (step.year == last.year && step.quarter <= last.quarter))
                return error_set(err, STATUS_INVALID, "step '%.*s' does not follow the one before it in time", length,
                                 item);
        }
        layout->step[layout->steps++] = step;
    }
    return STATUS_OK;
}

void timestep_text(struct timestep step, char out[TIMESTEP_TEXT_SIZE]) {
    if (step.quarter)
        snprintf(out, TIMESTEP_TEXT_SIZE, "%04d-Q%d", step.year % 10000, step.quarter % 10);
    else
        snprintf(out, TIMESTEP_TEXT_SIZE, "%04d", step.year % 10000);
}

void layout_bands_text(const struct layout *layout, char out[LAYOUT_TEXT_SIZE]) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < layout->bands; i++)
        used += (size_t)snprintf(out + used, LAYOUT_TEXT_SIZE - used, "%s%s", i ? ", " : "", layout->band[i]);
}

void layout_steps_text(const struct layout *layout, char out[LAYOUT_TEXT_SIZE]) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < layout->steps; i++) {
        char step[TIMESTEP_TEXT_SIZE];
        timestep_text(layout->step[i], step);
        used += (size_t)snprintf(out + used, LAYOUT_TEXT_SIZE - used, "%s%s", i ? ", " : "", step);
    }
}
