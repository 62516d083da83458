// Fields and their crops, woods and clear-cuts, water, quarries.
#include <math.h>
#include <string.h>

#include "worker/dataset/synth.h"

enum { MAX_PARCELS = 96, PIXELS = SYNTH_MAX_HEIGHT * SYNTH_MAX_WIDTH };

// ---- how the country is; these steer how hard the dataset is ----
static const double FALLOW = 0.10;      // fields that lie bare in a year: look like a building site
static const double FALLOW_AGAIN = 0.3; // of these in the next year too
static const double MEADOWS = 0.28;     // parcels that are never ploughed
static const double CLEAR_CUTS = 0.6;   // tiles where woods are cut
static const double QUARRIES = 0.2;     // tiles with an old quarry that moves
static const double RIVERS = 0.22, LAKES = 0.15;

// Streams of the scene (scene_stream's part).
enum { PART_PARCELS = 1, PART_CROPS, PART_WOODS, PART_WATER, PART_CUTS, PART_QUARRY };

enum crop { CROP_WINTER_CEREAL, CROP_MAIZE, CROP_BEET, CROP_FALLOW, CROP_COUNT };

// Share under green in Q2 and Q3, its spread, and what the ground is in Q3.
static const struct {
    float green[SYNTH_QUARTERS], spread[SYNTH_QUARTERS];
    enum cover late;
} crops[CROP_COUNT] = {
    [CROP_WINTER_CEREAL] = {{0.85f, 0.15f}, {0.08f, 0.10f}, COVER_STUBBLE},
    [CROP_MAIZE] = {{0.18f, 0.85f}, {0.10f, 0.08f}, COVER_CROP},
    [CROP_BEET] = {{0.50f, 0.75f}, {0.15f, 0.12f}, COVER_CROP},
    [CROP_FALLOW] = {{0.06f, 0.12f}, {0.05f, 0.10f}, COVER_CROP},
};

// How green a season was everywhere: the summers of 2018 and 2022 were dry.
static const float season[SYNTH_YEARS][SYNTH_QUARTERS] = {
    {0.98f, 0.78f}, {1.00f, 0.90f}, {0.96f, 0.94f}, {1.00f, 1.00f}, {0.97f, 0.80f}, {0.99f, 0.95f}, {1.00f, 0.97f}};

static float clamp(float x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void put(struct scene *s, int step, int pixel, enum cover cover, float vigour) {
    size_t at = (size_t)step * (size_t)(s->height * s->width) + (size_t)pixel;
    s->cover[at] = (uint8_t)cover;
    s->vigour[at] = clamp(vigour);
}

// Parcels: the nearest of jittered seeds, by a metric along the tile's field direction that makes blocks rather than
// honeycombs.
static int draw_parcels(const struct scene *s, uint8_t parcel[PIXELS]) {
    struct rng r = scene_stream(s, PART_PARCELS, 0);
    float seeds[MAX_PARCELS][2];
    double reach = 0.75 * (s->height + s->width), size = 10 + 7 * rng_uniform(&r),
           stretch = 1.2 + 1.2 * rng_uniform(&r);
    int count = 0;
    double cosine = cos(s->angle), sine = sin(s->angle), cy = s->height / 2.0, cx = s->width / 2.0;
    int rows = (int)(2 * reach / size), columns = (int)(2 * reach / (size * stretch));
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            double pu = size * stretch * (column - columns / 2.0 + 0.8 * (rng_uniform(&r) - 0.5));
            double pv = size * (row - rows / 2.0 + 0.8 * (rng_uniform(&r) - 0.5));
            double x = cx + pu * cosine - pv * sine, y = cy + pu * sine + pv * cosine;
            if (count < MAX_PARCELS && x > -size && y > -size && x < s->width + size && y < s->height + size) {
                seeds[count][0] = (float)pu;
                seeds[count][1] = (float)pv;
                count++;
            }
        }
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            float u = (float)((x - cx) * cosine + (y - cy) * sine), v = (float)((y - cy) * cosine - (x - cx) * sine);
            float best = 1e9f;
            for (int i = 0; i < count; i++) {
                float du = fabsf(u - seeds[i][0]) / (float)stretch, dv = fabsf(v - seeds[i][1]);
                float d = du > dv ? du + 0.15f * dv : dv + 0.15f * du;
                if (d < best) {
                    best = d;
                    parcel[y * s->width + x] = (uint8_t)i;
                }
            }
        }
    return count;
}

struct season_of_parcel {
    enum cover cover;
    float vigour;
};

// What one parcel carries at each step.
static void plan_parcel(const struct scene *s, int parcel, struct season_of_parcel plan[SYNTH_STEPS], float *gain) {
    struct rng r = scene_stream(s, PART_CROPS, parcel);
    bool meadow = rng_uniform(&r) < MEADOWS;
    float richness = 0.72f + 0.08f * synth_deviate(&r);
    enum crop crop = CROP_WINTER_CEREAL;
    *gain = 1 + 0.17f * synth_deviate(&r);
    for (int year = 0; year < SYNTH_YEARS; year++) {
        bool again = crop == CROP_FALLOW && rng_uniform(&r) < FALLOW_AGAIN;
        if (!again)
            crop = rng_uniform(&r) < FALLOW ? CROP_FALLOW : (enum crop)rng_below(&r, CROP_FALLOW);
        for (int q = 0; q < SYNTH_QUARTERS; q++) {
            struct season_of_parcel *p = &plan[year * SYNTH_QUARTERS + q];
            float draw = synth_deviate(&r);
            if (meadow) // mown now and then
                *p = (struct season_of_parcel){COVER_MEADOW, richness + 0.10f * draw};
            else
                *p = (struct season_of_parcel){q ? crops[crop].late : COVER_CROP,
                                               crops[crop].green[q] + crops[crop].spread[q] * draw};
            p->vigour *= season[year][q];
        }
    }
}

static void paint_fields(struct scene *s) {
    uint8_t parcel[PIXELS] = {0};
    struct season_of_parcel plans[MAX_PARCELS][SYNTH_STEPS] = {0};
    float gains[MAX_PARCELS] = {0}, within[PIXELS];
    int count = draw_parcels(s, parcel), pixels = s->height * s->width;
    for (int i = 0; i < count; i++)
        plan_parcel(s, i, plans[i], &gains[i]);
    struct rng r = scene_stream(s, PART_PARCELS, 1);
    synth_noise(&r, s->height, s->width, 9, 3, within); // soil and growth vary within a field
    for (int i = 0; i < pixels; i++) {
        s->gain[i] = gains[parcel[i]] * (1 + 0.05f * within[i]);
        for (int step = 0; step < SYNTH_STEPS; step++) {
            const struct season_of_parcel *p = &plans[parcel[i]][step];
            put(s, step, i, p->cover, p->vigour + 0.05f * within[i]);
        }
    }
}

static void paint_woods(struct scene *s) {
    struct rng r = scene_stream(s, PART_WOODS, 0);
    float field[PIXELS], kind[PIXELS];
    double share = rng_uniform(&r) < 0.25 ? 0 : 0.35 * rng_uniform(&r);
    synth_noise(&r, s->height, s->width, 30, 4, field);
    synth_noise(&r, s->height, s->width, 22, 2, kind);
    float threshold = synth_threshold(field, s->height, s->width, share), conifers = (float)(2 * rng_uniform(&r) - 1);
    for (int i = 0; i < s->height * s->width; i++)
        for (int step = 0; field[i] > threshold && step < SYNTH_STEPS; step++)
            put(s, step, i, kind[i] > conifers ? COVER_CONIFER : COVER_BROADLEAF,
                0.93f * (0.5f + 0.5f * season[step / SYNTH_QUARTERS][step % SYNTH_QUARTERS]));
}

// Woods cut in one year grow back as shrub: a lasting loss of green that is no land-take.
static void cut_woods(struct scene *s) {
    struct rng r = scene_stream(s, PART_CUTS, 0);
    int cuts = rng_uniform(&r) < CLEAR_CUTS ? 1 + (int)rng_below(&r, 3) : 0, pixels = s->height * s->width;
    for (int c = 0; c < cuts; c++) {
        double y0 = s->height * rng_uniform(&r), x0 = s->width * rng_uniform(&r);
        double half_u = 3 + 6 * rng_uniform(&r), half_v = 3 + 4 * rng_uniform(&r), angle = 3.1 * rng_uniform(&r);
        int start = (int)rng_below(&r, SYNTH_STEPS);
        for (int i = 0; i < pixels; i++) {
            int y = i / s->width, x = i % s->width;
            double dy = y - y0, dx = x - x0;
            bool wood = s->cover[i] == COVER_CONIFER || s->cover[i] == COVER_BROADLEAF;
            if (!wood || fabs(dx * cos(angle) + dy * sin(angle)) > half_u ||
                fabs(dy * cos(angle) - dx * sin(angle)) > half_v)
                continue;
            for (int step = start; step < SYNTH_STEPS; step++)
                put(s, step, i, COVER_SHRUB, 0.15f + 0.06f * (float)(step - start));
        }
    }
}

static void paint_water(struct scene *s) {
    struct rng r = scene_stream(s, PART_WATER, 0);
    float field[PIXELS];
    bool river = rng_uniform(&r) < RIVERS, lake = rng_uniform(&r) < LAKES;
    double across = s->height * (0.15 + 0.7 * rng_uniform(&r)), slope = 0.8 * (rng_uniform(&r) - 0.5);
    double bend = 3 + 5 * rng_uniform(&r), phase = 6.3 * rng_uniform(&r), half = 1 + 1.8 * rng_uniform(&r);
    synth_noise(&r, s->height, s->width, 26, 3, field);
    float shore = synth_threshold(field, s->height, s->width, lake ? 0.02 + 0.06 * rng_uniform(&r) : 0);
    for (int i = 0; i < s->height * s->width; i++) {
        int y = i / s->width, x = i % s->width;
        double middle = across + slope * (x - s->width / 2.0) + bend * sin(x / 11.0 + phase);
        if (!(river && fabs(y - middle) < half) && !(lake && field[i] > shore))
            continue;
        for (int step = 0; step < SYNTH_STEPS; step++)
            put(s, step, i, COVER_WATER, 0);
    }
}

// A quarry older than the series: its open face wanders, and what is left behind grows over.
static void paint_quarry(struct scene *s) {
    struct rng r = scene_stream(s, PART_QUARRY, 0);
    if (rng_uniform(&r) >= QUARRIES)
        return;
    float edge[PIXELS];
    synth_noise(&r, s->height, s->width, 10, 2, edge);
    double y0 = s->height * (0.2 + 0.6 * rng_uniform(&r)), x0 = s->width * (0.2 + 0.6 * rng_uniform(&r));
    double radius = 4 + 5 * rng_uniform(&r), drift = rng_uniform(&r) - 0.5, pool = rng_uniform(&r) < 0.4 ? 0.35 : 0;
    for (int i = 0; i < s->height * s->width; i++)
        for (int step = 0; step < SYNTH_STEPS; step++) {
            int y = i / s->width, x = i % s->width;
            double dy = y - y0, dx = x - x0 - drift * step;
            double old = hypot(dy, x - x0) / radius + 0.15 * (double)edge[i];
            double open = hypot(dy, dx) / radius + 0.15 * (double)edge[i];
            if (open < pool)
                put(s, step, i, COVER_WATER, 0);
            else if (open < 1 && old < 1.15)
                put(s, step, i, COVER_SAND, 0.03f);
            else if (old < 1.15)
                put(s, step, i, COVER_SHRUB, 0.3f + 0.02f * (float)step);
        }
}

void scene_paint_country(struct scene *s) {
    paint_fields(s);
    paint_woods(s);
    cut_woods(s);
    paint_water(s);
    paint_quarry(s);
}
