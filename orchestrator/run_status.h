// Where a running or stopped sweep stands, from its files alone: `gridfold status`, `gridfold verify`.
//
// Nothing is locked and nothing written, so it may be read while a master appends. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_STATUS_H
#define GRIDFOLD_ORCHESTRATOR_RUN_STATUS_H

#include "orchestrator/plan.h"
#include "results/run_files.h"

enum standing {
    STANDING_WAITING,
    STANDING_RUNNING,
    STANDING_PAUSED,  // to be gone on with, or to wait for its rung
    STANDING_CAPPED,  // left out by the run cap
    STANDING_DONE,    // from here on it has its result
    STANDING_STOPPED, // early, by the search
    STANDING_FAILED,
    STANDING_DIVERGED,
    STANDING_STATES
};
const char *standing_name(enum standing state); // "waiting", "running", "paused", "done", ...

struct trial_standing {
    char trial[RUN_ID_SIZE], config[RUN_NAME_SIZE];
    int fold; // -1: not known
    enum standing state;
    int epochs, of;            // ended, and how many there will be; 0: not known
    double last_iou, best_iou; // of the metric that decides; NaN: none yet
    bool planned;              // a trial of the sweep's plan
    char host[64];             // where it runs
    int worker;                // rank, -1: none
};

struct run_status {
    const char *folder; // the caller's
    struct sweep *sweep;
    struct trial_standing *trials;
    int count, capacity;
    struct id_index index;                 // of trials
    int waiting_rows;                      // rows of grids and configs that wait for winners
    char last_event[32];                   // ISO 8601 UTC, "": none
    bool alive;                            // a process holds the run's lock
    char plan_missing[ERROR_MESSAGE_SIZE]; // why not all of the plan is known (the dataset is elsewhere); "": it is
};

// STATUS_NOT_FOUND when the folder has no sweep.ini; STATUS_FORMAT from the readers of its files.
NODISCARD enum status run_status_read(const char *folder, struct run_status *r, struct error *err);
void run_status_free(struct run_status *r);

// The trial with this id; NULL: none.
struct trial_standing *run_status_find(const struct run_status *r, const char *id);
void run_status_count(const struct run_status *r, int counts[STANDING_STATES]);
bool run_status_is_complete(const struct run_status *r);
const struct trial_standing *run_status_best(const struct run_status *r); // best best_iou so far; NULL: none

#endif
