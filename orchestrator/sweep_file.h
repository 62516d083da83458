// A sweep file, parsed and checked: what is to be tried, on which folds, and where the results go.
//
// Sections: [sweep], [folds], [base], [grid NAME], [random NAME], [config NAME], [compare]. Parsed by inih; every error
// is one line with file, line number, what is wrong and the nearest valid key. Nothing runs before the whole file has
// been read and checked. A sweep is immutable once parsed.
//
// Lists are separated by commas, alternatives of decoder-channels (a list itself) by '|'. `@GRID` stands for the
// winner's value of that key in an earlier grid. `from = RUN_DIR` takes the winners of a finished run's grids, `from =
// @this` those of this sweep's own. `folds = 3` or `folds = all` in a grid or config stands over [folds] run. Relative
// paths start at the working directory.
#ifndef GRIDFOLD_ORCHESTRATOR_SWEEP_FILE_H
#define GRIDFOLD_ORCHESTRATOR_SWEEP_FILE_H

#include "model/base/file.h"
#include "orchestrator/sweep_program.h"

enum {
    SWEEP_MAX_POINTS = 100000,
    SWEEP_NAME_SIZE = 64,
    SWEEP_MAX_FOLDS = 64,
    SWEEP_MAX_AXES = 16,
    SWEEP_MAX_GRIDS = 64,
    SWEEP_MAX_CONFIGS = 64,
    SWEEP_MAX_TRAINERS_PER_GPU = 64
};

// What a [random NAME] draws a value from (orchestrator/sweep_random.h); both ends included.
enum range_kind { RANGE_NONE, RANGE_UNIFORM, RANGE_LOG_UNIFORM, RANGE_INT, RANGE_LOG_INT };
struct sweep_range {
    enum range_kind kind;
    double low, high;
};

// One swept hyperparameter of a grid: its values as canonical text, or the winner of an earlier grid
// ("@learning-rate").
struct sweep_axis {
    int hyper;       // index in the hyperparameter table
    int value_count; // 0 with a reference or a range
    char (*values)[HYPER_VALUE_SIZE];
    int reference; // grid whose winner gives the value; -1: none
    struct sweep_range range;
    int line;
};

// How the points of [grid] and [random] sections are searched (results/halving.h, orchestrator/run_cap.h).
enum search_method {
    METHOD_GRID,   // every one is trained to its end, in the order of the plan
    METHOD_RANDOM, // every one, the points of a [grid] in a drawn order; that matters where run-cap leaves some out
    METHOD_ASHA,   // successive halving: the worst are stopped early
};

struct sweep_grid {
    char name[SWEEP_NAME_SIZE];
    int points; // [random NAME]: how many are drawn; 0: a [grid NAME], the product of its lists
    int axis_count;
    struct sweep_axis axes[SWEEP_MAX_AXES];    // in file order: the last varies fastest
    int run_count, run_folds[SWEEP_MAX_FOLDS]; // the folds that this grid runs on, ascending
    int line;
};

struct sweep_config {
    char name[SWEEP_NAME_SIZE];
    // Whose grids' winners are taken over [base]: "" nobody's, "@this" this sweep's (plan_resolve), else a run
    // folder's, which were read when the sweep was parsed and stand among the settings; `text` has the settings and no
    // `from` then.
    char from[PATH_SIZE];
    int setting_count; // settings over `from`, each with one value or a reference
    struct sweep_axis settings[HYPER_ALL];
    int run_count, run_folds[SWEEP_MAX_FOLDS]; // the folds that this config runs on, ascending
    int line;
};

struct sweep {
    char path[PATH_SIZE]; // of the sweep file; "" for `gridfold train`
    char name[SWEEP_NAME_SIZE];
    struct sweep_program program;
    char dataset[PATH_SIZE]; // "" when the program is not the embedded trainer
    char output[PATH_SIZE];
    uint64_t seed;                             // 42
    char backend[32];                          // "auto"
    int threads;                               // per trainer; 0: the host's cores shared among its trainers
    int members;                               // GPUs, or processes on CPUs, that train a trial together; 1
    int trainers_per_gpu;                      // trials that share a GPU at a time; 0: not said
    double device_memory_gib;                  // of a GPU, for the plan; 0: what is free on those here
    bool sync_batchnorm;                       // their batch norms take the statistics of the whole batch; true
    double checkpoint_seconds;                 // 60
    int max_attempts;                          // 3
    double hang_seconds;                       // silence of a trainer that counts as a hang; 0: auto
    double worker_timeout;                     // seconds of silence until a worker is lost; 60
    double time_limit;                         // seconds from the start of a run until it must have ended; 0: none
    double master_timeout;                     // seconds of the master's silence until a worker leaves; 120
    enum search_method method;                 // grid
    int first_rung;                            // asha: epochs of the first rung; else 0
    int reduction_factor;                      // asha: 3
    int run_cap;                               // trials that are run at most; 0: all
    bool retry_failed;                         // failed trials of an earlier run are tried again
    int folds;                                 // 5
    int run_count, run_folds[SWEEP_MAX_FOLDS]; // the folds to run, ascending
    struct hyperparameters base;
    int grid_count, config_count;
    struct sweep_grid *grids; // in file order
    struct sweep_config *configs;
    int compare_baseline, compare_candidate; // config indices, -1: none
    int swept_count, swept[HYPER_ALL];       // hyperparameters that any grid or config sets, in table order
    char *text; // canonical text of the whole sweep, overrides applied: written to the run's sweep.ini
};

// `overrides` are "key=value" words of the command line: a hyperparameter (set in [base]), a key of [sweep], or
// "SECTION.key" ("folds.run=all", "grid learning-rate.lr=0.1, 0.2"). STATUS_INVALID, STATUS_NOT_FOUND.
NODISCARD enum status sweep_parse(const char *path, const char *const *overrides, int override_count,
                                  struct sweep **sweep, struct error *err);
// The same from text (tests, `gridfold train`); `path` names it in messages.
NODISCARD enum status sweep_parse_text(const char *text, const char *path, const char *const *overrides,
                                       int override_count, struct sweep **sweep, struct error *err);
// The sweep.ini of a run folder: dataset and other files need not be there any more.
NODISCARD enum status sweep_parse_stored(const char *path, struct sweep **sweep, struct error *err);
void sweep_destroy(struct sweep *sweep);
bool sweep_may_use_cuda(const struct sweep *sweep);       // the embedded trainer, and no CPU backend asked for
const char *sweep_method_name(enum search_method method); // "grid", "random", "asha"
const char *sweep_trainer_name(enum trainer_kind kind);   // "embedded", "command", "none"

#endif
