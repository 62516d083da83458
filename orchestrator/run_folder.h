// The folder of a run: its lock, what it says of itself, and the CSV files that are the sweep's whole state.
//
// Only rank 0 opens one. A result counts when its rows are on disk, and nothing else has to agree with them: opening
// the folder again and loading it is a resume. epochs.csv takes every (trial, epoch) once, trials.csv every row of the
// plan once. While the sweep runs rows stand in the order in which they came; run_folder_finalize rewrites both files
// in plan order, so that they are the same bytes whatever happened on the way. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_FOLDER_H
#define GRIDFOLD_ORCHESTRATOR_RUN_FOLDER_H

#include "orchestrator/plan.h"
#include "results/run_files.h"
#include "worker/trainer.h"

typedef struct run_folder run_folder;

// Creates sweep->output where it is not there, and takes its lock. STATUS_LOST: another process of this or another host
// holds it (the message says which). STATUS_MISMATCH: the folder holds another sweep, or its dataset has changed; the
// message names what differs. What does not change results may differ: the settings of [sweep] that say when to
// checkpoint and when to give up, output, name. Where threads is auto, the number that the sweep was started with stays
// (run_folder_threads).
NODISCARD enum status run_folder_open(const struct sweep *sweep, const dataset *ds, run_folder **f, struct error *err);
void run_folder_close(run_folder *f);

// To be called now and then: the folder is still there and still ours (run_lock_check). Nothing more is written after a
// failure.
NODISCARD enum status run_folder_check(run_folder *f, double now, struct error *err);

const char *run_folder_path(const run_folder *f); // absolute
bool run_folder_is_resumed(const run_folder *f);
int run_folder_threads(const run_folder *f); // a trainer's, as recorded by an earlier start; 0: none was

// What a start adds to manifest.ini.
struct run_folder_start {
    int ranks, threads;
    const char *mpi;          // version, or "none"
    const char *const *hosts; // one a worker: "host: device, 16 cores"
    int host_count;
};
NODISCARD enum status run_folder_add_start(run_folder *f, const struct run_folder_start *start, struct error *err);

// Takes in what earlier runs have left; the plan may grow afterwards. With retry-failed, trials that have failed there
// are as those without a result. Trials that cannot run (plan_trial.refused) get
// their rows.
NODISCARD enum status run_folder_load(run_folder *f, const struct plan *plan, struct error *err);
// The plan has grown: adds the rows that are due, those of finished and refused trials that have none yet.
NODISCARD enum status run_folder_write_rows(run_folder *f, const struct plan *plan, struct error *err);

// The result of a trial of the plan, until the next call; NULL: it has none yet.
const struct trial_result *run_folder_result(run_folder *f, const struct plan *plan, int trial);
int run_folder_epochs(const run_folder *f, const struct plan *plan, int trial);          // how many are recorded
bool run_folder_has_checkpoint(const run_folder *f, const struct plan *plan, int trial); // last.safetensors is there
// Its trainer has left it in order: nothing of a trainer at work is there beside the checkpoint.
bool run_folder_is_at_rest(const run_folder *f, const struct plan *plan, int trial);

// With method = asha: the decisive metric's best value of the first `epochs` epochs, as trials.csv would have it; NaN
// too where one of them is not on record.
double run_folder_best(const run_folder *f, const struct plan *plan, int trial, int epochs);
// The same: what is on record of a trial, as the result of one that was stopped there.
void run_folder_stopped_result(const run_folder *f, const struct plan *plan, int trial, struct trial_result *result);

// Adds an epoch unless it is there already; *fresh (may be NULL) tells. An epoch that another program tells again is
// added again: the last one counts, and none that stood before it from that epoch on.
NODISCARD enum status run_folder_add_epoch(run_folder *f, const struct plan *plan, int trial,
                                           const struct epoch_metrics *metrics, bool *fresh, struct error *err);
// Records a trial's end. It counts when run_folder_commit has returned.
NODISCARD enum status run_folder_add_result(run_folder *f, const struct plan *plan, int trial,
                                            const struct trial_result *result, struct error *err);
// Appends to events.csv; `time` is filled in.
NODISCARD enum status run_folder_add_event(run_folder *f, struct event_row *row, struct error *err);

// What has been added is in memory until it is committed: one fdatasync for everything that came together, which costs
// as much as for one row. Epochs are on disk before the rows of a result, and both when this returns; epochs and events
// alone are written, not synced. What an error kept off the disk is dropped: its trials are to be gone on with.
bool run_folder_has_uncommitted(const run_folder *f);
NODISCARD enum status run_folder_commit(run_folder *f, struct error *err);

// Commits, and rewrites epochs.csv and trials.csv in plan order; nothing can be added afterwards.
NODISCARD enum status run_folder_finalize(run_folder *f, const struct plan *plan, struct error *err);

#endif
