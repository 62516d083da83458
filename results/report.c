#include "results/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/base/file.h"
#include "results/report_parts.h"

static enum status build(struct report *r, struct error *err) {
    char names[1024] = "";
    for (size_t i = 0, used = 0; i < r->runs && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", r->run[i].name);
    document_heading(r->doc, 1, "Sweep report: %s", names);
    TRY(report_read_configs(r, err));
    TRY(report_add_configuration(r, err));
    TRY(report_add_search(r, err));
    TRY(report_add_validation(r, err));
    TRY(report_add_held_out(r, err));
    TRY(report_add_health(r, err));
    return report_add_provenance(r, err);
}

typedef enum status writer(const document *doc, const char *folder, FILE *out, struct error *err);

static enum status write_file(const document *doc, const char *folder, const char *name, writer *write,
                              struct error *err) {
    char path[PATH_SIZE], *text = NULL;
    size_t bytes = 0;
    TRY(path_join(path, folder, name, err));
    FILE *memory = open_memstream(&text, &bytes);
    if (!memory)
        return error_memory(err, path);
    enum status status = write(doc, folder, memory, err);
    if (fclose(memory) != 0 && status == STATUS_OK)
        status = error_memory(err, path);
    if (status == STATUS_OK)
        status = file_write(path, text, bytes, err);
    free(text);
    return status;
}

static enum status write_all(const struct report *r, const char *out_dir, FILE *terminal, struct error *err) {
    char folder[PATH_SIZE], *notice;
    if (!out_dir) {
        TRY(path_join(folder, r->run[0].folder, "report", err));
        out_dir = folder;
    }
    TRY(file_make_directories(out_dir, err));
    TRY(figures_draw(r->figures, out_dir, &notice, err));
    if (notice)
        document_paragraph(r->doc, "%s", notice);
    free(notice);
    TRY(document_write_csv(r->doc, out_dir, err));
    TRY(write_file(r->doc, out_dir, "report.md", document_write_markdown, err));
    TRY(write_file(r->doc, out_dir, "report.html", document_write_html, err));
    return terminal ? document_write_text(r->doc, terminal, TABLE_TERMINAL_WIDTH, err) : STATUS_OK;
}

static void report_free(struct report *r) {
    for (size_t i = 0; i < r->configs; i++)
        fold_series_free(&r->config[i].series);
    for (size_t i = 0; i < r->runs; i++)
        run_data_free(&r->run[i]);
    free(r->config);
    free(r->run);
    document_destroy(r->doc);
    figures_destroy(r->figures);
}

static enum status read_run(const char *path, struct run_data *run, struct error *err) {
    return file_exists(path) && !file_is_directory(path) ? run_data_read_external(path, run, err)
                                                         : run_data_read(path, run, err);
}

// Twice the same figures beside each other would look like two runs that agree.
static enum status check_distinct(const struct report_config *config, struct error *err) {
    for (int i = 0; i < config->runs; i++)
        for (int k = 0; k < i; k++) {
            struct stat a, b;
            if (stat(config->run[i], &a) == 0 && stat(config->run[k], &b) == 0 && a.st_dev == b.st_dev &&
                a.st_ino == b.st_ino)
                return error_set(err, STATUS_INVALID, "%s and %s are the same run: name it once", config->run[k],
                                 config->run[i]);
        }
    return STATUS_OK;
}

enum status report_write(const struct report_config *config, struct error *err) {
    if (config->runs < 1)
        return error_set(err, STATUS_INVALID, "no run folder to report on");
    TRY(check_distinct(config, err));
    struct report r = {.run = calloc((size_t)config->runs, sizeof *r.run),
                       .baseline = config->baseline,
                       .candidate = config->candidate,
                       .doc = document_create(),
                       .figures = figures_create()};
    enum status status = r.run && r.doc && r.figures ? STATUS_OK : error_memory(err, "report");
    for (int i = 0; i < config->runs && status == STATUS_OK; i++) {
        status = read_run(config->run[i], &r.run[i], err);
        r.runs += status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = build(&r, err);
    if (status == STATUS_OK)
        status = write_all(&r, config->out_dir, config->terminal, err);
    report_free(&r);
    return status;
}
