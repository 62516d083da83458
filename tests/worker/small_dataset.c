#include "tests/worker/small_dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "model/base/safetensors.h"

enum { PIXELS = SMALL_HEIGHT * SMALL_WIDTH, FLOATS = SMALL_STEPS * SMALL_BANDS * PIXELS };

static void draw_sample(int index, float *image, uint8_t *mask) {
    struct rng r = rng_stream(7, 0, RNG_TEST, 0, (uint32_t)index);
    int top = 4 + (int)rng_below(&r, 8), left = 4 + (int)rng_below(&r, 8), side = 8 + (int)rng_below(&r, 10);
    for (int p = 0; p < PIXELS; p++) {
        int y = p / SMALL_WIDTH, x = p % SMALL_WIDTH;
        mask[p] = y >= top && y < top + side && x >= left && x < left + side;
    }
    for (int i = 0; i < FLOATS; i++) {
        int step = i / (SMALL_BANDS * PIXELS), pixel = i % PIXELS;
        image[i] = (float)(1000 + 200 * rng_normal(&r)) + (step == 1 && mask[pixel] ? 900.0f : 0.0f);
    }
}

void small_dataset_write(const char *path) {
    struct error err;
    safetensors_writer *w;
    static float images[SMALL_SAMPLES][FLOATS];
    static uint8_t masks[SMALL_SAMPLES][PIXELS];
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "format", "gridfold-dataset-1", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "bands", "blue, green, red, nir", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "steps", "2018, 2024", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "test", "s6", &err), STATUS_OK);
    for (int i = 0; i < SMALL_SAMPLES; i++) {
        char name[32];
        draw_sample(i, images[i], masks[i]);
        snprintf(name, sizeof name, "s%d/image", i);
        assert_int_equal(safetensors_add(w, name, DTYPE_F32, 4,
                                         (int64_t[]){SMALL_STEPS, SMALL_BANDS, SMALL_HEIGHT, SMALL_WIDTH}, images[i],
                                         &err),
                         STATUS_OK);
        snprintf(name, sizeof name, "s%d/mask", i);
        assert_int_equal(safetensors_add(w, name, DTYPE_U8, 2, (int64_t[]){SMALL_HEIGHT, SMALL_WIDTH}, masks[i], &err),
                         STATUS_OK);
    }
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
}
