#include <math.h>
#include <string.h>

#include "model/base/file.h"
#include "results/comparison.h"
#include "results/report.h"
#include "results/same_data.h"

// folds.csv beside a file; *found: false where there is none.
static enum status read_folds_beside(const char *csv, struct csv_table *folds, bool *found, struct error *err) {
    char folder[PATH_SIZE], path[PATH_SIZE];
    if (snprintf(folder, sizeof folder, "%s", csv) >= (int)sizeof folder)
        return error_set(err, STATUS_INVALID, "path too long: %s", csv);
    char *slash = strrchr(folder, '/');
    strcpy(slash ? slash + 1 : folder, "");
    TRY(path_join(path, *folder ? folder : ".", "folds.csv", err));
    *found = file_exists(path);
    return *found ? csv_table_read(path, folds, err) : STATUS_OK;
}

// Fold 3 of one file and fold 3 of the other are a pair only where they are the same samples. *checked: both said
// which.
static enum status check_data(const char *a, const char *b, bool *checked, struct error *err) {
    struct csv_table folds_a = {0}, folds_b = {0};
    bool found_a = false, found_b = false;
    char why[256];
    enum status status = read_folds_beside(a, &folds_a, &found_a, err);
    if (status == STATUS_OK)
        status = read_folds_beside(b, &folds_b, &found_b, err);
    *checked = status == STATUS_OK && found_a && found_b;
    if (*checked && !same_samples(&folds_a, &folds_b, why, sizeof why))
        status = error_set(err, STATUS_MISMATCH, "%s and %s are not of the same data: %s", a, b, why);
    csv_table_free(&folds_a);
    csv_table_free(&folds_b);
    return status;
}

static enum status build(document *doc, const struct fold_series *baseline, const struct fold_series *candidate,
                         struct error *err) {
    document_heading(doc, 2, "%s against %s, %zu folds", candidate->name, baseline->name, candidate->count);
    TRY(comparison_add_pair(doc, baseline, candidate, NAN, err));
    const struct fold_series *both[] = {baseline, candidate};
    return comparison_add_overfitting(doc, both, 2, err);
}

static enum status print(const struct fold_series *baseline, const struct fold_series *candidate, bool checked,
                         FILE *out, struct error *err) {
    document *doc = document_create();
    if (!doc)
        return error_memory(err, "comparison");
    enum status status = build(doc, baseline, candidate, err);
    if (!checked)
        document_paragraph(doc, "Whether a fold is the same samples in both files could not be checked: there is no "
                                "folds.csv beside both.");
    if (status == STATUS_OK)
        status = document_write_text(doc, out, TABLE_TERMINAL_WIDTH, err);
    document_destroy(doc);
    return status;
}

// Where the configurations' names are absent or the same, the files' names tell them apart.
static void name_by_files(struct fold_series *a, const char *a_path, struct fold_series *b, const char *b_path) {
    const char *a_slash = strrchr(a_path, '/'), *b_slash = strrchr(b_path, '/');
    const char *a_file = a_slash ? a_slash + 1 : a_path, *b_file = b_slash ? b_slash + 1 : b_path;
    bool same = strcmp(a_file, b_file) == 0;
    snprintf(a->name, sizeof a->name, "%s", same ? a_path : a_file);
    snprintf(b->name, sizeof b->name, "%s", same ? b_path : b_file);
}

static enum status compare(const char *baseline_csv, const char *baseline, const char *candidate_csv,
                           const char *candidate, FILE *out, struct error *err) {
    struct fold_series a = {0}, b = {0};
    bool checked = true;
    enum status status =
        strcmp(baseline_csv, candidate_csv) == 0 ? STATUS_OK : check_data(baseline_csv, candidate_csv, &checked, err);
    if (status == STATUS_OK)
        status = fold_series_read(baseline_csv, baseline, &a, err);
    if (status == STATUS_OK)
        status = fold_series_read(candidate_csv, candidate, &b, err);
    if (status == STATUS_OK) {
        if (!*a.name || !*b.name || strcmp(a.name, b.name) == 0)
            name_by_files(&a, baseline_csv, &b, candidate_csv);
        status = print(&a, &b, checked, out, err);
    }
    fold_series_free(&a);
    fold_series_free(&b);
    return status;
}

enum status compare_folds(const char *folds_csv, const char *baseline, const char *candidate, FILE *out,
                          struct error *err) {
    if (strcmp(baseline, candidate) == 0)
        return error_set(err, STATUS_INVALID, "baseline and candidate are both '%s': nothing to compare", baseline);
    return compare(folds_csv, baseline, folds_csv, candidate, out, err);
}

enum status compare_files(const char *a_csv, const char *b_csv, FILE *out, struct error *err) {
    return compare(a_csv, NULL, b_csv, NULL, out, err);
}
