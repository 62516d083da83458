// What the trainer of fake_trainer.c answers.
#ifndef GRIDFOLD_TESTS_WORKER_FAKE_TRAINER_H
#define GRIDFOLD_TESTS_WORKER_FAKE_TRAINER_H

#include "worker/trainer.h"

struct epoch_metrics fake_metrics(const struct trial *trial, int epoch);

#endif
