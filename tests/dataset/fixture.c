#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

#include "model/base/file.h"
#include "model/base/safetensors.h"

static int steps_in(const char *list) {
    int n = 1;
    for (const char *p = list; (p = strchr(p, ',')); p++)
        n++;
    return n;
}

struct fixture_tile fixture_tile_create(const char *id, int steps, int bands, int height, int width) {
    size_t pixels = (size_t)height * (size_t)width;
    struct fixture_tile t = {.id = id, .height = height, .width = width};
    t.image = malloc((size_t)steps * (size_t)bands * pixels * sizeof(float));
    t.mask = calloc(pixels, 1);
    assert_non_null(t.image);
    assert_non_null(t.mask);
    float *p = t.image;
    for (int step = 0; step < steps; step++)
        for (int band = 0; band < bands; band++)
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++)
                    *p++ = (float)(100000 * step + 10000 * band + 100 * y + x);
    return t;
}

void fixture_tile_free(struct fixture_tile *tile) {
    free(tile->image);
    free(tile->mask);
}

void fixture_tile_set_share(struct fixture_tile *tile, double share) {
    size_t pixels = (size_t)tile->height * (size_t)tile->width;
    for (size_t i = 0; i < pixels; i++)
        tile->mask[i] = (double)i < share * (double)pixels;
}

void fixture_write(const char *path, const struct fixture_tile *tiles, int count, const char *bands, const char *steps,
                   const char *test) {
    struct error err = {0};
    safetensors_writer *w;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "format", "gridfold-dataset-1", &err), STATUS_OK);
    const char *const pairs[][2] = {{"bands", bands}, {"steps", steps}, {"test", test}};
    for (int i = 0; i < 3; i++)
        if (pairs[i][1])
            assert_int_equal(safetensors_add_metadata(w, pairs[i][0], pairs[i][1], &err), STATUS_OK);
    for (int i = 0; i < count; i++) {
        char name[64];
        const struct fixture_tile *t = &tiles[i];
        snprintf(name, sizeof name, "%s/image", t->id);
        int64_t shape[4] = {steps ? steps_in(steps) : 1, bands ? steps_in(bands) : 1, t->height, t->width};
        assert_int_equal(safetensors_add(w, name, DTYPE_F32, 4, shape, t->image, &err), STATUS_OK);
    }
    for (int i = 0; i < count; i++) {
        char name[64];
        const struct fixture_tile *t = &tiles[i];
        snprintf(name, sizeof name, "%s/mask", t->id);
        int64_t shape[2] = {t->height, t->width};
        assert_int_equal(safetensors_add(w, name, DTYPE_U8, 2, shape, t->mask, &err), STATUS_OK);
    }
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
}

static char folder[64];

const char *fixture_path(const char *name) {
    static char path[256];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/gridfold-dataset-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *ftw) {
    (void)s;
    (void)type;
    (void)ftw;
    return remove(path);
}

int fixture_remove_folder(void **state) {
    (void)state;
    if (!folder[0])
        return 0;
    int failed = nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    folder[0] = 0;
    return failed;
}
