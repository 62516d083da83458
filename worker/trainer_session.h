// One trial under way: what the parts of the trainer share. Internal to it.
#ifndef GRIDFOLD_WORKER_TRAINER_SESSION_H
#define GRIDFOLD_WORKER_TRAINER_SESSION_H

#include "worker/checkpoint_writer.h"
#include "worker/trainer_prepare.h"

struct session {
    trainer *t;
    const struct trial *trial;
    const struct trainer_hooks *hooks;
    struct checkpoint_context context;
    struct training_state state;
    struct optimizer_config optimizer;
    struct trial_folder folder;
    checkpoint_writer *writer; // NULL: checkpoints are written between steps
    bool best_pending;         // a new best stands in the snapshot, and no checkpoint with it has been begun
    bool stopping;             // the hooks have said so
    bool told_unrecorded;      // that steps are handed to the device call by call
    double epoch_began, last_written;
};

// Goes on from the folder's newest checkpoint that is whole and of this trial, and replays its epochs; says on stderr
// what was wrong with those that were passed over. *resumed false: there is none, and network and state are to be made
// anew. Member 0 of a group finds it, and the others read the same file.
NODISCARD enum status session_resume(struct session *s, bool *resumed, struct error *err);

// Whether this trainer writes and reports: alone, or member 0.
static inline bool session_leads(const struct session *s) {
    return !s->t->together || s->t->together->member == 0;
}

// The trial has been trained to its end and everything is written: makes sure that best.safetensors is this trainer's,
// and tidies the folder. STATUS_LOST: it is not.
NODISCARD enum status session_finish(const struct session *s, struct error *err);

#endif
