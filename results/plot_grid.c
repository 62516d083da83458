// A grid of hyperparameters: effect of each, heat map of two.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/figures.h"
#include "results/plot_values.h"
#include "results/plots.h"

enum { EFFECT_COLUMNS = 3, EFFECT_WIDTH = 300, EFFECT_HEIGHT = 250 };
static const char palette[] = "set palette defined (0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 "
                              "'#fde725') maxcolors 64\n";

// "set xtics ('sgd' 0, 'adamw' 1)": characters for each so that none meets the next.
static void write_tics(FILE *out, char axis, const struct plot_values *v, int characters) {
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
static void write_means(FILE *out, const struct run_data *run, const struct grid *g, const struct plot_values *v,
                        int column, int panel) {
    fprintf(out, "$m%d << EOD\n", panel);
    for (size_t k = 0; k < v->count && !v->scale; k++) {
        double sum = 0;
        int count = 0;
        for (size_t i = 0; i < g->points; i++) {
            double value = plot_result(run, g, i);
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
static void write_effect_data(FILE *out, const struct run_data *run, const struct grid *g, const struct plot_values *v,
                              int column, int panel) {
    bool *shown = grid_selection(g, EFFECT_MOST);
    fprintf(out, "$p%d << EOD\n", panel);
    for (size_t i = 0; i < g->points && shown; i++) {
        const char *text = g->point[i].row[0]->swept[column];
        double value = plot_result(run, g, i), place = 0;
        if (!isfinite(value) || !shown[i])
            continue;
        if (v->scale)
            (void)plot_number(text, &place);
        else // points of one value stand side by side
            place = (double)plot_values_index(v, text) + (g->varying > 1 ? 0.035 * ((double)(i % 7) - 3) : 0);
        fprintf(out, "%.9g %.9g\n", place, value);
    }
    fputs("EOD\n", out);
    free(shown);
    write_means(out, run, g, v, column, panel);
}

static size_t longest_value(const struct plot_values *v) {
    size_t longest = 0;
    for (size_t i = 0; i < v->count && v->value; i++)
        longest = strlen(v->value[i]) > longest ? strlen(v->value[i]) : longest;
    return longest;
}

static void write_effect_axis(FILE *out, const struct plot_values *v) {
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

static void write_effect_panel(FILE *out, const struct run_data *run, const struct plot_values *v, int column,
                               int panel, bool several) {
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
        double value = plot_result(run, g, i);
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
        struct plot_values v = plot_values_of(g, c);
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
    struct plot_values y = plot_values_of(g, column[0]), x = plot_values_of(g, column[1]);
    *width = 260 + 90 * (int)(x.count < 3 ? 3 : x.count);
    *height = 110 + 50 * (int)(y.count < 2 ? 2 : y.count);
    free(x.value);
    free(y.value);
    return !x.scale && !y.scale && x.count <= HEAT_MOST && y.count <= HEAT_MOST;
}

// $d: x, y, value, text. Also the least and largest value.
static void write_heat_data(FILE *out, const struct run_data *run, const struct grid *g, const struct plot_values *x,
                            const struct plot_values *y, const int column[2], double *least, double *most) {
    *least = INFINITY;
    *most = -INFINITY;
    fputs("$d << EOD\n", out);
    for (size_t i = 0; i < g->points; i++) {
        const struct trial_row *row = g->point[i].row[0];
        double value = plot_result(run, g, i);
        if (!isfinite(value))
            continue;
        fprintf(out, metric_is_share(&run->metric) ? "%zu %zu %.9g %.2f\n" : "%zu %zu %.9g %.4g\n",
                plot_values_index(x, row->swept[column[1]]), plot_values_index(y, row->swept[column[0]]), value, value);
        *least = fmin(*least, value);
        *most = fmax(*most, value);
    }
    fputs("EOD\n", out);
}

void plot_heat(FILE *out, const struct run_data *run, const struct grid *g) {
    int column[2] = {0, 0};
    double least, most;
    varying_columns(run, g, column, 2);
    struct plot_values y = plot_values_of(g, column[0]), x = plot_values_of(g, column[1]);
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
