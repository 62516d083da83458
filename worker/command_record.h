// The epochs that a resumable program has told, kept in its trial's folder (epochs.csv): what a resume goes on from.
// Internal to the command trainer.
#ifndef GRIDFOLD_WORKER_COMMAND_RECORD_H
#define GRIDFOLD_WORKER_COMMAND_RECORD_H

#include "worker/command_output.h"

struct command_record {
    int fd; // -1: nothing is kept
    int count, capacity;
    struct command_epoch *at; // of all epochs so far, ascending
};

// Zero-initialise and set fd to -1. Opens `path` and takes in what it holds; a torn last line is dropped. STATUS_IO.
NODISCARD enum status command_record_open(struct command_record *r, const char *path, const char *metrics,
                                          struct error *err);
// Adds an epoch, in place of any from its number on, and puts it on disk. STATUS_INVALID: it leaves a gap.
NODISCARD enum status command_record_add(struct command_record *r, const struct command_epoch *e, struct error *err);
void command_record_close(struct command_record *r);

#endif
