// A grid of hyperparameters: effect of each, heat map of two, parallel coordinates of more.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/figures.h"
#include "results/plots.h"

// The same hues for lines, without the ends that a dark and a light ground would swallow.
static const char line_palette[] = "set palette defined (0 '#6a4c9c', 0.5 '#21918c', 1 '#8db61f') maxcolors 64\n";

enum { EFFECT_COLUMNS = 3, EFFECT_WIDTH = 300, EFFECT_HEIGHT = 250 };
static const char palette[] = "set palette defined (0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 "
                              "'#fde725') maxcolors 64\n";

enum { CATEGORIES_MOST = 12 };

// The values of one hyperparameter in a grid: numbers by size, words in the order in which they come. More numbers than
// CATEGORIES_MOST (a random search draws them) are a scale, whose single values are not listed.
struct values {
    const char **value;
    size_t count;
    bool numbers, scale, logarithmic;
    double least, most; // of numbers
};

static bool number_of(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return *text && !*end && isfinite(*number);
}

static int by_number(const void *a, const void *b) {
    double x = strtod(*(const char *const *)a, NULL), y = strtod(*(const char *const *)b, NULL);
    return (x > y) - (x < y);
}

static size_t index_of(const struct values *v, const char *value) {
    size_t i = 0;
    while (i < v->count && strcmp(v->value[i], value) != 0)
        i++;
    return i;
}

static void find_range(const struct grid *g, int column, struct values *v) {
    v->numbers = true;
    for (size_t i = 0; i < g->points; i++) {
        double number;
        v->numbers = v->numbers && number_of(g->point[i].row[0]->swept[column], &number);
        if (!v->numbers)
            return;
        v->least = i == 0 || number < v->least ? number : v->least;
        v->most = i == 0 || number > v->most ? number : v->most;
    }
}

// Draws that crowd at the small end of their range were made on a logarithmic scale.
static double share_below(const struct grid *g, int column, double limit) {
    size_t below = 0;
    for (size_t i = 0; i < g->points; i++) {
        double number = 0;
        below += number_of(g->point[i].row[0]->swept[column], &number) && number < limit;
    }
    return (double)below / (double)g->points;
}

// Free v->value. Out of memory: no values.
static struct values values_of(const struct grid *g, int column) {
    struct values v = {.value = malloc((g->points + 1) * sizeof(const char *))};
    find_range(g, column, &v);
    for (size_t i = 0; i < g->points && v.value && !v.scale; i++) {
        const char *value = g->point[i].row[0]->swept[column];
        if (index_of(&v, value) == v.count)
            v.value[v.count++] = value;
        v.scale = v.numbers && v.count > CATEGORIES_MOST;
    }
    v.logarithmic = v.scale && v.least > 0 && share_below(g, column, (v.least + v.most) / 2) > 0.7;
    if (v.value && v.numbers)
        qsort(v.value, v.count, sizeof *v.value, by_number);
    return v;
}

// "set xtics ('sgd' 0, 'adamw' 1)": characters for each so that none meets the next.
static void write_tics(FILE *out, char axis, const struct values *v, int characters) {
    fprintf(out, "set %ctics (", axis);
    for (size_t i = 0; i < v->count; i++) {
        fputs(i ? ", " : "", out);
        figures_quote_short(out, v->value[i], characters);
        fprintf(out, " %zu", i);
    }
    fputs(") scale 0\n", out);
}

static void write_metric_label(FILE *out, const char *command, const struct run_data *run, const char *offset) {
    char text[96];
    snprintf(text, sizeof text, "best %s%s", metric_name(&run->metric), metric_is_share(&run->metric) ? " (%)" : "");
    fprintf(out, "%s ", command);
    figures_quote(out, text);
    fprintf(out, " offset %s\n", offset);
}

static double shown_value(const struct run_data *run, const struct grid *g, size_t point) {
    return (metric_is_share(&run->metric) ? 100 : 1) * grid_value(g, point);
}

// Effect

static size_t effect_columns(const struct grid *g) {
    return g->varying < EFFECT_COLUMNS ? (size_t)g->varying : EFFECT_COLUMNS;
}

void plot_effect_size(const struct grid *g, int *width, int *height) {
    size_t columns = effect_columns(g), rows = ((size_t)g->varying + columns - 1) / columns;
    *width = (int)columns * (columns == 1 ? 480 : EFFECT_WIDTH) + 75;
    *height = (int)rows * EFFECT_HEIGHT + 30;
}

// $m<panel>: place, mean of the points there.
static void write_means(FILE *out, const struct run_data *run, const struct grid *g, const struct values *v, int column,
                        int panel) {
    fprintf(out, "$m%d << EOD\n", panel);
    for (size_t k = 0; k < v->count && !v->scale; k++) {
        double sum = 0;
        int count = 0;
        for (size_t i = 0; i < g->points; i++) {
            double value = shown_value(run, g, i);
            if (!isfinite(value) || strcmp(g->point[i].row[0]->swept[column], v->value[k]) != 0)
                continue;
            sum += value;
            count++;
        }
        if (count > 0)
            fprintf(out, "%zu %.9g\n", k, sum / count);
    }
    fputs("nan nan\nEOD\n", out);
}

// $p<panel>: place, value.
static void write_effect_data(FILE *out, const struct run_data *run, const struct grid *g, const struct values *v,
                              int column, int panel) {
    bool *shown = grid_selection(g, EFFECT_MOST);
    fprintf(out, "$p%d << EOD\n", panel);
    for (size_t i = 0; i < g->points && shown; i++) {
        const char *text = g->point[i].row[0]->swept[column];
        double value = shown_value(run, g, i), place = 0;
        if (!isfinite(value) || !shown[i])
            continue;
        if (v->scale)
            (void)number_of(text, &place);
        else // points of one value stand side by side
            place = (double)index_of(v, text) + (g->varying > 1 ? 0.035 * ((double)(i % 7) - 3) : 0);
        fprintf(out, "%.9g %.9g\n", place, value);
    }
    fputs("EOD\n", out);
    free(shown);
    write_means(out, run, g, v, column, panel);
}

static size_t longest_value(const struct values *v) {
    size_t longest = 0;
    for (size_t i = 0; i < v->count && v->value; i++)
        longest = strlen(v->value[i]) > longest ? strlen(v->value[i]) : longest;
    return longest;
}

static void write_effect_axis(FILE *out, const struct values *v) {
    if (v->scale) {
        double margin = 0.03 * (v->most - v->least);
        fputs("set xtics autofreq norotate scale 0.6\nset format x '%g'\n", out);
        if (v->logarithmic)
            fprintf(out, "set logscale x\nset xrange [%.9g:%.9g]\n", v->least / 1.2, v->most * 1.2);
        else
            fprintf(out, "set xrange [%.9g:%.9g]\n", v->least - margin, v->most + margin);
        return;
    }
    int room = (int)(36 / (v->count ? v->count : 1));
    fputs(v->count > 6 && longest_value(v) > 2 ? "set xtics rotate by -40\n" : "set xtics norotate\n", out);
    write_tics(out, 'x', v, room < 4 ? 4 : room);
    fprintf(out, "set xrange [-0.5:%.1f]\n", (double)v->count - 0.5);
}

static void write_effect_panel(FILE *out, const struct run_data *run, const struct values *v, int column, int panel,
                               bool several) {
    write_effect_axis(out, v);
    fputs("set xlabel ", out);
    figures_quote_short(out, run->swept.name[column], 40);
    fprintf(out, "\nplot $m%d using 1:2 with lines lw 1.2 lc rgb '#808080', \\\n", panel);
    if (several && !v->scale)
        fprintf(out, "     $m%d using 1:2:(0.22) with xerrorbars pt 0 lw 3 lc rgb 'black', \\\n", panel);
    fprintf(out, "     $p%d using 1:2 with points pt 7 ps %s lc rgb '#0072B2'\nunset logscale x\n", panel,
            v->scale ? "0.5" : "0.8");
}

void plot_effect(FILE *out, const struct run_data *run, const struct grid *g) {
    int width, height, panel = 0;
    double least = INFINITY, most = -INFINITY;
    plot_effect_size(g, &width, &height);
    size_t columns = effect_columns(g), rows = ((size_t)g->varying + columns - 1) / columns;
    for (size_t i = 0; i < g->points; i++) {
        double value = shown_value(run, g, i);
        least = isfinite(value) ? fmin(least, value) : least;
        most = isfinite(value) ? fmax(most, value) : most;
    }
    double margin = most > least ? 0.08 * (most - least) : 0.1 * fabs(most) + 1e-9;
    double bottom = metric_is_share(&run->metric) ? fmax(0, least - margin) : least - margin;
    fprintf(out, "set multiplot layout %zu,%zu margins screen %.4f,0.985,%.4f,%.4f spacing screen %.4f,%.4f\n", rows,
            columns, 70.0 / width, 55.0 / height, 1 - 32.0 / height, 25.0 / width, 70.0 / height);
    fprintf(out, "set yrange [%.9g:%.9g]\nset offsets 0,0,0,0\nset errorbars 0\n", bottom, most + margin);
    static const struct legend legend[] = {{"one grid point", "#0072B2", LEGEND_POINT},
                                           {"mean", "black", LEGEND_THICK}};
    figures_legend(out, width, height, legend, g->varying > 1 ? 2 : 1);
    for (int c = 0; c < run->swept.count; c++) {
        if (!g->varies[c])
            continue;
        struct values v = values_of(g, c);
        if (v.value)
            write_effect_data(out, run, g, &v, c, panel);
        bool left = (size_t)panel % columns == 0;
        write_metric_label(out, left ? "set ylabel" : "unset ylabel #", run, "0,0");
        fprintf(out, "set format y '%s'\n", left ? "%g" : "");
        if (v.count > 0)
            write_effect_panel(out, run, &v, c, panel, g->varying > 1);
        fputs("unset label\nunset arrow\n", out); // the legend stands in the first panel
        free(v.value);
        panel++;
    }
    fputs("unset multiplot\n", out);
}

// Heat map

static void varying_columns(const struct run_data *run, const struct grid *g, int *column, int most) {
    int found = 0;
    for (int c = 0; c < run->swept.count && found < most; c++)
        if (g->varies[c])
            column[found++] = c;
}

bool plot_heat_size(const struct run_data *run, const struct grid *g, int *width, int *height) {
    int column[2] = {0, 0};
    if (g->varying != 2)
        return false;
    varying_columns(run, g, column, 2);
    struct values y = values_of(g, column[0]), x = values_of(g, column[1]);
    *width = 260 + 90 * (int)(x.count < 3 ? 3 : x.count);
    *height = 110 + 50 * (int)(y.count < 2 ? 2 : y.count);
    free(x.value);
    free(y.value);
    return !x.scale && !y.scale && x.count <= HEAT_MOST && y.count <= HEAT_MOST;
}

// $d: x, y, value, text. Also the least and largest value.
static void write_heat_data(FILE *out, const struct run_data *run, const struct grid *g, const struct values *x,
                            const struct values *y, const int column[2], double *least, double *most) {
    *least = INFINITY;
    *most = -INFINITY;
    fputs("$d << EOD\n", out);
    for (size_t i = 0; i < g->points; i++) {
        const struct trial_row *row = g->point[i].row[0];
        double value = shown_value(run, g, i);
        if (!isfinite(value))
            continue;
        fprintf(out, metric_is_share(&run->metric) ? "%zu %zu %.9g %.2f\n" : "%zu %zu %.9g %.4g\n",
                index_of(x, row->swept[column[1]]), index_of(y, row->swept[column[0]]), value, value);
        *least = fmin(*least, value);
        *most = fmax(*most, value);
    }
    fputs("EOD\n", out);
}

void plot_heat(FILE *out, const struct run_data *run, const struct grid *g) {
    int column[2] = {0, 0};
    double least, most;
    varying_columns(run, g, column, 2);
    struct values y = values_of(g, column[0]), x = values_of(g, column[1]);
    if (x.value && y.value) {
        write_heat_data(out, run, g, &x, &y, column, &least, &most);
        double range = most > least ? most - least : 1;
        fputs(palette, out);
        fprintf(out, "set cbrange [%.9g:%.9g]\nset xrange [-0.5:%.1f]\nset yrange [%.1f:-0.5]\n", least, least + range,
                (double)x.count - 0.5, (double)y.count - 0.5);
        write_metric_label(out, "set cblabel", run, "1,0");
        write_tics(out, 'x', &x, 12);
        write_tics(out, 'y', &y, 16);
        fputs("unset grid\nset xlabel ", out);
        figures_quote(out, run->swept.name[column[1]]);
        fputs("\nset ylabel ", out);
        figures_quote(out, run->swept.name[column[0]]);
        // Light text on dark cells, dark on light ones.
        fprintf(
            out,
            "\nplot $d using 1:2:($1-0.48):($1+0.48):($2-0.46):($2+0.46):3 with boxxyerror fs solid noborder lc palette, "
            "\\\n     $d using ($3 < %.9g ? $1 : NaN):2:(strcol(4)) with labels tc rgb '#fefefe'",
            least + 0.55 * range);
        if (most > least) // gnuplot 5.4 crashes on labels of which none is drawn
            fprintf(out, ", \\\n     $d using ($3 < %.9g ? NaN : $1):2:(strcol(4)) with labels tc rgb '#010101'",
                    least + 0.55 * range);
        fputc('\n', out);
    }
    free(x.value);
    free(y.value);
}

// Parallel coordinates

static void write_parallel_axis(FILE *out, const char *name, int place) {
    fprintf(out, "set arrow from %d,0 to %d,1 nohead lw 1 lc rgb '#808080' back\nset label ", place, place);
    figures_quote_short(out, name, 22);
    fprintf(out, " at %d,1.17 center\n", place);
}

// Where on its axis, from 0 to 1.
static double place_of(const struct values *v, const char *value) {
    double number;
    if (!v->scale)
        return v->count > 1 ? (double)index_of(v, value) / (double)(v->count - 1) : 0.5;
    if (!number_of(value, &number) || v->most <= v->least)
        return 0.5;
    return v->logarithmic ? log(number / v->least) / log(v->most / v->least)
                          : (number - v->least) / (v->most - v->least);
}

// The first axis has lines on one side only; on the others, texts at the ends stand above and below.
static void write_parallel_value(FILE *out, const char *text, int place, double at) {
    fputs("set label ", out);
    figures_quote_short(out, text, 14);
    if (place > 0 && at > 0.99)
        fprintf(out, " at %d,%.9g center\n", place, at + 0.085);
    else if (place > 0 && at < 0.01)
        fprintf(out, " at %d,%.9g center\n", place, at - 0.085);
    else
        fprintf(out, " at %.2f,%.9g right\n", place - 0.03, at);
}

static void write_parallel_hyperparameter(FILE *out, const char *name, const struct values *v, int place) {
    write_parallel_axis(out, name, place);
    for (size_t i = 0; i < v->count && !v->scale; i++)
        write_parallel_value(out, v->value[i], place, place_of(v, v->value[i]));
    if (v->scale) {
        char text[32];
        snprintf(text, sizeof text, "%.3g", v->least);
        write_parallel_value(out, text, place, 0);
        snprintf(text, sizeof text, "%.3g", v->most);
        write_parallel_value(out, text, place, 1);
    }
}

// A line a point: through the places of its values to its result. The best is drawn last, over the others.
static void write_parallel_line(FILE *out, const struct run_data *run, const struct grid *g, const struct values *v,
                                size_t point, double least, double range) {
    int axis = 0;
    double value = shown_value(run, g, point);
    if (!isfinite(value))
        return;
    for (int c = 0; c < run->swept.count; c++) {
        if (!g->varies[c])
            continue;
        double aside = v[c].scale ? 0 : 0.02 * ((double)(point % 5) - 2); // lines of one value run side by side
        fprintf(out, "%d %.9g %.9g\n", axis++, place_of(&v[c], g->point[point].row[0]->swept[c]) + aside, value);
    }
    fprintf(out, "%d %.9g %.9g\n\n", axis, (value - least) / range, value);
}

void plot_parallel(FILE *out, const struct run_data *run, const struct grid *g) {
    double least = INFINITY, most = -INFINITY;
    int axis = 0;
    char name[64];
    struct values v[RUN_MAX_SWEPT] = {{0}};
    for (size_t i = 0; i < g->points; i++) {
        double value = shown_value(run, g, i);
        least = isfinite(value) ? fmin(least, value) : least;
        most = isfinite(value) ? fmax(most, value) : most;
    }
    double range = most > least ? most - least : 1;
    for (int c = 0; c < run->swept.count; c++) {
        if (!g->varies[c])
            continue;
        v[c] = values_of(g, c);
        write_parallel_hyperparameter(out, run->swept.name[c], &v[c], axis++);
    }
    snprintf(name, sizeof name, "best %s%s", metric_name(&run->metric), metric_is_share(&run->metric) ? " (%)" : "");
    write_parallel_axis(out, name, axis);
    for (int i = 0; i <= 4; i++)
        fprintf(out, "set label '%.3g' at %.2f,%.9g left\n", least + range * i / 4, axis + 0.04, i / 4.0);
    bool *shown = grid_selection(g, PARALLEL_MOST);
    fputs("$d << EOD\n", out);
    for (size_t i = 0; i < g->points && shown; i++)
        if (i != g->winner && shown[i])
            write_parallel_line(out, run, g, v, i, least, range);
    free(shown);
    fputs("EOD\n$best << EOD\n", out);
    if (g->winner < g->points)
        write_parallel_line(out, run, g, v, g->winner, least, range);
    fputs("EOD\n", out);
    fputs(line_palette, out);
    fprintf(out, "set cbrange [%.9g:%.9g]\nset xrange [-0.55:%.2f]\nset yrange [-0.13:1.22]\n", least, least + range,
            axis + 0.35);
    fputs("unset border\nunset tics\nunset grid\nunset colorbox\n", out);
    fputs("plot $d using 1:2:3 with lines lw 1.4 lc palette, $best using 1:2:3 with lines lw 3.5 lc rgb '#D55E00'\n",
          out);
    for (int c = 0; c < RUN_MAX_SWEPT; c++)
        free(v[c].value);
}
