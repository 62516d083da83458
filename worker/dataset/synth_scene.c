#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset/synth.h"

enum { PART_SCENE = 0, MAX_ATTEMPTS = 200, STREAMS_OF_AN_ATTEMPT = 4096 };

// The share of land-take that is aimed at; the measured one must lie in the level whatever the mask's edges do.
static const double aims[CHANGE_LEVELS][2] = {{0.006, 0.042}, {0.065, 0.27}, {0.33, 0.48}};
static const double UNCHANGED = 0.2; // of the low tiles: no land-take at all

struct rng scene_stream(const struct scene *s, int part, int index) {
    return rng_stream(s->seed, s->tile, RNG_SYNTH, (uint32_t)(s->attempt * STREAMS_OF_AN_ATTEMPT + part),
                      (uint32_t)index);
}

static void attempt(struct scene *s, enum change_level level) {
    struct rng r = scene_stream(s, PART_SCENE, 0);
    size_t pixels = (size_t)s->height * (size_t)s->width;
    memset(s->mask, 0, pixels);
    memset(s->taken, 0, pixels);
    for (size_t i = 0; i < pixels; i++)
        s->built[i] = 1;
    s->angle = 3.14159265 * rng_uniform(&r);
    bool unchanged = level == CHANGE_LOW && rng_uniform(&r) < UNCHANGED;
    double share = aims[level][0] + (aims[level][1] - aims[level][0]) * rng_uniform(&r);
    scene_paint_country(s);
    scene_paint_settlements(s);
    if (!unchanged)
        scene_develop(s, share);
}

enum status scene_create(struct scene *s, uint64_t seed, int tile, int height, int width, enum change_level level,
                         struct error *err) {
    size_t pixels = (size_t)height * (size_t)width;
    *s = (struct scene){.seed = seed, .tile = tile, .height = height, .width = width};
    s->cover = malloc(SYNTH_STEPS * pixels);
    s->vigour = malloc(SYNTH_STEPS * pixels * sizeof *s->vigour);
    s->gain = malloc(pixels * sizeof *s->gain);
    s->built = malloc(pixels * sizeof *s->built);
    s->taken = malloc(pixels);
    s->mask = malloc(pixels);
    if (!s->cover || !s->vigour || !s->gain || !s->built || !s->taken || !s->mask) {
        scene_free(s);
        return error_memory(err, "synthetic scene");
    }
    for (s->attempt = 0; s->attempt < MAX_ATTEMPTS; s->attempt++) {
        attempt(s, level);
        if (change_level_of(mask_positive_share(s->mask, pixels)) == level)
            return STATUS_OK;
    }
    scene_free(s);
    return error_set(err, STATUS_INTERNAL, "synthetic tile %d: no landscape of level %s found", tile,
                     change_level_name(level));
}

void scene_free(struct scene *s) {
    free(s->cover);
    free(s->vigour);
    free(s->gain);
    free(s->built);
    free(s->taken);
    free(s->mask);
    *s = (struct scene){0};
}
