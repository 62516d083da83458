// From hyperparameters to the model they ask for.
#ifndef GRIDFOLD_WORKER_TRIAL_MODEL_H
#define GRIDFOLD_WORKER_TRIAL_MODEL_H

#include "model/lstm_unet.h"
#include "worker/hyperparameters.h"

// The model of a trial on T steps of `bands` bands; its batch is the trial's batch size.
struct lstm_unet_config trial_model(const struct hyperparameters *hp, int steps, int bands);

#endif
