#include "results/report_plots.h"

static void add_timeline(struct report *r, const struct run_data *run) {
    int width, height;
    bool all_workers;
    char name[RUN_NAME_SIZE + 16];
    if (!plot_timeline_size(run, &width, &height, &all_workers))
        return;
    snprintf(name, sizeof name, "timeline_%s", run->name);
    FILE *out = report_figure(r, name, width, height,
                              "Run %s: what every worker trained when, from events.csv (it varies from run to run).%s",
                              run->name, all_workers ? "" : " Some of the workers, which are too many to be drawn.");
    if (out)
        plot_timeline(out, run);
}

static void add_manifest(document *doc, const struct run_data *run) {
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "manifest_%s", run->name);
    table *t = document_table(doc, name, "Manifest of run %s", run->name);
    if (run->manifest.count == 0) {
        table_note(t, run->external ? "Results from elsewhere: nothing is known of the program that made them."
                                    : "There is no manifest.ini: versions, hosts and devices are not known.");
        return;
    }
    table_column(t, TABLE_LEFT, "key", "Key");
    table_column(t, TABLE_LEFT, "value", "Value");
    for (size_t i = 0; i < run->manifest.count; i++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", run->manifest.fact[i].key);
        table_cell(t, "%s", run->manifest.fact[i].value);
    }
}

enum status report_add_provenance(struct report *r, struct error *err) {
    (void)err;
    document_heading(r->doc, 2, "Provenance");
    for (size_t i = 0; i < r->runs; i++) {
        add_timeline(r, &r->run[i]);
        add_manifest(r->doc, &r->run[i]);
    }
    return STATUS_OK;
}
