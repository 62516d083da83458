// The plan: which trials a sweep consists of, which table rows share them, what each costs. Pure: no clock, no MPI, no
// file but the dataset's header.
//
// Grids that refer to winners of earlier ones are expanded when those are complete (plan_resolve), configs that refer
// to winners when all grids are; the expansion depends on results alone, so a resumed sweep expands to the same trials
// and rows in the same order. Owned by rank 0.
#ifndef GRIDFOLD_ORCHESTRATOR_PLAN_H
#define GRIDFOLD_ORCHESTRATOR_PLAN_H

#include "model/device_memory.h"
#include "model/network.h"
#include "orchestrator/id_index.h"
#include "orchestrator/sweep_file.h"
#include "worker/dataset/dataset.h"

enum { PLAN_LABEL_SIZE = 160 };

struct plan_trial {
    char id[TRIAL_ID_SIZE];
    struct hyperparameters hp;
    int fold;
    int first_row;                // of plan.rows that uses it
    char config[PLAN_LABEL_SIZE]; // [config NAME], or "lr=0.01" for a grid point: the first row that uses the trial
    struct network_cost cost;     // zeros when the model cannot be built
    struct device_memory gpu;     // of one of its GPUs; zeros when it is not trained by CUDA, or cannot be built
    double work;                  // floating-point operations of the whole trial
    bool withheld;                // beyond the run cap (run_cap.h): not run
    const char *refused;          // why it cannot run ("image-size 128: ..."); "" when it can. Such a trial is a
                                  // failed row, not run. The plan's
};

// One row of the tables: a grid point or a config on a fold, and the trial that stands behind it.
struct plan_row {
    int grid;   // -1: a config
    int config; // -1: a grid point
    int point;  // which point of the grid, its last key varying fastest; 0 for a config
    char label[PLAN_LABEL_SIZE];
    int fold;
    int trial;
};

struct plan_costs; // what has been estimated already

struct plan {
    const struct sweep *sweep;
    struct plan_trial *trials;
    int trial_count;
    int withheld;          // how many of them are
    struct plan_row *rows; // in the order of expansion: points or configs in the order of the file, then folds; trials
                           // and rows only ever grow at the end
    int row_count;
    int grids_expanded;   // of sweep->grid_count; grids are expanded in file order, each once its references are known
    int configs_expanded; // of sweep->config_count; those without references first, then the others in file order
    bool config_expanded[SWEEP_MAX_CONFIGS];
    int trial_capacity, row_capacity;
    struct id_index index; // of trials
    struct plan_costs *costs;
};

// A trial's outcome as far as planning cares.
struct plan_outcome {
    bool finished; // done, failed, diverged or stopped
    double score;  // higher is better (program_score of the best metric); -inf: stopped, its configuration cannot win;
                   // NaN: failed or diverged
};

// Expands what does not depend on results. `ds` is NULL where the program is not the embedded trainer. Reads the
// dataset for bands, steps and tile sizes (tiles smaller than the crop are a `refused`).
// A sweep with a run cap of which nothing can be run is refused.
NODISCARD enum status plan_create(const struct sweep *sweep, const dataset *ds, struct plan **plan, struct error *err);
void plan_destroy(struct plan *plan);
int plan_find_trial(const struct plan *plan, const char *id); // -1: no trial of the plan
// Expands grids whose references are now decided; *added is the number of new trials. outcomes[trial_count]. A grid
// whose winner cannot be told (all failed) is an error that names it; refused trials count as finished without a
// result.
NODISCARD enum status plan_resolve(struct plan *plan, const dataset *ds, const struct plan_outcome *outcomes,
                                   int *added, struct error *err);
bool plan_is_complete(const struct plan *plan); // every grid and config is expanded

// How many rows a grid that is not expanded yet will have at least (its references count as one value).
int plan_grid_rows(const struct sweep_grid *grid);

// STATUS_INVALID when every trial that is known so far is refused: there is nothing to run. Says why the first one is.
NODISCARD enum status plan_check_runnable(const struct plan *plan, struct error *err);

#endif
