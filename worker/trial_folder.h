// The folder of a trial, trials/<id>: its two checkpoints, and whose it is.
//
// A trainer that goes on with a trial claims its folder by putting its name into `owner`, and looks there again before
// each checkpoint takes its place. So a trainer that was given up for lost, but lives on behind a dead network or was
// stopped for a while, writes nothing any more as soon as another has taken over. One thread.
//
//     best.safetensors           the model at its best epoch
//     last.safetensors           all that a resume needs
//     last.previous.safetensors  the one before it, while the trial is under way: for when `last` turns out damaged
//     owner                      who trains it, while it is under way
#ifndef GRIDFOLD_WORKER_TRIAL_FOLDER_H
#define GRIDFOLD_WORKER_TRIAL_FOLDER_H

#include "model/base/file.h"

struct trial_folder {
    char best[PATH_SIZE], last[PATH_SIZE], previous[PATH_SIZE], owner[PATH_SIZE];
    char name[160]; // ours in `owner`
};

// The names alone: for a member of a group that only reads.
NODISCARD enum status trial_folder_name(const char *path, struct trial_folder *folder, struct error *err);
// Creates the folder where it is not there, makes it ours, and removes what killed writers have left in it.
NODISCARD enum status trial_folder_claim(const char *path, struct trial_folder *folder, struct error *err);

// Gives a checkpoint that has been written into `f` its name, when all of it is on disk. STATUS_LOST: the folder is
// another's by now; nothing has been changed. The file is committed or abandoned in any case. `keep`: what had the name
// before (NULL: it is replaced).
NODISCARD enum status trial_folder_commit(const struct trial_folder *folder, struct file_replace *f, const char *keep,
                                          struct error *err);

// The trial is over: leaves the two checkpoints alone.
void trial_folder_finish(const struct trial_folder *folder);

#endif
