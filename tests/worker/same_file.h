// Trials that must have left the same bytes.
#ifndef GRIDFOLD_TESTS_WORKER_SAME_FILE_H
#define GRIDFOLD_TESTS_WORKER_SAME_FILE_H

#include "worker/trainer.h"

// Fails the running test unless the file `name` is the same, byte for byte, in both trials' folders.
void assert_same_file(const struct trial *a, const struct trial *b, const char *name);

#endif
