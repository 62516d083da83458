// Held-out samples: what `gridfold evaluate RUN --split test` left in RUN/report/test.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"
#include "results/report_parts.h"

enum { MOST_CONFIGS = 4 };

// A file of the evaluation and which of its columns are shown.
struct shown_column {
    const char *key, *header;
    enum { SHOWN_TEXT, SHOWN_COUNT, SHOWN_SHARE } kind;
};

struct shown_file {
    const char *stem, *title, *only_model; // only_model: rows of this model; NULL: all rows
    struct shown_column column[10];
};

static const struct shown_file shown_files[] = {
    {"test_folds",
     "Models on the held-out samples (micro: pixels of all samples pooled)",
     NULL,
     {{"config", "Configuration", SHOWN_TEXT},
      {"model", "Model", SHOWN_TEXT},
      {"samples", "Samples", SHOWN_COUNT},
      {"iou", "IoU", SHOWN_SHARE},
      {"f1", "F1", SHOWN_SHARE},
      {"precision", "Precision", SHOWN_SHARE},
      {"recall", "Recall", SHOWN_SHARE},
      {"boundary_f1", "Boundary F1", SHOWN_SHARE},
      {"macro_iou", "Macro IoU", SHOWN_SHARE},
      {"ece", "Calibration error", SHOWN_SHARE}}},
    {"test_levels",
     "By change level (ensemble, micro)",
     "ensemble",
     {{"config", "Configuration", SHOWN_TEXT},
      {"level", "Change level", SHOWN_TEXT},
      {"samples", "Samples", SHOWN_COUNT},
      {"iou", "IoU", SHOWN_SHARE},
      {"f1", "F1", SHOWN_SHARE},
      {"precision", "Precision", SHOWN_SHARE},
      {"recall", "Recall", SHOWN_SHARE}}},
    {"test_samples",
     "By sample (ensemble)",
     "ensemble",
     {{"config", "Configuration", SHOWN_TEXT},
      {"sample", "Sample", SHOWN_TEXT},
      {"level", "Change level", SHOWN_TEXT},
      {"iou", "IoU", SHOWN_SHARE},
      {"f1", "F1", SHOWN_SHARE},
      {"precision", "Precision", SHOWN_SHARE},
      {"recall", "Recall", SHOWN_SHARE}}},
};

static enum status path_of(const struct run_data *run, const char *name, char path[PATH_SIZE], struct error *err) {
    char folder[PATH_SIZE];
    TRY(path_join(folder, run->folder, "report/test", err));
    return path_join(path, folder, name, err);
}

// *found: false where the file is not there.
static enum status read_file(const struct run_data *run, const char *stem, struct csv_table *rows, bool *found,
                             struct error *err) {
    char name[64], path[PATH_SIZE];
    snprintf(name, sizeof name, "%s.csv", stem);
    TRY(path_of(run, name, path, err));
    *found = file_exists(path);
    return *found ? csv_table_read(path, rows, err) : STATUS_OK;
}

static enum status add_cell(table *t, const struct csv_table *rows, size_t row, int column, int kind,
                            struct error *err) {
    if (column < 0) {
        table_value(t, NAN, "-");
        return STATUS_OK;
    }
    if (kind != SHOWN_SHARE) {
        table_cell(t, "%s", csv_table_cell(rows, row, column));
        return STATUS_OK;
    }
    double value;
    TRY(csv_table_number(rows, row, column, &value, err));
    table_value(t, value, "%.2f %%", 100 * value);
    return STATUS_OK;
}

static enum status add_rows(document *doc, const struct run_data *run, const struct shown_file *file,
                            const struct csv_table *rows, struct error *err) {
    char name[RUN_NAME_SIZE + 32];
    snprintf(name, sizeof name, "%s_%s", file->stem, run->name);
    table *t = document_table(doc, name, "%s, run %s", file->title, run->name);
    int column[10] = {0}, model = csv_table_column(rows, "model"), columns = 0;
    for (; columns < 10 && file->column[columns].key; columns++) {
        const struct shown_column *c = &file->column[columns];
        column[columns] = csv_table_column(rows, c->key);
        table_column(t, c->kind == SHOWN_TEXT ? TABLE_LEFT : TABLE_RIGHT, c->key, c->header);
    }
    for (size_t row = 0; row < rows->rows; row++) {
        bool ensemble = model >= 0 && strcmp(csv_table_cell(rows, row, model), "ensemble") == 0;
        if (file->only_model && !ensemble)
            continue;
        table_row(t, ensemble && !file->only_model ? TABLE_BOLD : TABLE_PLAIN);
        for (int c = 0; c < columns; c++)
            TRY(add_cell(t, rows, row, column[c], (int)file->column[c].kind, err));
    }
    return STATUS_OK;
}

// test_summary: the mean of the folds' models beside the ensemble of them.
static enum status add_summary_row(table *t, const struct csv_table *rows, size_t row, const int column[6],
                                   struct error *err) {
    double mean, sd, all;
    TRY(csv_table_number(rows, row, column[3], &mean, err));
    TRY(csv_table_number(rows, row, column[4], &sd, err));
    TRY(csv_table_number(rows, row, column[5], &all, err));
    table_row(t, TABLE_PLAIN);
    for (int c = 0; c < 3; c++)
        table_cell(t, "%s", csv_table_cell(rows, row, column[c]));
    table_value(t, mean, "%.2f +- %.2f %%", 100 * mean, 100 * sd);
    table_value(t, all, "%.2f %%", 100 * all);
    table_value(t, sd, "-");
    return STATUS_OK;
}

static enum status add_summary(document *doc, const struct run_data *run, const struct csv_table *rows,
                               struct error *err) {
    static const char *const keys[6] = {"config", "metric", "average", "mean", "sd_population", "all_folds"};
    int column[6];
    for (int c = 0; c < 6; c++)
        if ((column[c] = csv_table_column(rows, keys[c])) < 0)
            return error_set(err, STATUS_FORMAT, "%s: no column '%s'", rows->path, keys[c]);
    char name[RUN_NAME_SIZE + 32];
    snprintf(name, sizeof name, "test_summary_%s", run->name);
    table *t = document_table(doc, name, "Mean of the folds' models and their ensemble, run %s", run->name);
    table_column(t, TABLE_LEFT, "config", "Configuration");
    table_column(t, TABLE_LEFT, "metric", "Metric");
    table_column(t, TABLE_LEFT, "average", "Average");
    table_column(t, TABLE_RIGHT, "mean", "Mean of folds");
    table_column(t, TABLE_RIGHT, "all_folds", "Ensemble");
    table_column(t, TABLE_RIGHT, "sd_population", NULL);
    for (size_t row = 0; row < rows->rows; row++)
        TRY(add_summary_row(t, rows, row, column, err));
    table_note(t, "Mean +- population standard deviation over the folds' models, all on the same samples. Micro: the "
                  "pixels of all samples pooled; macro: the mean of the samples' own values.");
    return STATUS_OK;
}

static enum status add_summary_file(struct report *r, const struct run_data *run, struct error *err) {
    struct csv_table rows;
    bool found;
    TRY(read_file(run, "test_summary", &rows, &found, err));
    if (!found)
        return STATUS_OK;
    enum status status = add_summary(r->doc, run, &rows, err);
    csv_table_free(&rows);
    return status;
}

static enum status add_tables(struct report *r, const struct run_data *run, struct error *err) {
    for (size_t i = 0; i < sizeof shown_files / sizeof *shown_files; i++) {
        struct csv_table rows;
        bool found, folded = i == 2;
        TRY(read_file(run, shown_files[i].stem, &rows, &found, err));
        if (!found)
            continue;
        if (folded)
            document_details(r->doc, "Every held-out sample of run %s", run->name);
        enum status status = add_rows(r->doc, run, &shown_files[i], &rows, err);
        if (folded)
            document_details_end(r->doc);
        csv_table_free(&rows);
        TRY(status);
        if (i == 0)
            TRY(add_summary_file(r, run, err));
    }
    return STATUS_OK;
}

// Curves

// The configurations of a file in their order, at most MOST_CONFIGS.
static int list_configs(const struct csv_table *rows, const char *name[MOST_CONFIGS]) {
    int config = csv_table_column(rows, "config"), count = 0;
    for (size_t row = 0; row < rows->rows && config >= 0; row++) {
        const char *text = csv_table_cell(rows, row, config);
        bool known = false;
        for (int i = 0; i < count; i++)
            known = known || strcmp(name[i], text) == 0;
        if (!known && count < MOST_CONFIGS)
            name[count++] = text;
    }
    return count;
}

// A data block of two columns of the ensemble's rows of one configuration.
static enum status write_block(FILE *out, char letter, int index, const struct csv_table *rows, const char *config,
                               const char *const *keys, int columns, struct error *err) {
    int named = csv_table_column(rows, "config"), model = csv_table_column(rows, "model");
    fprintf(out, "$%c%d << EOD\n", letter, index);
    for (size_t row = 0; row < rows->rows && named >= 0 && model >= 0; row++) {
        if (strcmp(csv_table_cell(rows, row, named), config) != 0 ||
            strcmp(csv_table_cell(rows, row, model), "ensemble") != 0)
            continue;
        for (int c = 0; c < columns; c++) {
            double value = NAN;
            int column = csv_table_column(rows, keys[c]);
            if (column >= 0)
                TRY(csv_table_number(rows, row, column, &value, err));
            figures_number(out, value);
        }
        putc('\n', out);
    }
    fputs("nan nan nan nan nan\nEOD\n", out);
    return STATUS_OK;
}

static enum status plot_threshold(struct report *r, const struct run_data *run, const struct csv_table *rows,
                                  struct error *err) {
    static const char *const keys[] = {"threshold", "iou", "f1", "precision", "recall"};
    static const struct legend legend[] = {{"IoU", "#0072B2", LEGEND_THICK},
                                           {"F1", "#E69F00", LEGEND_LINE},
                                           {"precision", "#009E73", LEGEND_DASHES},
                                           {"recall", "#D55E00", LEGEND_DASHES}};
    const char *config[MOST_CONFIGS];
    int count = list_configs(rows, config), width = 90 + 330 * count, height = 330;
    char name[RUN_NAME_SIZE + 16];
    if (count == 0)
        return STATUS_OK;
    snprintf(name, sizeof name, "threshold_%s", run->name);
    FILE *out =
        report_figure(r, name, width, height,
                      "Held-out samples, run %s: metrics of the ensemble by the probability from which a pixel counts "
                      "as changed; the models are judged at 0.5 (dotted). A threshold chosen here would be fitted to "
                      "the test samples.",
                      run->name);
    if (!out)
        return STATUS_OK;
    for (int i = 0; i < count; i++)
        TRY(write_block(out, 't', i, rows, config[i], keys, 5, err));
    fprintf(out, "set multiplot layout 1,%d margins screen %.4f,%.4f,0.17,0.83 spacing screen %.4f,0\n", count,
            80.0 / width, 1 - 12.0 / width, 30.0 / width);
    fputs("set xrange [0:1]\nset yrange [0:100]\nset xlabel 'threshold' offset 0,0.3\nset ylabel 'share (%)'\n", out);
    figures_legend(out, width, height, legend, 4);
    for (int i = 0; i < count; i++) {
        fputs("set title ", out);
        figures_quote_short(out, config[i], 40);
        fprintf(
            out,
            " offset 0,-0.6\nset arrow from 0.5,0 to 0.5,100 nohead lw 1 dt (2,4) lc rgb '#808080'\n"
            "plot $t%d using 1:(100*$2) with lines lw 3 lc rgb '#0072B2', $t%d using 1:(100*$3) with lines lw 2 lc rgb "
            "'#E69F00', $t%d using 1:(100*$4) with lines lw 2 dt (8,5) lc rgb '#009E73', $t%d using 1:(100*$5) with "
            "lines lw 2 dt (8,5) lc rgb '#D55E00'\nunset label\nunset arrow\nunset ylabel\nset format y ''\n",
            i, i, i, i);
    }
    fputs("unset multiplot\n", out);
    return STATUS_OK;
}

static enum status plot_calibration(struct report *r, const struct run_data *run, const struct csv_table *rows,
                                    struct error *err) {
    static const char *const keys[] = {"mean_probability", "positive_share", "pixels"};
    const char *config[MOST_CONFIGS];
    int count = list_configs(rows, config);
    char name[RUN_NAME_SIZE + 16];
    if (count == 0)
        return STATUS_OK;
    snprintf(name, sizeof name, "calibration_%s", run->name);
    FILE *out =
        report_figure(r, name, 560, 420,
                      "Held-out samples, run %s: reliability of the ensemble's probabilities. On the dotted line a "
                      "probability is the share of changed pixels; bins of fewer than 100 pixels are left out.",
                      run->name);
    if (!out)
        return STATUS_OK;
    for (int i = 0; i < count; i++)
        TRY(write_block(out, 'c', i, rows, config[i], keys, 3, err));
    fputs("set xrange [0:100]\nset yrange [0:100]\nset size square\nset grid xtics lt 1 lw 0.6 lc rgb '#b0808080'\n"
          "set xlabel 'mean probability of the bin (%)'\nset ylabel 'changed pixels (%)'\n"
          "set key outside right center Left reverse samplen 2\n"
          "plot x with lines lw 1 dt 3 lc rgb '#808080' title 'calibrated'",
          out);
    for (int i = 0; i < count; i++) {
        fprintf(
            out,
            ", \\\n     $c%d using ($3 < 100 ? NaN : 100*$1):(100*$2) with linespoints lw 2 pt 7 ps 0.6 lc rgb '%s' "
            "title ",
            i, figure_colour[i]);
        figures_quote_short(out, config[i], 18);
    }
    putc('\n', out);
    return STATUS_OK;
}

// Whether the files are of the checkpoints that trials.csv has now; else `why` says of which they are.
static bool is_of_this_run(const struct run_data *run, const struct csv_table *rows, char *why, size_t size) {
    int trial = csv_table_column(rows, "trial"), epoch = csv_table_column(rows, "epoch");
    for (size_t row = 0; row < rows->rows && trial >= 0 && epoch >= 0; row++) {
        const char *id = csv_table_cell(rows, row, trial), *of = csv_table_cell(rows, row, epoch);
        const struct trial_row *there = run_data_trial(run, id);
        if (!*id || (there && there->best_epoch == atoi(of)))
            continue;
        snprintf(why, size, "trial %.40s at epoch %.12s, which is not its best one in trials.csv", id, of);
        if (!there)
            snprintf(why, size, "trial %.40s, which is none of this run's", id);
        return false;
    }
    return true;
}

static enum status add_curves(struct report *r, const struct run_data *run, struct error *err) {
    static const struct {
        const char *stem;
        enum status (*plot)(struct report *, const struct run_data *, const struct csv_table *, struct error *);
    } curves[] = {{"test_threshold", plot_threshold}, {"test_calibration", plot_calibration}};
    for (size_t i = 0; i < 2; i++) {
        struct csv_table rows;
        bool found;
        TRY(read_file(run, curves[i].stem, &rows, &found, err));
        if (!found)
            continue;
        enum status status = curves[i].plot(r, run, &rows, err);
        csv_table_free(&rows);
        TRY(status);
    }
    return STATUS_OK;
}

static enum status add_pictures(struct report *r, const struct run_data *run, struct error *err) {
    static const char *const which[] = {"best", "median", "worst"};
    for (size_t i = 0; i < 3; i++) {
        char file[64], name[RUN_NAME_SIZE + 32], path[PATH_SIZE];
        snprintf(file, sizeof file, "qualitative_%s.png", which[i]);
        TRY(path_of(run, file, path, err));
        if (!file_exists(path))
            continue;
        snprintf(name, sizeof name, "qualitative_%s_%s", which[i], run->name);
        const char *taken = figures_take(r->figures, name, path);
        if (taken)
            document_figure(
                r->doc, taken,
                "The %s held-out sample by the IoU of the ensemble, run %s: true colour at the first and the last "
                "timestep, mask, prediction (white: hit, orange: false alarm, blue: miss, grey: not counted).",
                which[i], run->name);
    }
    return STATUS_OK;
}

static enum status add_evaluation(struct report *r, const struct run_data *run, struct error *err) {
    struct csv_table rows;
    bool found;
    char why[160];
    TRY(read_file(run, "test_folds", &rows, &found, err));
    if (!found) {
        document_paragraph(r->doc,
                           "Run %s was not evaluated on held-out samples: every figure above is of validation samples, "
                           "on which the best epoch was chosen. `gridfold evaluate %s --split test` does it.",
                           run->name, run->folder);
        return STATUS_OK;
    }
    bool current = is_of_this_run(run, &rows, why, sizeof why);
    csv_table_free(&rows);
    if (!current) {
        document_paragraph(r->doc,
                           "Attention: run %s was evaluated with other checkpoints (%s): its figures are left out. "
                           "`gridfold evaluate %s --split test` makes them anew.",
                           run->name, why, run->folder);
        return STATUS_OK;
    }
    TRY(add_tables(r, run, err));
    TRY(add_curves(r, run, err));
    return add_pictures(r, run, err);
}

// An evaluation that was killed while it wrote, or files that were cut: the rest of the report is as good as ever.
static enum status add_run(struct report *r, const struct run_data *run, struct error *err) {
    if (run->external) {
        document_paragraph(r->doc, "%s: results from elsewhere, nothing is known of held-out samples.", run->name);
        return STATUS_OK;
    }
    enum status status = add_evaluation(r, run, err);
    if (status != STATUS_FORMAT)
        return status;
    document_paragraph(r->doc,
                       "Attention: the evaluation of run %s is damaged, and what is not shown here is left out: %s. "
                       "`gridfold evaluate %s --split test` makes it anew.",
                       run->name, err->message, run->folder);
    return STATUS_OK;
}

enum status report_add_held_out(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Held-out samples");
    for (size_t i = 0; i < r->runs; i++)
        TRY(add_run(r, &r->run[i], err));
    return STATUS_OK;
}
