// A dataset file small enough to train on in a second: bright rectangles that appear in the later timesteps.
#ifndef GRIDFOLD_TESTS_WORKER_SMALL_DATASET_H
#define GRIDFOLD_TESTS_WORKER_SMALL_DATASET_H

enum {
    SMALL_SAMPLES = 7,
    SMALL_TEST_SAMPLES = 1,
    SMALL_BANDS = 4,
    SMALL_STEPS = 2,
    SMALL_HEIGHT = 34,
    SMALL_WIDTH = 37
};

// Bands blue, green, red, nir; steps 2018 and 2024; sample "s6" is held out. Fails the running test when it cannot
// write.
void small_dataset_write(const char *path);

#endif
