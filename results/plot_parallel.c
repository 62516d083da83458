// Parallel coordinates: an axis a hyperparameter, a line a point of the grid. Hundreds of lines must not hide the axes'
// texts nor each other: texts stand in front of them on a ground of their own, the best tenth of the points is drawn
// last, and the more points there are the fainter are the others.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/figures.h"
#include "results/plot_values.h"
#include "results/plots.h"

enum { AXIS_WIDTH = 150, LEAST_WIDTH = 900, HEIGHT = 440 };
static const double NAMES_AT = 1.2, LANE = 0.045; // in heights of the axes: names of the axes; half a value's bundle

void plot_parallel_size(const struct grid *g, int *width, int *height) {
    int needed = AXIS_WIDTH * (g->varying + 1) + 40;
    *width = needed > LEAST_WIDTH ? needed : LEAST_WIDTH;
    *height = HEIGHT;
}

// Worse to better. The ends of the usual scale would be swallowed by a dark and by a light ground.
static unsigned colour_of(double goodness, double opacity) {
    static const double stop[3][3] = {{0x6a, 0x4c, 0x9c}, {0x21, 0x91, 0x8c}, {0x8d, 0xb6, 0x1f}};
    int from = goodness < 0.5 ? 0 : 1;
    double share = 2 * goodness - from;
    unsigned colour = (unsigned)lround(255 * (1 - opacity)); // gnuplot counts transparency
    for (int c = 0; c < 3; c++)
        colour = colour << 8 | (unsigned)lround(stop[from][c] + share * (stop[from + 1][c] - stop[from][c]));
    return colour;
}

static void write_axis(FILE *out, const char *name, int place) {
    fprintf(out, "set arrow from %d,%.9g to %d,%.9g nohead lw 1 lc rgb '#808080' front\nset label ", place, -LANE,
            place, 1 + LANE);
    figures_quote_short(out, name, AXIS_WIDTH / 7);
    fprintf(out, " at %d,%.9g center\n", place, NAMES_AT);
}

// Where on its axis, from 0 to 1.
static double place_of(const struct plot_values *v, const char *value) {
    double number;
    if (!v->scale)
        return v->count > 1 ? (double)plot_values_index(v, value) / (double)(v->count - 1) : 0.5;
    if (!plot_number(value, &number) || v->most <= v->least)
        return 0.5;
    return v->logarithmic ? log(number / v->least) / log(v->most / v->least)
                          : (number - v->least) / (v->most - v->least);
}

// The first axis has lines on one side only; on the others, texts at the ends stand above and below.
static void write_value(FILE *out, const char *text, int place, double at) {
    fputs("set label ", out);
    figures_quote_short(out, text, 14);
    if (place > 0 && at > 0.99)
        fprintf(out, " at %d,%.9g center\n", place, at + 0.095);
    else if (place > 0 && at < 0.01)
        fprintf(out, " at %d,%.9g center\n", place, at - 0.095);
    else if (place > 0)
        fprintf(out, " at %.2f,%.9g right boxed front\n", place - 0.03, at);
    else
        fprintf(out, " at %.2f,%.9g right\n", place - 0.03, at);
}

// A value every so far of a scale, inside of its ends.
static void write_scale(FILE *out, const struct plot_values *v, int place) {
    enum { STEPS = 4 };
    for (int i = 0; i <= STEPS; i++) {
        char text[32];
        double at = (double)i / STEPS;
        double value = v->logarithmic ? v->least * pow(v->most / v->least, at) : v->least + at * (v->most - v->least);
        snprintf(text, sizeof text, i == 0 || i == STEPS ? "%.3g" : "%.2g", value);
        write_value(out, text, place, at);
    }
}

static void write_hyperparameter(FILE *out, const char *name, const struct plot_values *v, int place) {
    write_axis(out, name, place);
    if (v->scale)
        write_scale(out, v, place);
    for (size_t i = 0; i < v->count && !v->scale; i++)
        write_value(out, v->value[i], place, place_of(v, v->value[i]));
}

struct parallel {
    const struct run_data *run;
    const struct grid *g;
    struct plot_values v[RUN_MAX_SWEPT];
    double least, range;
    size_t *shown, count; // points that are drawn, the best first
};

// Lines of one value run side by side, those of high results above.
static double aside_of(const struct parallel *p, int column, size_t rank) {
    const struct plot_values *v = &p->v[column];
    size_t before = 0, after = 0;
    if (v->scale)
        return 0;
    const char *value = p->g->point[p->shown[rank]].row[0]->swept[column];
    for (size_t i = 0; i < p->count; i++)
        if (i != rank && strcmp(p->g->point[p->shown[i]].row[0]->swept[column], value) == 0)
            *(i < rank ? &before : &after) += 1;
    if (before + after == 0)
        return 0;
    double apart = v->count > 1 ? 1 / (double)(v->count - 1) : 1, share = (double)before / (double)(before + after);
    return fmin(LANE, 0.35 * apart) * (p->run->metric.minimize ? 2 * share - 1 : 1 - 2 * share);
}

// Through the places of its values to its result.
static void write_line(FILE *out, const struct parallel *p, size_t rank, double opacity) {
    int axis = 0;
    size_t point = p->shown[rank];
    double place = (plot_result(p->run, p->g, point) - p->least) / p->range;
    unsigned colour = colour_of(p->run->metric.minimize ? 1 - place : place, opacity);
    for (int c = 0; c < p->run->swept.count; c++) {
        if (!p->g->varies[c])
            continue;
        double at = place_of(&p->v[c], p->g->point[point].row[0]->swept[c]) + aside_of(p, c, rank);
        fprintf(out, "%d %.5g %u\n", axis++, at, colour);
    }
    fprintf(out, "%d %.5g %u\n\n", axis, place, colour);
}

// $rest, $top and $best, each from the worst to the best.
static void write_lines(FILE *out, const struct parallel *p) {
    size_t top = p->count < 10 * PARALLEL_TOP ? (p->count + 9) / 10 : PARALLEL_TOP;
    double opacity = fmin(1, fmax(0.15, 50 / (double)(p->count + 1)));
    fputs("$rest << EOD\n", out);
    for (size_t rank = p->count; rank-- > top;)
        write_line(out, p, rank, opacity);
    fputs("nan nan nan\nEOD\n$top << EOD\n", out);
    for (size_t rank = top; rank-- > 1;)
        write_line(out, p, rank, 1);
    fputs("nan nan nan\nEOD\n$best << EOD\n", out);
    if (p->count > 0)
        write_line(out, p, 0, 1);
    fputs("EOD\n", out);
}

static void choose_points(struct parallel *p) {
    bool *shown = grid_selection(p->g, PARALLEL_MOST);
    double most = -INFINITY;
    p->least = INFINITY;
    for (size_t i = 0; i < p->g->points && shown && p->shown; i++) {
        size_t point = p->g->ranked[i];
        double value = plot_result(p->run, p->g, point);
        if (!isfinite(value))
            continue;
        p->least = fmin(p->least, value);
        most = fmax(most, value);
        if (shown[point])
            p->shown[p->count++] = point;
    }
    p->range = most > p->least ? most - p->least : 1;
    free(shown);
}

void plot_parallel(FILE *out, const struct run_data *run, const struct grid *g) {
    struct parallel p = {.run = run, .g = g, .shown = malloc((g->points + 1) * sizeof *p.shown)};
    int axis = 0;
    char name[64];
    choose_points(&p);
    fputs("set style textbox opaque noborder margins 0.5,0.3\n", out);
    for (int c = 0; c < run->swept.count; c++) {
        if (!g->varies[c])
            continue;
        p.v[c] = plot_values_of(g, c);
        write_hyperparameter(out, run->swept.name[c], &p.v[c], axis++);
    }
    snprintf(name, sizeof name, "best %s%s", metric_name(&run->metric), metric_is_share(&run->metric) ? " (%)" : "");
    write_axis(out, name, axis);
    for (int i = 0; i <= 4; i++)
        fprintf(out, "set label '%.3g' at %.2f,%.9g left\n", p.least + p.range * i / 4, axis + 0.04, i / 4.0);
    write_lines(out, &p);
    fprintf(out, "set xrange [-0.55:%.2f]\nset yrange [-0.16:%.2f]\nunset border\nunset tics\nunset grid\n",
            axis + 0.35, NAMES_AT + 0.06);
    fputs("plot $rest using 1:2:3 with lines lw 1 lc rgb variable, $top using 1:2:3 with lines lw 1.6 lc rgb variable, "
          "\\\n     $best using 1:2 with lines lw 3.5 lc rgb '#D55E00'\n",
          out);
    for (int c = 0; c < RUN_MAX_SWEPT; c++)
        free(p.v[c].value);
    free(p.shown);
}
