// From a scene to what the satellite sees: spectra, texture, optics, atmosphere, sensor noise, clouds.
#include <math.h>
#include <stdlib.h>

#include "worker/dataset/synth.h"

enum { PIXELS = SYNTH_MAX_HEIGHT * SYNTH_MAX_WIDTH };
enum { PART_TERRAIN = 32, PART_TEXTURE, PART_DATE, PART_HAZE, PART_CLOUD, PART_SENSOR };

// ---- what steers how hard the dataset is ----
static const float DATE_GAIN = 0.05f, DATE_OFFSET = 45; // of one composite against another
static const float TERRAIN_GAIN = 0.06f;
static const double HAZE[SYNTH_QUARTERS] = {0.40, 0.25}; // composites with haze that no mask caught
static const float HAZE_STRENGTH = 0.55f;
static const float NOISE_FLOOR = 22, NOISE_GAIN = 0.012f; // sensor noise: reflectance x 10000, and relative
static const float TEXTURE_KEPT = 0.85f,
                   TEXTURE_NEW = 0.5f; // what of a pixel's texture stays, and what each date has of its own

// Chances that a composite misses little (to 15 %), some (to 50 %) or much (to 95 %) of its tile; Q2 is the cloudier
// quarter.
static const double CLOUD[SYNTH_QUARTERS][3] = {{0.28, 0.14, 0.10}, {0.18, 0.07, 0.03}};

// Blue, green, red, red edge 1..3, near infrared, shortwave infrared 1, 2. Orders of magnitude as in spectral
// libraries.
#define SOIL                                                                                                           \
    { 720, 980, 1250, 1500, 1700, 1840, 1980, 2650, 2250 }
#define SLASH                                                                                                          \
    { 520, 760, 930, 1230, 1600, 1800, 1980, 2550, 1900 }
#define CROP_GREEN                                                                                                     \
    { 290, 600, 340, 960, 2850, 3550, 3750, 1850, 850 }
#define GRASS_GREEN                                                                                                    \
    { 360, 700, 460, 1120, 2550, 3080, 3280, 2200, 1120 }
#define NO_GREEN                                                                                                       \
    { 0 }

static const struct spectrum spectra[COVER_COUNT] = {
    [COVER_CROP] = {SOIL, CROP_GREEN, 0.05f, true, false},
    [COVER_STUBBLE] = {{820, 1160, 1520, 1820, 2120, 2320, 2520, 3250, 2580}, CROP_GREEN, 0.06f, true, false},
    [COVER_MEADOW] = {{760, 1040, 1280, 1640, 2000, 2200, 2380, 3050, 2300}, GRASS_GREEN, 0.06f, false, false},
    [COVER_BROADLEAF] = {SLASH, {240, 480, 270, 780, 2480, 3150, 3350, 1550, 680}, 0.12f, false, false},
    [COVER_CONIFER] = {SLASH, {190, 340, 230, 540, 1380, 1680, 1820, 930, 430}, 0.14f, false, false},
    [COVER_SHRUB] = {SLASH, GRASS_GREEN, 0.12f, false, false},
    [COVER_WATER] = {{460, 470, 310, 290, 220, 210, 180, 110, 80}, NO_GREEN, 0.04f, false, false},
    [COVER_SAND] = {{1450, 1800, 2180, 2380, 2530, 2620, 2720, 3450, 3150}, GRASS_GREEN, 0.12f, true, false},
    [COVER_CONSTRUCTION] = {{1020, 1310, 1630, 1840, 2010, 2110, 2220, 2900, 2640}, GRASS_GREEN, 0.16f, true, false},
    [COVER_ROOF] = {{1750, 1880, 1980, 2080, 2170, 2220, 2280, 2420, 2250}, GRASS_GREEN, 0.14f, false, true},
    [COVER_RED_ROOF] = {{860, 960, 1290, 1440, 1610, 1740, 1850, 2080, 1900}, GRASS_GREEN, 0.20f, false, true},
    [COVER_ASPHALT] = {{820, 890, 950, 1010, 1080, 1130, 1180, 1330, 1220}, GRASS_GREEN, 0.10f, false, true},
};

const struct spectrum *cover_spectrum(enum cover cover) {
    return &spectra[cover];
}

// Mixing with the neighbours: the 10 m bands, and the 20 m bands resampled to 10 m.
static const float blur[SYNTH_BANDS] = {0.13f, 0.13f, 0.13f, 0.22f, 0.22f, 0.22f, 0.13f, 0.22f, 0.22f};
static const float haze_spectrum[SYNTH_BANDS] = {620, 520, 440, 390, 330, 300, 280, 120, 70};

// Fields of one tile, and of one date.
struct optics {
    float terrain[PIXELS], texture[PIXELS];
    float gain, offset, wetness;
    float date_texture[PIXELS], haze[PIXELS];
    bool hazy;
};

static void prepare_tile(const struct scene *s, struct optics *o) {
    struct rng r = scene_stream(s, PART_TERRAIN, 0);
    synth_noise(&r, s->height, s->width, 40, 2, o->terrain);
    r = scene_stream(s, PART_TEXTURE, 0);
    for (int i = 0; i < s->height * s->width; i++)
        o->texture[i] = synth_deviate(&r);
}

static void prepare_date(const struct scene *s, int step, struct optics *o) {
    struct rng r = scene_stream(s, PART_DATE, step);
    o->gain = 1 + DATE_GAIN * synth_deviate(&r);
    o->offset = DATE_OFFSET * synth_deviate(&r);
    o->wetness = 0.95f + 0.09f * synth_deviate(&r);
    for (int i = 0; i < s->height * s->width; i++)
        o->date_texture[i] = synth_deviate(&r);
    r = scene_stream(s, PART_HAZE, step);
    o->hazy = rng_uniform(&r) < HAZE[step % SYNTH_QUARTERS];
    if (o->hazy) {
        float strength = HAZE_STRENGTH * (float)rng_uniform(&r);
        synth_noise(&r, s->height, s->width, 24, 2, o->haze);
        for (int i = 0; i < s->height * s->width; i++)
            o->haze[i] = strength * fmaxf(0, 0.6f + 0.7f * o->haze[i]);
    }
}

// Surface reflectance of one band before optics.
static void paint_band(const struct scene *s, int step, int band, const struct optics *o, float *out) {
    int pixels = s->height * s->width;
    const uint8_t *cover = s->cover + step * pixels;
    const float *vigour = s->vigour + step * pixels;
    for (int i = 0; i < pixels; i++) {
        const struct spectrum *k = &spectra[cover[i]];
        float ground = k->ground[band] * (k->built ? s->built[i] : k->soil ? s->gain[i] * o->wetness : 1);
        float value = ground + vigour[i] * (k->green[band] - ground);
        float rough = k->texture * (TEXTURE_KEPT * o->texture[i] + TEXTURE_NEW * o->date_texture[i]);
        out[i] = value * fmaxf(0.3f, 1 + rough) * (1 + TERRAIN_GAIN * o->terrain[i]);
    }
}

static void sense_band(const struct scene *s, int step, int band, const struct optics *o, float *x) {
    struct rng r = scene_stream(s, PART_SENSOR, step * SYNTH_BANDS + band);
    for (int i = 0; i < s->height * s->width; i++) {
        float value = o->gain * x[i] + o->offset;
        if (o->hazy) // light added and light lost
            value += o->haze[i] * (haze_spectrum[band] - 0.12f * value);
        value += synth_deviate(&r) * (NOISE_FLOOR + NOISE_GAIN * value);
        x[i] = rintf(fminf(fmaxf(value, 1), 10000));
    }
}

static double draw_cloud_share(const struct scene *s, int step, struct rng *r) {
    static const double from[3] = {0.01, 0.15, 0.50}, to[3] = {0.15, 0.50, 0.95};
    *r = scene_stream(s, PART_CLOUD, step);
    double what = rng_uniform(r);
    for (int k = 2; k >= 0; k--) {
        double chance = CLOUD[step % SYNTH_QUARTERS][k];
        if (what < chance)
            return from[k] + (to[k] - from[k]) * rng_uniform(r);
        what -= chance;
    }
    return 0;
}

static void cover_with_clouds(const struct scene *s, int step, float *bands) {
    struct rng r;
    double share = draw_cloud_share(s, step, &r);
    if (share <= 0)
        return;
    float field[PIXELS];
    int pixels = s->height * s->width;
    synth_noise(&r, s->height, s->width, 22, 3, field);
    float threshold = synth_threshold(field, s->height, s->width, share);
    for (int i = 0; i < pixels; i++)
        for (int b = 0; field[i] > threshold && b < SYNTH_BANDS; b++)
            bands[b * pixels + i] = NAN;
}

enum status scene_render(const struct scene *s, float *image, struct error *err) {
    struct optics *o = malloc(sizeof *o);
    if (!o)
        return error_memory(err, "synthetic image");
    int pixels = s->height * s->width;
    prepare_tile(s, o);
    for (int step = 0; step < SYNTH_STEPS; step++) {
        float *bands = image + step * SYNTH_BANDS * pixels;
        prepare_date(s, step, o);
        for (int b = 0; b < SYNTH_BANDS; b++) {
            paint_band(s, step, b, o, bands + b * pixels);
            synth_blur(bands + b * pixels, s->height, s->width, blur[b]);
            sense_band(s, step, b, o, bands + b * pixels);
        }
        cover_with_clouds(s, step, bands);
    }
    free(o);
    return STATUS_OK;
}
