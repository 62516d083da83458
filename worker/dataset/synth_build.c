// What people build: settlements of before the series, and the land-take that the mask labels. Both come from the same
// generator, so that nothing but time tells them apart.
#include <math.h>
#include <string.h>

#include "worker/dataset/synth.h"

enum { PIXELS = SYNTH_MAX_HEIGHT * SYNTH_MAX_WIDTH, MAX_TRIES = 400 };

// ---- what steers how hard the dataset is ----
static const double SETTLED = 0.65;                // tiles with old settlements
static const double OLD_SITE = 0.15;               // of those, sites still under construction in 2018
static const double OLD_ROADS = 0.5;               // tiles that an old road crosses
static const double SUBURBS = 0.5;                 // of the developments: gardens between houses, hard to see
static const double HALLS = 0.35;                  // halls and car parks, easy to see; the rest are roads
static const double EDGE_ERROR = 0.15;             // mask pixels at an edge that the surveyor got wrong
static const double SHIFTED = 0.35;                // developments drawn a pixel off
static const int FIRST_START = 2, LAST_START = 12; // steps: 2019-Q2 .. 2024-Q2

enum { PART_SETTLEMENTS = 16, PART_DEVELOP, PART_MASK, PART_BLOCKS = 64 };

enum kind { KIND_HALLS, KIND_SUBURB, KIND_ROAD };

// An oriented rectangle of ground that is built over from `start` on, first as a building site.
struct development {
    enum kind kind;
    double y, x, angle, half_u, half_v;
    int start, site_steps; // step, may be negative: before the series
    int number;
};

struct surface {
    enum cover cover;
    float vigour, gain;
};

// Where a pixel lies in a development's own axes; false: outside.
static bool inside(const struct development *d, int y, int x, double *u, double *v) {
    double dy = y - d->y, dx = x - d->x;
    *u = dx * cos(d->angle) + dy * sin(d->angle);
    *v = dy * cos(d->angle) - dx * sin(d->angle);
    return fabs(*u) <= d->half_u && fabs(*v) <= d->half_v;
}

static struct surface halls_at(const struct scene *s, const struct development *d, double u, double v) {
    int column = (int)floor(u / 9), row = (int)floor(v / 8);
    struct rng block = scene_stream(s, PART_BLOCKS + d->number, (column & 255) << 8 | (row & 255));
    double fu = u - 9 * column, fv = v - 8 * row;
    float roof = 0.85f + 0.22f * synth_deviate(&block);
    if (rng_uniform(&block) < 0.15) // a plot left green
        return (struct surface){COVER_MEADOW, 0.6f, 1};
    if (fu < 6.2 && fv < 5.4)
        return (struct surface){COVER_ROOF, 0, roof};
    return (struct surface){fu > 7.6 ? COVER_MEADOW : COVER_ASPHALT, fu > 7.6 ? 0.5f : 0.05f, 1};
}

static struct surface suburb_at(const struct scene *s, const struct development *d, double u, double v) {
    double along = u - 11 * floor(u / 11), row = v - 6 * floor(v / 6);
    if (row < 1 || along < 0.9)
        return (struct surface){COVER_ASPHALT, 0.15f, 1.1f};
    int column = (int)floor(u / 1.9), line = (int)floor(v / 1.9);
    struct rng lot = scene_stream(s, PART_BLOCKS + d->number, (column & 255) << 8 | (line & 255));
    double what = rng_uniform(&lot);
    float draw = synth_deviate(&lot);
    if (what < 0.42)
        return (struct surface){COVER_RED_ROOF, 0.28f + 0.10f * draw, 1 + 0.15f * draw};
    if (what < 0.87)
        return (struct surface){COVER_MEADOW, 0.66f + 0.10f * draw, 1};
    return (struct surface){COVER_ASPHALT, 0.3f, 1.15f};
}

static struct surface surface_at(const struct scene *s, const struct development *d, double u, double v) {
    switch (d->kind) {
    case KIND_HALLS:
        return halls_at(s, d, u, v);
    case KIND_SUBURB:
        return suburb_at(s, d, u, v);
    case KIND_ROAD:
        break;
    }
    return (struct surface){COVER_ASPHALT, fabs(v) > 0.9 ? 0.45f : 0.05f, 1};
}

// Land that can be taken: not taken already, and neither water nor quarry.
static bool is_free(const struct scene *s, int pixel) {
    return !s->taken[pixel] && s->cover[pixel] != COVER_WATER && s->cover[pixel] != COVER_SAND;
}

static void paint_pixel(struct scene *s, const struct development *d, int pixel, double u, double v, struct rng *r) {
    struct surface surface = surface_at(s, d, u, v);
    float site = 0.04f + 0.06f * synth_deviate(r);
    s->built[pixel] = surface.gain;
    for (int step = d->start < 0 ? 0 : d->start; step < SYNTH_STEPS; step++) {
        size_t at = (size_t)step * (size_t)(s->height * s->width) + (size_t)pixel;
        bool building = step < d->start + d->site_steps;
        s->cover[at] = (uint8_t)(building ? COVER_CONSTRUCTION : surface.cover);
        float vigour = building ? site : surface.vigour;
        s->vigour[at] = vigour < 0 ? 0 : vigour;
    }
}

// Paints the development on the free pixels and marks them as taken.
static void paint(struct scene *s, const struct development *d, int part) {
    struct rng r = scene_stream(s, part, 1000 + d->number);
    double u, v;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            int pixel = y * s->width + x;
            if (!inside(d, y, x, &u, &v) || !is_free(s, pixel))
                continue;
            paint_pixel(s, d, pixel, u, v, &r);
            s->taken[pixel] = 1;
        }
}

static int count_free(const struct scene *s, const struct development *d, int *area) {
    int count = 0;
    double u, v;
    *area = 0;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            if (inside(d, y, x, &u, &v)) {
                (*area)++;
                count += is_free(s, y * s->width + x);
            }
    return count;
}

// A development of about `area` pixels somewhere in the tile.
static struct development draw_development(const struct scene *s, struct rng *r, enum kind kind, double area) {
    double aspect = 1 + 1.3 * rng_uniform(r), turn = rng_uniform(r) < 0.5 ? 0 : 1.5707963;
    struct development d = {.kind = kind,
                            .y = s->height * rng_uniform(r),
                            .x = s->width * rng_uniform(r),
                            .angle = s->angle + turn + 0.12 * (rng_uniform(r) - 0.5),
                            .half_u = sqrt(area * aspect) / 2,
                            .half_v = sqrt(area / aspect) / 2};
    if (kind == KIND_ROAD) {
        d.angle += 0.9 * (rng_uniform(r) - 0.5);
        d.half_v = 0.8 + 0.6 * rng_uniform(r);
        d.half_u = area / (4 * d.half_v);
    }
    d.site_steps = kind == KIND_ROAD ? 1 : 1 + (int)rng_below(r, 4);
    return d;
}

static enum kind draw_kind(struct rng *r, double area) {
    double what = rng_uniform(r);
    if (what < SUBURBS)
        return KIND_SUBURB;
    return what < SUBURBS + HALLS || area < 60 ? KIND_HALLS : KIND_ROAD;
}

void scene_paint_settlements(struct scene *s) {
    struct rng r = scene_stream(s, PART_SETTLEMENTS, 0);
    int count = rng_uniform(&r) < SETTLED ? 1 + (int)rng_below(&r, 4) : 0, number = 0;
    for (int i = 0; i < count; i++) {
        double area = 60 + 340 * rng_uniform(&r);
        enum kind kind = rng_uniform(&r) < 0.7 ? KIND_SUBURB : KIND_HALLS;
        struct development d = draw_development(s, &r, kind, area);
        d.number = number++;
        d.start = rng_uniform(&r) < OLD_SITE ? -1 - (int)rng_below(&r, 2) : -20;
        paint(s, &d, PART_SETTLEMENTS);
    }
    if (rng_uniform(&r) < OLD_ROADS) {
        struct development d = draw_development(s, &r, KIND_ROAD, 400);
        d.half_u = 200;
        d.half_v = 0.6 + 0.5 * rng_uniform(&r);
        d.number = number;
        d.start = -20;
        paint(s, &d, PART_SETTLEMENTS);
    }
}

// ---- the mask ----

// Adds what was taken since `before` to the mask, a pixel off where the surveyor slipped.
static void label(struct scene *s, const uint8_t *before, struct rng *r) {
    bool shifted = rng_uniform(r) < SHIFTED;
    int dy = shifted ? (int)rng_below(r, 3) - 1 : 0, dx = shifted ? (int)rng_below(r, 3) - 1 : 0;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            int fy = y - dy, fx = x - dx, from = fy * s->width + fx;
            if (fy >= 0 && fx >= 0 && fy < s->height && fx < s->width && s->taken[from] && !before[from])
                s->mask[y * s->width + x] = 1;
        }
}

// Flips some of the pixels that have a neighbour of the other kind.
static void roughen_edges(struct scene *s) {
    struct rng r = scene_stream(s, PART_MASK, 0);
    uint8_t clean[PIXELS];
    memcpy(clean, s->mask, (size_t)s->height * (size_t)s->width);
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            int i = y * s->width + x;
            bool edge = (y > 0 && clean[i - s->width] != clean[i]) || (x > 0 && clean[i - 1] != clean[i]) ||
                        (y + 1 < s->height && clean[i + s->width] != clean[i]) ||
                        (x + 1 < s->width && clean[i + 1] != clean[i]);
            if (edge && rng_uniform(&r) < EDGE_ERROR)
                s->mask[i] = !clean[i];
        }
}

void scene_develop(struct scene *s, double share) {
    struct rng r = scene_stream(s, PART_DEVELOP, 0), survey = scene_stream(s, PART_MASK, 1);
    uint8_t before[PIXELS];
    int pixels = s->height * s->width, wanted = (int)(share * pixels), done = 0, number = 8;
    for (int tries = 0; done < wanted - 8 && tries < MAX_TRIES; tries++) {
        double left = wanted - done, area = left < 40 ? left : fmin(700, left * (0.3 + 0.7 * rng_uniform(&r)));
        struct development d = draw_development(s, &r, draw_kind(&r, area), area);
        int covered, room = count_free(s, &d, &covered);
        if (room < 8 || room < covered * 6 / 10 || room > wanted - done + 12)
            continue;
        d.number = number++;
        d.start = FIRST_START + (int)rng_below(&r, (uint32_t)(LAST_START - FIRST_START + 1));
        memcpy(before, s->taken, (size_t)pixels);
        paint(s, &d, PART_DEVELOP);
        label(s, before, &survey);
        done += room;
    }
    roughen_edges(s);
}
