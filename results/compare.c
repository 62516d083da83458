#include <math.h>
#include <string.h>

#include "results/comparison.h"
#include "results/report.h"

static enum status build(document *doc, const struct fold_series *baseline, const struct fold_series *candidate,
                         struct error *err) {
    document_heading(doc, 2, "%s against %s, %zu folds", candidate->name, baseline->name, candidate->count);
    TRY(comparison_add_pair(doc, baseline, candidate, NAN, err));
    const struct fold_series *both[] = {baseline, candidate};
    return comparison_add_overfitting(doc, both, 2, err);
}

static enum status print(const struct fold_series *baseline, const struct fold_series *candidate, FILE *out,
                         struct error *err) {
    document *doc = document_create();
    if (!doc)
        return error_memory(err, "comparison");
    enum status status = build(doc, baseline, candidate, err);
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
    enum status status = fold_series_read(baseline_csv, baseline, &a, err);
    if (status == STATUS_OK)
        status = fold_series_read(candidate_csv, candidate, &b, err);
    if (status == STATUS_OK) {
        if (!*a.name || !*b.name || strcmp(a.name, b.name) == 0)
            name_by_files(&a, baseline_csv, &b, candidate_csv);
        status = print(&a, &b, out, err);
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
