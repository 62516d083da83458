// Paired folds: baseline to candidate.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "results/figures.h"
#include "results/plots.h"

struct slope_label {
    double value, place; // where the line ends, and where its label stands
    char text[64];
};

static int by_value(const void *a, const void *b) {
    const struct slope_label *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

// Moves labels apart until none is nearer than `gap` to the next: neighbours that are too near become one group around
// the middle of their values.
static void spread(struct slope_label *label, size_t count, double gap) {
    qsort(label, count, sizeof *label, by_value);
    for (size_t i = 0; i < count; i++)
        label[i].place = label[i].value;
    for (int round = 0; round < 100; round++) {
        bool moved = false;
        for (size_t i = 1; i < count; i++) {
            double lacking = gap - (label[i].place - label[i - 1].place);
            if (lacking <= 1e-6 * gap)
                continue;
            label[i - 1].place -= lacking / 2;
            label[i].place += lacking / 2;
            moved = true;
        }
        if (!moved)
            return;
    }
}

static double scale_of(const struct metric *m) {
    return metric_is_share(m) ? 100 : 1;
}

static void write_label(FILE *out, const struct slope_label *label) {
    fprintf(out, "set arrow from first 1.01, first %.9g to first 1.06, first %.9g nohead lw 0.6 lc rgb '#808080'\n",
            label->value, label->place);
    fputs("set label ", out);
    figures_quote(out, label->text);
    fprintf(out, " at first 1.07, first %.9g left\n", label->place);
}

// At the right end of every line: its fold, or the mean, and the difference.
static void write_labels(FILE *out, const struct fold_series *baseline, const struct fold_series *candidate,
                         struct slope_label *label, double range) {
    double scale = scale_of(&candidate->metric), b = 0, c = 0;
    bool share = metric_is_share(&candidate->metric);
    size_t n = candidate->count;
    for (size_t i = 0; i < n; i++) {
        double from = scale * baseline->fold[i].best_iou, to = scale * candidate->fold[i].best_iou;
        label[i].value = to;
        snprintf(label[i].text, sizeof label[i].text, share ? "fold %d  %+.2f" : "fold %d  %+.3g",
                 candidate->fold[i].fold, to - from);
        b += from / (double)n;
        c += to / (double)n;
    }
    label[n].value = c;
    snprintf(label[n].text, sizeof label[n].text, share ? "mean %.2f  %+.2f" : "mean %.4g  %+.3g", c, c - b);
    spread(label, n + 1, range / 19);
    for (size_t i = 0; i <= n; i++)
        write_label(out, &label[i]);
    fprintf(out, "$mean << EOD\n0 %.9g\n1 %.9g\nEOD\n", b, c);
    fprintf(out,
            share ? "set label 'mean %.2f' at first -0.03, first %.9g right\n"
                  : "set label 'mean %.4g' at first -0.03, first %.9g right\n",
            b, b);
}

void plot_slope(FILE *out, const struct fold_series *baseline, const struct fold_series *candidate) {
    struct slope_label *label = calloc(baseline->count + 1, sizeof *label);
    double scale = scale_of(&candidate->metric), least = 0, most = 0;
    bool share = metric_is_share(&candidate->metric);
    for (size_t i = 0; i < baseline->count; i++) {
        double low = scale * fmin(baseline->fold[i].best_iou, candidate->fold[i].best_iou);
        double high = scale * fmax(baseline->fold[i].best_iou, candidate->fold[i].best_iou);
        least = i == 0 || low < least ? low : least;
        most = i == 0 || high > most ? high : most;
        fprintf(out, "$f%zu << EOD\n0 %.9g\n1 %.9g\nEOD\n", i, scale * baseline->fold[i].best_iou,
                scale * candidate->fold[i].best_iou);
    }
    double low = share ? 0 : least - 0.1 * (most - least), high = most + 0.12 * (most - low);
    fprintf(out, "set xrange [-0.33:1.45]\nset yrange [%.9g:%.9g]\n", low, high > low ? high : low + 1);
    fputs("set border 2\nset ylabel ", out);
    char axis[96];
    snprintf(axis, sizeof axis, "best validation %s%s", metric_name(&candidate->metric), share ? " (%)" : "");
    figures_quote(out, axis);
    fputs("\nset xtics (", out);
    figures_quote_short(out, baseline->name, 24);
    fputs(" 0, ", out);
    figures_quote_short(out, candidate->name, 24);
    fputs(" 1) scale 0\n", out);
    if (label)
        write_labels(out, baseline, candidate, label, high - low);
    fputs("plot ", out);
    for (size_t i = 0; i < baseline->count; i++)
        fprintf(out, "$f%zu using 1:2 with linespoints lw 1.8 pt 7 ps 0.7 dt %s lc rgb '%s', \\\n     ", i,
                i < FIGURE_COLOURS ? "1" : "(6,4)", figure_colour[i % FIGURE_COLOURS]);
    fputs("$mean using 1:2 with linespoints lw 3.5 pt 7 ps 1 lc rgb 'black'\n", out);
    free(label);
}
