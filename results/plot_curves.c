// Curves by epoch: one trial a panel, folds over each other, learning-rate schedules.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figures.h"
#include "results/plots.h"

enum { COLUMNS = 4, PANEL_WIDTH = 225, PANEL_HEIGHT = 165, LEFT = 74, RIGHT = 14, TOP = 50, BOTTOM = 52, LABEL = 34 };
enum { MOST_EPOCHS = 600 }; // of a curve, beyond which it is thinned

static bool is_share(const struct curve *curve, enum curve_kind kind) {
    return kind == CURVE_METRIC && metric_is_share(curve->metric);
}

// NaN: another metric than IoU is not known for training.
static double training(const struct curve *curve, size_t index, enum curve_kind kind) {
    const struct epoch_row *e = &curve->epoch[index];
    return kind == CURVE_LOSS ? e->train_loss : is_share(curve, kind) ? 100 * e->train_iou : (double)NAN;
}

static double validation(const struct curve *curve, size_t index, enum curve_kind kind) {
    const struct epoch_row *e = &curve->epoch[index];
    return kind == CURVE_LOSS ? e->val_loss : (is_share(curve, kind) ? 100 : 1) * run_data_metric(curve->run, e);
}

static void write_axis_label(FILE *out, const struct curve *curve, enum curve_kind kind, const char *offset) {
    fputs("set ylabel ", out);
    figures_quote_short(out,
                        kind == CURVE_LOSS      ? "loss"
                        : is_share(curve, kind) ? "IoU (%)"
                                                : metric_name(curve->metric),
                        24);
    fprintf(out, " offset %s\n", offset);
}

bool plot_curves_have(const struct curve *curve, size_t curves, enum curve_kind kind) {
    for (size_t i = 0; i < curves; i++)
        for (size_t e = 0; e < curve[i].count; e++)
            if (isfinite(training(&curve[i], e, kind)) || isfinite(validation(&curve[i], e, kind)))
                return true;
    return false;
}

static void write_epoch(FILE *out, const struct curve *curve, size_t index, enum curve_kind kind) {
    fprintf(out, "%d", curve->epoch[index].epoch);
    figures_number(out, training(curve, index, kind));
    figures_number(out, validation(curve, index, kind));
    putc('\n', out);
}

static size_t stretch_of(const struct curve *curve) {
    return curve->count / MOST_EPOCHS + 1;
}

// Of a long curve the lowest and the highest validation value of every stretch, and the best epoch: what is left out
// lies between them.
static void write_epochs(FILE *out, const struct curve *curve, enum curve_kind kind) {
    size_t stretch = stretch_of(curve);
    for (size_t first = 0; first < curve->count; first += stretch) {
        size_t end = first + stretch < curve->count ? first + stretch : curve->count, low = first, high = first;
        for (size_t e = first; e < end; e++) {
            double value = validation(curve, e, kind), least = validation(curve, low, kind);
            low = isnan(least) || value < least ? e : low;
            high = isnan(least) || value > validation(curve, high, kind) ? e : high;
        }
        for (size_t e = first; e < end; e++)
            if (e == low || e == high || curve->epoch[e].epoch == curve->best_epoch)
                write_epoch(out, curve, e, kind);
    }
}

const char *plot_curves_note(const struct curve *curve, size_t curves) {
    for (size_t i = 0; i < curves; i++)
        if (stretch_of(&curve[i]) > 1)
            return " Of long curves the lowest and the highest validation value of every short stretch are drawn.";
    return "";
}

// $d<i>: epoch, training, validation.
static void write_data(FILE *out, const struct curve *curve, size_t curves, enum curve_kind kind) {
    for (size_t i = 0; i < curves; i++) {
        fprintf(out, "$d%zu << EOD\n", i);
        write_epochs(out, &curve[i], kind);
        fputs("EOD\n", out);
    }
}

struct extent {
    double least, most;
    int last_epoch;
};

static void widen(struct extent *x, double value) {
    if (!isfinite(value))
        return;
    x->least = fmin(x->least, value);
    x->most = fmax(x->most, value);
}

static struct extent extent_of(const struct curve *curve, size_t curves, enum curve_kind kind) {
    struct extent x = {INFINITY, -INFINITY, 1};
    for (size_t i = 0; i < curves; i++) {
        for (size_t e = 0; e < curve[i].count; e++) {
            widen(&x, training(&curve[i], e, kind));
            widen(&x, validation(&curve[i], e, kind));
            x.last_epoch = curve[i].epoch[e].epoch > x.last_epoch ? curve[i].epoch[e].epoch : x.last_epoch;
        }
    }
    return x;
}

// Losses that span more than a factor of 30 are drawn on a logarithmic scale.
static void write_value_axis(FILE *out, const struct extent *x, bool share) {
    if (share)
        fprintf(out, "set yrange [0:%.9g]\n", fmax(1.05 * x->most, 1));
    else if (x->least > 0 && x->most > 30 * x->least)
        fprintf(out, "set logscale y\nset yrange [%.9g:%.9g]\n", 0.9 * x->least, 1.1 * x->most);
    else
        fprintf(out, "set yrange [%.9g:%.9g]\n", x->least > 0 ? 0 : x->least, x->most > 0 ? 1.05 * x->most : 1);
    fprintf(out, "set xrange [0:%d]\n", x->last_epoch);
}

static size_t columns_for(size_t panels) {
    if (panels == 0)
        return 1;
    return panels < COLUMNS ? panels : panels == 6 || panels == 5 || panels == 9 ? 3 : COLUMNS;
}

void plot_curves_size(size_t curves, int *width, int *height) {
    size_t columns = columns_for(curves), rows = (curves + columns - 1) / columns;
    int panel = columns < 3 ? 330 : columns == 3 ? 290 : PANEL_WIDTH;
    *width = (int)columns * panel + LEFT + RIGHT;
    *height = (int)rows * PANEL_HEIGHT + TOP + BOTTOM - 30;
}

static void write_layout(FILE *out, size_t panels) {
    int width, height;
    size_t columns = columns_for(panels), rows = (panels + columns - 1) / columns;
    plot_curves_size(panels, &width, &height);
    fprintf(out, "set multiplot layout %zu,%zu margins screen %.4f,%.4f,%.4f,%.4f spacing screen %.4f,%.4f\n", rows,
            columns, (double)LEFT / width, 1 - (double)RIGHT / width, (double)BOTTOM / height, 1 - (double)TOP / height,
            26.0 / width, 34.0 / height);
}

static void write_panel(FILE *out, const struct curve *curve, size_t i, size_t panels) {
    size_t columns = columns_for(panels);
    fputs("set title ", out);
    figures_quote_short(out, curve->label, LABEL);
    fprintf(out, " offset 0,-0.7\nset format x '%s'\nset xlabel '%s' offset 0,0.4\n", i + columns < panels ? "" : "%g",
            i + columns < panels ? "" : "epoch");
    fprintf(out, "plot $d%zu using 1:2 with lines dt (8,5) lw 1.6 lc rgb '#D55E00', \\\n", i);
    fprintf(out, "     $d%zu using 1:3 with lines lw 2 lc rgb '#0072B2', \\\n", i);
    fprintf(out, "     $d%zu using ($1 == %d ? $1 : NaN):3 with points pt 7 ps 0.7 lc rgb '#009E73'\n", i,
            curve->best_epoch);
}

void plot_curves(FILE *out, const struct curve *curve, size_t curves, enum curve_kind kind) {
    struct extent x = extent_of(curve, curves, kind);
    write_data(out, curve, curves, kind);
    write_layout(out, curves);
    write_value_axis(out, &x, is_share(curve, kind));
    int width, height;
    plot_curves_size(curves, &width, &height);
    static const struct legend legend[] = {{"training", "#D55E00", LEGEND_DASHES},
                                           {"validation", "#0072B2", LEGEND_LINE},
                                           {"best epoch", "#009E73", LEGEND_POINT}};
    figures_legend(out, width, height, legend, 3);
    for (size_t i = 0; i < curves; i++) {
        bool first = i % columns_for(curves) == 0;
        if (first)
            write_axis_label(out, curve, kind, "0,0");
        else
            fputs("set ylabel ''\n", out);
        if (!first)
            fputs("set format y ''\n", out);
        else
            fputs("set format y '%g'\n", out);
        write_panel(out, &curve[i], i, curves);
        fputs("unset label\nunset arrow\n", out); // the legend stands in the first panel
    }
    fputs("unset multiplot\n", out);
}

// Folds over each other

static int by_epoch(const void *key, const void *row) {
    int epoch = *(const int *)key, there = ((const struct epoch_row *)row)->epoch;
    return (epoch > there) - (epoch < there);
}

// The value of an epoch: NaN where the curve has none.
static double value_at(const struct curve *curve, int epoch, bool of_training, enum curve_kind kind) {
    const struct epoch_row *row = bsearch(&epoch, curve->epoch, curve->count, sizeof *row, by_epoch);
    if (!row)
        return NAN;
    size_t index = (size_t)(row - curve->epoch);
    return of_training ? training(curve, index, kind) : validation(curve, index, kind);
}

// $m<name>: epoch, mean, mean - sd, mean + sd; of epochs that every fold has.
// `floor`: of the band, where a logarithmic scale has no place for what is under it.
static void write_mean(FILE *out, const char *name, const struct curve *fold, size_t folds, bool of_training,
                       enum curve_kind kind, double floor) {
    fprintf(out, "$m%s << EOD\n", name);
    for (size_t e = 0; e < fold[0].count; e += stretch_of(&fold[0])) {
        int epoch = fold[0].epoch[e].epoch;
        double sum = 0, squares = 0;
        for (size_t i = 0; i < folds; i++)
            sum += value_at(&fold[i], epoch, of_training, kind);
        double mean = sum / (double)folds;
        for (size_t i = 0; i < folds; i++)
            squares += pow(value_at(&fold[i], epoch, of_training, kind) - mean, 2);
        double sd = sqrt(squares / (double)folds);
        if (isfinite(sd))
            fprintf(out, "%d %.9g %.9g %.9g\n", epoch, mean, fmax(mean - sd, floor), mean + sd);
    }
    fputs("EOD\n", out);
}

static void write_fold_panel(FILE *out, const char *name, const char *title, size_t folds, int column) {
    fputs("set title ", out);
    figures_quote_short(out, title, 40);
    fputs(" offset 0,-0.7\n", out);
    fprintf(out,
            "plot $m%s using 1:3:4 with filledcurves fs transparent solid 0.18 noborder lc rgb '#808080' notitle, \\\n",
            name);
    for (size_t i = 0; i < folds; i++) {
        fprintf(out, "     $%s%zu using 1:%d with lines lw 1.2 dt %s lc rgb '%s' notitle, \\\n",
                *name == 'i' ? "i" : "l", i, column, i < FIGURE_COLOURS ? "1" : "(8,5)",
                figure_colour[i % FIGURE_COLOURS]);
    }
    fprintf(out, "     $m%s using 1:2 with lines lw 2.6 lc rgb 'black' notitle\nunset label\nunset arrow\n", name);
}

static void write_fold_legend(FILE *out, const struct curve *fold, size_t folds) {
    struct legend legend[FOLDS_PER_FIGURE + 1];
    for (size_t i = 0; i < folds && i < FOLDS_PER_FIGURE; i++)
        legend[i] = (struct legend){fold[i].label, figure_colour[i % FIGURE_COLOURS],
                                    i < FIGURE_COLOURS ? LEGEND_LINE : LEGEND_DASHES};
    legend[folds] = (struct legend){"mean (shaded: \302\261 SD)", "black", LEGEND_THICK};
    figures_legend(out, FOLDS_WIDTH, FOLDS_HEIGHT, legend, folds + 1);
}

// $i<fold>, $l<fold>: epoch, training, validation.
static void write_fold_data(FILE *out, const struct curve *fold, size_t folds) {
    for (size_t i = 0; i < folds; i++) {
        for (int kind = CURVE_METRIC; kind <= CURVE_LOSS; kind++) {
            fprintf(out, "$%c%zu << EOD\n", kind == CURVE_METRIC ? 'i' : 'l', i);
            write_epochs(out, &fold[i], (enum curve_kind)kind);
            fputs("EOD\n", out);
        }
    }
    struct extent loss = extent_of(fold, folds, CURVE_LOSS);
    double floor = loss.least > 0 ? 0.9 * loss.least : -INFINITY;
    double none = is_share(fold, CURVE_METRIC) ? 0 : -INFINITY;
    write_mean(out, "iv", fold, folds, false, CURVE_METRIC, none);
    write_mean(out, "it", fold, folds, true, CURVE_METRIC, none);
    write_mean(out, "lv", fold, folds, false, CURVE_LOSS, floor);
    write_mean(out, "lt", fold, folds, true, CURVE_LOSS, floor);
}

void plot_folds(FILE *out, const struct curve *fold, size_t folds) {
    struct extent iou = extent_of(fold, folds, CURVE_METRIC), loss = extent_of(fold, folds, CURVE_LOSS);
    write_fold_data(out, fold, folds);
    fprintf(out, "set multiplot layout 2,2 margins screen 0.085,0.985,0.085,0.88 spacing screen 0.07,0.075\n");
    write_fold_legend(out, fold, folds);
    write_value_axis(out, &iou, is_share(fold, CURVE_METRIC));
    char validated[80], trained[80];
    snprintf(validated, sizeof validated, "validation %s", metric_name(fold->metric));
    snprintf(trained, sizeof trained, "training %s", metric_name(fold->metric));
    write_axis_label(out, fold, CURVE_METRIC, "0.3,0");
    fputs("set format x ''\n", out);
    write_fold_panel(out, "iv", validated, folds, 3);
    fputs("set ylabel ''\n", out);
    write_fold_panel(out, "it", trained, folds, 2);
    write_value_axis(out, &loss, false);
    fputs("set ylabel 'loss' offset 2.2,0\nset format x '%g'\nset xlabel 'epoch' offset 0,0.4\n", out);
    write_fold_panel(out, "lv", "validation loss", folds, 3);
    fputs("set ylabel ''\n", out);
    write_fold_panel(out, "lt", "training loss", folds, 2);
    fputs("unset multiplot\n", out);
}

// Learning-rate schedules

void plot_schedules(FILE *out, const struct curve *curve, size_t curves) {
    double least = INFINITY, most = 0;
    int last = 1;
    for (size_t i = 0; i < curves; i++) {
        fprintf(out, "$d%zu << EOD\n", i);
        for (size_t e = 0; e < curve[i].count; e++) {
            const struct epoch_row *row = &curve[i].epoch[e];
            if (e % stretch_of(&curve[i]) == 0 || e + 1 == curve[i].count) {
                fprintf(out, "%d", row->epoch);
                figures_number(out, row->lr);
                putc('\n', out);
            }
            least = row->lr > 0 ? fmin(least, row->lr) : least;
            most = isfinite(row->lr) ? fmax(most, row->lr) : most;
            last = row->epoch > last ? row->epoch : last;
        }
        fputs("EOD\n", out);
    }
    bool logarithmic = most > 20 * least;
    if (logarithmic)
        fprintf(out, "set logscale y\nset yrange [%.9g:%.9g]\n", least / 1.3, most * 1.3);
    else
        fprintf(out, "set yrange [0:%.9g]\n", most > 0 ? 1.05 * most : 1);
    fprintf(out, "set xrange [0:%d]\nset xlabel 'epoch'\nset ylabel 'learning rate%s'\n", last,
            logarithmic ? " (log scale)" : "");
    fputs("set key outside right center Left reverse samplen 3 spacing 1.15\nset format y '%g'\nplot ", out);
    for (size_t i = 0; i < curves; i++) {
        fprintf(out, "%s$d%zu using 1:2 with lines lw 2 dt %s lc rgb '%s' title ", i ? ", \\\n     " : "", i,
                i < FIGURE_COLOURS ? "1" : "(8,4)", figure_colour[i % FIGURE_COLOURS]);
        figures_quote_short(out, curve[i].label, 30);
    }
    putc('\n', out);
}
