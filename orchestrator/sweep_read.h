// The steps from a sweep file's entries to a struct sweep. Internal to the sweep file's reader.
#ifndef GRIDFOLD_ORCHESTRATOR_SWEEP_READ_H
#define GRIDFOLD_ORCHESTRATOR_SWEEP_READ_H

#include "orchestrator/sweep_ini.h"

// What the readers of sections share.
struct sweep_reader {
    const struct sweep_ini *ini;
    struct sweep *sweep;
    bool stored; // a run's own sweep.ini: nothing outside it is asked for
    struct error *err;
};

// [sweep], [folds], [compare].
enum status sweep_read_sweep(struct sweep_reader *r);
enum status sweep_read_folds(struct sweep_reader *r);
enum status sweep_read_compare(struct sweep_reader *r);
// "all" or "0, 2": ascending.
enum status sweep_read_fold_list(struct sweep_reader *r, const struct sweep_ini_entry *e, int *count, int *folds);

// What trains: the entries, and whether they go together once all are read.
enum status sweep_read_trainer(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_command(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_metric(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_metrics(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_direction(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_resume(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_max_epochs(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_check_trainer(struct sweep_reader *r);

// How the configurations are searched, and whether that goes together once all sections are read.
enum status sweep_read_method(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_first_rung(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_reduction_factor(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_run_cap(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_read_retry_failed(struct sweep_reader *r, const struct sweep_ini_entry *e);
enum status sweep_check_method(struct sweep_reader *r);

// The hyperparameter of an entry's key; [base] and grids of a sweep with another program declare it.
enum status sweep_find_hyper(struct sweep_reader *r, const struct sweep_ini_entry *e, int *hyper);
// When all sections are read: every trial has a value for every declared hyperparameter, and the command can be made.
enum status sweep_check_own(struct sweep_reader *r);

// A whole number in lowest .. highest.
enum status sweep_read_whole(struct sweep_reader *r, const struct sweep_ini_entry *e, unsigned long long lowest,
                             unsigned long long highest, unsigned long long *out);

bool sweep_is_sweep_key(const char *key);

// [base], [grid NAME] or [random NAME], [config NAME].
enum status sweep_read_base(struct sweep_reader *r, int section);
enum status sweep_read_grid(struct sweep_reader *r, int section);
enum status sweep_read_config(struct sweep_reader *r, int section);

// Winners of the grids of a finished run, added to the config's settings where these do not have the key.
enum status sweep_read_winners(const struct sweep_program *program, const char *run, struct sweep_config *config,
                               struct error *err);

// One value in canonical form as an axis; false: out of memory.
bool sweep_axis_add(struct sweep_axis *axis, const char *canonical);

enum status sweep_unknown_key(struct sweep_reader *r, const struct sweep_ini_entry *e, const char *const *keys,
                              size_t count);

// sweep->text; NULL: out of memory.
char *sweep_write_text(const struct sweep *sweep);

#endif
