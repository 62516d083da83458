// The keys of [sweep] that say how the configurations are searched: method, first-rung, reduction-factor, run-cap,
// retry-failed.
#include <string.h>

#include "model/base/nearest.h"
#include "orchestrator/sweep_read.h"

static const char *const methods[] = {[METHOD_GRID] = "grid", [METHOD_RANDOM] = "random", [METHOD_ASHA] = "asha"};
enum { METHODS = sizeof methods / sizeof *methods };

const char *sweep_method_name(enum search_method method) {
    return methods[method];
}

enum status sweep_read_method(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    for (int i = 0; i < METHODS; i++) {
        if (strcmp(e->value, methods[i]) != 0)
            continue;
        r->sweep->method = (enum search_method)i;
        return STATUS_OK;
    }
    return sweep_ini_error(r->ini, e->line, r->err, "method = %.80s: must be grid, random or asha; the nearest is %s",
                           e->value, text_nearest(e->value, methods, METHODS));
}

static enum status read_count(struct sweep_reader *r, const struct sweep_ini_entry *e, int lowest, int *out) {
    unsigned long long count = 0;
    TRY(sweep_read_whole(r, e, (unsigned long long)lowest, 1000000, &count));
    *out = (int)count;
    return STATUS_OK;
}

enum status sweep_read_first_rung(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_count(r, e, 1, &r->sweep->first_rung);
}

enum status sweep_read_reduction_factor(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_count(r, e, 2, &r->sweep->reduction_factor);
}

enum status sweep_read_run_cap(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    r->sweep->run_cap = 0;
    return strcmp(e->value, "none") == 0 ? STATUS_OK : read_count(r, e, 1, &r->sweep->run_cap);
}

enum status sweep_read_retry_failed(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    r->sweep->retry_failed = strcmp(e->value, "yes") == 0;
    if (r->sweep->retry_failed || strcmp(e->value, "no") == 0)
        return STATUS_OK;
    return sweep_ini_error(r->ini, e->line, r->err, "retry-failed = %.80s: must be yes or no", e->value);
}

// ---- whether they go together ----

// The line of a key of [sweep]; without the key, of the section.
static int line_of(const struct sweep_reader *r, const char *key) {
    int section = sweep_ini_section_find(r->ini, "sweep", "");
    const struct sweep_ini_entry *e = section >= 0 ? sweep_ini_find(r->ini, section, key) : NULL;
    return e ? e->line : section >= 0 ? r->ini->sections[section].line : 1;
}

// Rungs that nobody would come to: the method was forgotten. Where it is given it may have been changed for once.
static enum status refuse_rung_keys(struct sweep_reader *r) {
    static const char *const keys[] = {"first-rung", "reduction-factor"};
    int section = sweep_ini_section_find(r->ini, "sweep", "");
    bool given = section < 0 || sweep_ini_find(r->ini, section, "method");
    for (size_t i = 0; !given && i < sizeof keys / sizeof *keys; i++)
        if (sweep_ini_find(r->ini, section, keys[i]))
            return sweep_ini_error(r->ini, line_of(r, keys[i]), r->err,
                                   "%s belongs to method = asha, which [sweep] does not say", keys[i]);
    return STATUS_OK;
}

static enum status refuse_swept_epochs(struct sweep_reader *r) {
    for (int i = 0; i < r->sweep->grid_count; i++) {
        const struct sweep_grid *grid = &r->sweep->grids[i];
        for (int j = 0; j < grid->axis_count; j++)
            if (grid->axes[j].hyper == HYPER_epochs)
                return sweep_ini_error(r->ini, grid->axes[j].line, r->err,
                                       "[%s %s] sweeps epochs: under method = asha all are compared after the same "
                                       "numbers of epochs; set epochs in [base]",
                                       grid->points > 0 ? "random" : "grid", grid->name);
    }
    return STATUS_OK;
}

enum status sweep_check_method(struct sweep_reader *r) {
    const struct sweep *s = r->sweep;
    if (s->method != METHOD_ASHA)
        return refuse_rung_keys(r);
    if (s->program.kind == TRAINER_NONE)
        return sweep_ini_error(r->ini, line_of(r, "method"), r->err,
                               "method = asha has nothing to compare with trainer = none, which trains no epochs");
    if (!program_knows_epochs(&s->program))
        return sweep_ini_error(r->ini, line_of(r, "method"), r->err,
                               "method = asha needs max-epochs = EPOCHS of a whole training by the command");
    if (s->grid_count == 0)
        return sweep_ini_error(r->ini, line_of(r, "method"), r->err,
                               "method = asha has nothing to choose among; add a [random NAME] or a [grid NAME]");
    if (s->first_rung == 0)
        return sweep_ini_error(r->ini, line_of(r, "method"), r->err,
                               "method = asha needs first-rung = EPOCHS, after which the first choice is made");
    if (s->first_rung >= s->base.epochs)
        return sweep_ini_error(r->ini, line_of(r, "first-rung"), r->err,
                               "first-rung = %d: must be less than the %d epochs of a training", s->first_rung,
                               s->base.epochs);
    return refuse_swept_epochs(r);
}
