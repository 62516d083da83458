// The synthetic landscape behind `gridfold synth`: what covers the ground at each step (scene), and what Sentinel-2
// would see of it (image).
//
// Every draw comes from rng_stream(seed, tile, RNG_SYNTH, ..): a tile depends on its seed and number alone.
#ifndef GRIDFOLD_WORKER_DATASET_SYNTH_H
#define GRIDFOLD_WORKER_DATASET_SYNTH_H

#include <stdbool.h>

#include "model/base/rng.h"
#include "worker/dataset/dataset.h"

enum { SYNTH_BANDS = 9, SYNTH_FIRST_YEAR = 2018, SYNTH_YEARS = 7, SYNTH_QUARTERS = 2, SYNTH_STEPS = 14 };
enum { SYNTH_MAX_HEIGHT = 66, SYNTH_MAX_WIDTH = 92 };

// ---- noise ----

// A rough normal deviate (sum of four uniform bytes), many times cheaper than rng_normal.
float synth_deviate(struct rng *r);

// Smooth value noise out[height][width], mean 0, variance 1: `octaves` layers, the first with features of `cell`
// pixels, each next one half as large and half as strong.
void synth_noise(struct rng *r, int height, int width, double cell, int octaves, float *out);

// The value that `share` of the pixels exceed.
float synth_threshold(const float *field, int height, int width, double share);

// In place: every pixel becomes (1 - 2 a) of itself and `a` of either neighbour, along rows, then along columns.
void synth_blur(float *field, int height, int width, float a);

// ---- scene ----

enum cover {
    COVER_CROP, // soil under a crop
    COVER_STUBBLE,
    COVER_MEADOW,
    COVER_BROADLEAF,
    COVER_CONIFER,
    COVER_SHRUB, // a clear-cut that grows back
    COVER_WATER,
    COVER_SAND, // quarries
    COVER_CONSTRUCTION,
    COVER_ROOF,     // large and bright: halls
    COVER_RED_ROOF, // houses
    COVER_ASPHALT,
    COVER_COUNT
};

struct scene {
    uint64_t seed;
    int tile, attempt;
    int height, width;
    double angle;   // of the parcels
    uint8_t *cover; // (STEPS, height, width): enum cover
    float *vigour;  // (STEPS, height, width): share of the pixel under green vegetation
    float *gain;    // (height, width): brightness of the open ground, by parcel
    float *built;   // (height, width): brightness of roofs and roads, by building
    uint8_t *taken; // (height, width): 1 built over by a settlement or a development
    uint8_t *mask;  // (height, width): 1 land-take, with a surveyor's imprecise edges
};

// A landscape whose land-take lies in `level`. seed: of the dataset; tile: its number.
NODISCARD enum status scene_create(struct scene *s, uint64_t seed, int tile, int height, int width,
                                   enum change_level level, struct error *err);
void scene_free(struct scene *s);

// A stream of the scene's own; `part` keeps the draws of different purposes apart.
struct rng scene_stream(const struct scene *s, int part, int index);

// The landscape before any land-take of 2019 or later: fields, woods, water, settlements, quarries, clear-cuts.
void scene_paint_country(struct scene *s);

// Land-take until `share` of the tile is labelled (less where there is no room).
void scene_develop(struct scene *s, double share);

// Settlements and roads that stand since before the series; they are not labelled.
void scene_paint_settlements(struct scene *s);

// ---- image ----

// image (STEPS, BANDS, height, width): surface reflectance x 10000, rounded; NaN under clouds.
NODISCARD enum status scene_render(const struct scene *s, float *image, struct error *err);

// Reflectance x 10000 of a cover's open ground and of its vegetation.
struct spectrum {
    float ground[SYNTH_BANDS], green[SYNTH_BANDS];
    float texture; // relative variation from pixel to pixel
    bool soil;     // darkens when wet
    bool built;    // takes its brightness from scene.built
};
const struct spectrum *cover_spectrum(enum cover cover);

#endif
