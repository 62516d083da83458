#include "worker/dataset/quality.h"

#include <math.h>
#include <string.h>

// Steps are shown by quarter; a series of whole years by step when it is short, else all in one column.
static int group_of(const struct layout *layout, int step, bool by_step) {
    return by_step ? step : layout->step[step].quarter;
}

static bool shown_by_step(const struct layout *layout) {
    for (int i = 0; i < layout->steps; i++)
        if (layout->step[i].quarter == 0)
            return layout->steps <= QUALITY_GROUPS;
    return false;
}

static void group_name(const struct layout *layout, int group, bool by_step, char out[TIMESTEP_TEXT_SIZE]) {
    if (by_step)
        timestep_text(layout->step[group], out);
    else if (group > 0)
        snprintf(out, TIMESTEP_TEXT_SIZE, "Q%d", group);
    else
        snprintf(out, TIMESTEP_TEXT_SIZE, "years");
}

static void count_group_steps(const struct layout *layout, bool by_step, int steps[QUALITY_GROUPS]) {
    memset(steps, 0, QUALITY_GROUPS * sizeof *steps);
    for (int i = 0; i < layout->steps; i++)
        steps[group_of(layout, i, by_step)]++;
}

void quality_measure(const struct layout *layout, const float *image, const uint8_t *mask, struct quality_row *row) {
    bool by_step = shown_by_step(layout);
    int steps[QUALITY_GROUPS];
    size_t pixels = (size_t)row->height * (size_t)row->width, values = (size_t)layout->bands * pixels, ignored = 0;
    count_group_steps(layout, by_step, steps);
    memset(row->missing, 0, sizeof row->missing);
    for (int t = 0; t < layout->steps; t++) {
        size_t missing = 0;
        for (size_t i = 0; i < values; i++)
            missing += isfinite(image[(size_t)t * values + i]) ? 0 : 1;
        int group = group_of(layout, t, by_step);
        row->missing[group] += (double)missing / (double)values / steps[group];
    }
    for (size_t i = 0; i < pixels; i++)
        ignored += mask[i] == MASK_IGNORE;
    row->ignored = (double)ignored / (double)pixels;
    row->positive = mask_positive_share(mask, pixels);
}

static void print_split(FILE *out, const struct quality_row *rows, int count, bool test) {
    int levels[CHANGE_LEVELS] = {0}, total = 0;
    for (int i = 0; i < count; i++)
        if (rows[i].test == test) {
            levels[change_level_of(rows[i].positive)]++;
            total++;
        }
    fprintf(out, "%d %s (%d low, %d moderate, %d high)", total, test ? "held out" : "for training and validation",
            levels[CHANGE_LOW], levels[CHANGE_MODERATE], levels[CHANGE_HIGH]);
}

static void print_summary(FILE *out, const struct layout *layout, const struct quality_row *rows, int count) {
    char first[TIMESTEP_TEXT_SIZE], last[TIMESTEP_TEXT_SIZE];
    timestep_text(layout->step[0], first);
    timestep_text(layout->step[layout->steps - 1], last);
    int height = rows[0].height, width = rows[0].width;
    for (int i = 1; i < count; i++) {
        height = rows[i].height < height ? rows[i].height : height;
        width = rows[i].width < width ? rows[i].width : width;
    }
    fprintf(out, "%d samples: ", count);
    print_split(out, rows, count, false);
    fprintf(out, ", ");
    print_split(out, rows, count, true);
    fprintf(out, "\n%d steps (%s .. %s) x %d bands; image-size up to %d\n", layout->steps, first, last, layout->bands,
            height < width ? height : width);
}

void quality_print(FILE *out, const struct layout *layout, const struct quality_row *rows, int count) {
    bool by_step = shown_by_step(layout);
    int steps[QUALITY_GROUPS], id_width = (int)strlen("sample");
    char name[TIMESTEP_TEXT_SIZE];
    count_group_steps(layout, by_step, steps);
    for (int i = 0; i < count; i++)
        id_width = (int)strlen(rows[i].id) > id_width ? (int)strlen(rows[i].id) : id_width;
    fprintf(out, "%-*s  %-9s", id_width, "sample", "  size");
    for (int g = 0; g < QUALITY_GROUPS; g++)
        if (steps[g]) {
            group_name(layout, g, by_step, name);
            fprintf(out, "  missing %-7s", name);
        }
    fprintf(out, "  positive  ignored  level     split\n");
    for (int i = 0; i < count; i++) {
        const struct quality_row *r = &rows[i];
        fprintf(out, "%-*s  %4dx%-4d", id_width, r->id, r->height, r->width);
        for (int g = 0; g < QUALITY_GROUPS; g++)
            if (steps[g])
                fprintf(out, "  %13.1f %%", 100 * r->missing[g]);
        fprintf(out, "  %6.1f %%  %5.1f %%  %-8s  %s\n", 100 * r->positive, 100 * r->ignored,
                change_level_name(change_level_of(r->positive)), r->test ? "test" : "train/val");
    }
    print_summary(out, layout, rows, count);
}
