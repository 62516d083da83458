#include <stdio.h>

#include "worker/trainer_session.h"

// The best checkpoint that belongs to the restored state. One of a later epoch will do as well: the state comes from an
// older `last`, training will come to that epoch again, and find the same weights.
static enum status check_best(const struct session *s, bool whole, struct error *err) {
    const struct training_state *state = &s->state;
    int epoch = -1;
    if (state->best_epoch < 0)
        return STATUS_OK;
    TRY(checkpoint_best_epoch(s->folder.best, s->trial, whole, &epoch, err));
    if (epoch == state->best_epoch || epoch >= state->history_count)
        return STATUS_OK;
    return error_set(err, STATUS_MISMATCH, "%s is of epoch %d, not %d", s->folder.best, epoch, state->best_epoch);
}

static bool try_checkpoint(struct session *s, const char *path) {
    struct error err;
    enum status status = checkpoint_resume(path, s->trial, s->t->net, &s->state, &err);
    if (status == STATUS_NOT_FOUND)
        return false;
    if (status == STATUS_OK)
        status = check_best(s, true, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "trainer: trial %s: not resumed from it: %s\n", s->trial->id, err.message);
    return status == STATUS_OK;
}

// What another member cannot read, after member 0 has found it good, says something of the disk and nothing of the
// trial.
static enum status read_as_well(struct session *s, const char *path, struct error *err) {
    enum status status = checkpoint_resume(path, s->trial, s->t->net, &s->state, err);
    if (status == STATUS_NOT_FOUND || status == STATUS_FORMAT || status == STATUS_MISMATCH)
        err->status = status = STATUS_IO;
    return status;
}

enum status session_resume(struct session *s, bool *resumed, struct error *err) {
    const char *const files[] = {s->folder.last, s->folder.previous};
    enum { FILES = sizeof files / sizeof *files };
    int found = FILES;
    if (session_leads(s))
        for (found = 0; found < FILES && !try_checkpoint(s, files[found]);)
            found++;
    TRY(collectives_tell(s->t->together, &found, err));
    *resumed = found < FILES;
    enum status status = *resumed && !session_leads(s) ? read_as_well(s, files[found], err) : STATUS_OK;
    TRY(collectives_agree(s->t->together, status, err));
    for (int i = 0; session_leads(s) && *resumed && i < s->state.history_count; i++)
        s->hooks->epoch(s->hooks->context, s->trial, &s->state.history[i], true, 0);
    return STATUS_OK;
}

enum status session_finish(const struct session *s, struct error *err) {
    if (check_best(s, false, err) != STATUS_OK)
        return error_set(err, STATUS_LOST, "trial %s: best.safetensors is not what was written there", s->trial->id);
    trial_folder_finish(&s->folder);
    return STATUS_OK;
}
