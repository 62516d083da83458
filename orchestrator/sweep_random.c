#include "orchestrator/sweep_random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"

static const char *const kind_names[] = {
    [RANGE_UNIFORM] = "uniform", [RANGE_LOG_UNIFORM] = "log-uniform", [RANGE_INT] = "int", [RANGE_LOG_INT] = "log-int"};

static bool is_whole(const struct sweep_range *range) {
    return range->kind == RANGE_INT || range->kind == RANGE_LOG_INT;
}

// ---- reading and writing ----

static enum range_kind find_kind(const char *text, size_t length) {
    for (enum range_kind kind = RANGE_UNIFORM; kind <= RANGE_LOG_INT; kind++)
        if (strlen(kind_names[kind]) == length && strncmp(kind_names[kind], text, length) == 0)
            return kind;
    return RANGE_NONE;
}

static bool parse_ends(const char *text, struct sweep_range *range) {
    char *end;
    range->low = strtod(text, &end);
    const char *dots = end + strspn(end, " \t");
    if (end == text || strncmp(dots, "..", 2) != 0)
        return false;
    range->high = strtod(dots + 2, &end);
    return end != dots + 2 && end[strspn(end, " \t")] == '\0';
}

static const char *what_is_wrong(const struct sweep_range *range) {
    if (!isfinite(range->low) || !isfinite(range->high) || !(range->low < range->high))
        return "the first number must be smaller than the second";
    if ((range->kind == RANGE_LOG_UNIFORM || range->kind == RANGE_LOG_INT) && range->low <= 0)
        return "a logarithmic range starts above 0";
    if (is_whole(range) && (range->low != floor(range->low) || range->high != floor(range->high)))
        return "the ends must be whole numbers";
    return NULL;
}

static double clamp(double x, const struct sweep_range *range) {
    return x < range->low ? range->low : x > range->high ? range->high : x;
}

// The value at u in [0, 1).
static void range_value(const struct sweep_range *range, double u, char out[HYPER_VALUE_SIZE]) {
    char digits[32];
    double low = range->low, high = range->high, x;
    if (range->kind == RANGE_INT) {
        x = floor(low + u * (high - low + 1));
    } else if (range->kind == RANGE_LOG_INT) { // every whole number has the length of its surroundings
        x = round(exp(log(low - 0.5) + u * (log(high + 0.5) - log(low - 0.5))));
    } else {
        x = range->kind == RANGE_UNIFORM ? low + u * (high - low) : exp(log(low) + u * (log(high) - log(low)));
        snprintf(digits, sizeof digits, "%.4g", x);
        x = strtod(digits, NULL);
    }
    text_of_real(clamp(x, range), out, HYPER_VALUE_SIZE);
}

// Whether the hyperparameter takes the ends and what lies between.
static enum status check_values(struct sweep_reader *r, const struct sweep_ini_entry *e,
                                const struct sweep_axis *axis) {
    static const double at[] = {0, 0.382, 0.99999999};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct hyperparameters hp = r->sweep->base;
        char value[HYPER_VALUE_SIZE];
        range_value(&axis->range, at[i], value);
        if (hyper_set(&hp, axis->hyper, value, r->err) != STATUS_OK) {
            error_prefix(r->err, "%s = %.80s: draws such as this cannot be taken", e->key, e->value);
            return sweep_ini_error_prefix(r->ini, e->line, r->err);
        }
    }
    return STATUS_OK;
}

enum status sweep_read_range(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_axis *axis,
                             bool *found) {
    size_t length = strcspn(e->value, " \t");
    struct sweep_range range = {.kind = find_kind(e->value, length)};
    *found = range.kind != RANGE_NONE && e->value[length];
    if (!*found)
        return STATUS_OK;
    if (!parse_ends(e->value + length, &range))
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: write it as %s LOW .. HIGH", e->key, e->value,
                               kind_names[range.kind]);
    const char *wrong = what_is_wrong(&range);
    if (wrong)
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: %s", e->key, e->value, wrong);
    axis->range = range;
    return check_values(r, e, axis);
}

void sweep_write_range(FILE *f, const struct sweep_range *range) {
    char low[32], high[32];
    text_of_real(range->low, low, sizeof low);
    text_of_real(range->high, high, sizeof high);
    fprintf(f, "%s %s .. %s", kind_names[range->kind], low, high);
}

// ---- points ----

static int axis_values(const struct sweep_axis *axis) {
    return axis->value_count > 0 ? axis->value_count : 1;
}

int sweep_grid_points(const struct sweep_grid *grid) {
    int points = 1;
    for (int i = 0; i < grid->axis_count; i++)
        points *= axis_values(&grid->axes[i]);
    return grid->points > 0 ? grid->points : points;
}

// 32-bit FNV-1a, going on from `hash`.
static uint32_t fnv1a(uint32_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x01000193u;
    return hash;
}

static void draw(const struct sweep *sweep, const struct sweep_grid *grid, const struct sweep_axis *axis, int point,
                 char out[HYPER_VALUE_SIZE]) {
    uint32_t name = fnv1a(fnv1a(fnv1a(0x811c9dc5u, grid->name), "."), program_hyper_key(&sweep->program, axis->hyper));
    struct rng rng = rng_stream(sweep->seed, 0, RNG_SEARCH, (uint32_t)point, name);
    if (axis->range.kind != RANGE_NONE)
        range_value(&axis->range, rng_uniform(&rng), out);
    else
        memcpy(out, axis->values[rng_below(&rng, (uint32_t)axis->value_count)], HYPER_VALUE_SIZE);
}

void sweep_point_value(const struct sweep *sweep, const struct sweep_grid *grid, int axis, int point,
                       char out[HYPER_VALUE_SIZE]) {
    if (grid->points > 0) {
        draw(sweep, grid, &grid->axes[axis], point, out);
        return;
    }
    for (int i = grid->axis_count - 1; i > axis; i--)
        point /= axis_values(&grid->axes[i]);
    memcpy(out, grid->axes[axis].values[point % axis_values(&grid->axes[axis])], HYPER_VALUE_SIZE);
}
