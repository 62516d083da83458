#include "worker/trial_run.h"

#include <math.h>
#include <stdlib.h>

#include "worker/command_trainer.h"

// A trial that trains nothing: one epoch, whose number is the trial's id as a fraction.
static enum status run_nothing(const struct trial *trial, const struct trainer_hooks *hooks,
                               struct trial_result *result) {
    double value = (double)strtoull(trial->id, NULL, 16) / 18446744073709551616.0;
    struct epoch_metrics m = {.lr = NAN,
                              .train_loss = NAN,
                              .train_iou = NAN,
                              .train_f1 = NAN,
                              .val_loss = NAN,
                              .val_iou = value,
                              .val_f1 = NAN,
                              .val_precision = NAN,
                              .val_recall = NAN,
                              .grad_norm = NAN,
                              .value_count = 1,
                              .values = {value}};
    hooks->epoch(hooks->context, trial, &m, false, 0);
    *result = (struct trial_result){.status = TRIAL_DONE,
                                    .best_iou = value,
                                    .final_iou = value,
                                    .best_f1 = NAN,
                                    .train_val_gap = NAN,
                                    .epochs_run = 1};
    return STATUS_OK;
}

enum status trial_run(trainer *t, const struct trial *trial, const struct trainer_hooks *hooks,
                      struct trial_result *result, struct error *err) {
    switch (trial->program.kind) {
    case TRAINER_COMMAND:
        return command_trainer_run(trial, hooks, result, err);
    case TRAINER_NONE:
        return run_nothing(trial, hooks, result);
    default:
        return trainer_run(t, trial, hooks, result, err);
    }
}
