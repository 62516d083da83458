#include "worker/picture.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset/geotiff.h"

enum { PANEL_SIDE = 256, GAP = 8 }; // pixels: a panel's longer side at least, and the white between panels

struct colour {
    uint8_t r, g, b;
};
static const struct colour BLACK = {0, 0, 0}, WHITE = {255, 255, 255}, GREY = {128, 128, 128}, ORANGE = {230, 159, 0},
                           BLUE = {0, 114, 178};

struct stretch {
    double low[3], high[3];
};

typedef struct colour shade(const struct side_by_side *s, const struct stretch *stretch, size_t pixel);

// ---- true colour ----

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static size_t gather_finite(const float *values, size_t count, float *out) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            out[n++] = values[i];
    return n;
}

static enum status measure_stretch(const struct side_by_side *s, struct stretch *stretch, struct error *err) {
    size_t pixels = (size_t)s->height * (size_t)s->width;
    float *values = malloc(2 * pixels * sizeof *values);
    if (!values)
        return error_memory(err, "a picture");
    for (int c = 0; c < 3; c++) {
        size_t n = gather_finite(s->first[c], pixels, values);
        n += gather_finite(s->last[c], pixels, values + n);
        qsort(values, n, sizeof *values, compare_floats);
        stretch->low[c] = n ? values[(n - 1) * 2 / 100] : 0;
        stretch->high[c] = n ? values[(n - 1) * 98 / 100] : 1;
    }
    free(values);
    return STATUS_OK;
}

static struct colour true_colour(const float *const band[3], const struct stretch *stretch, size_t pixel) {
    uint8_t level[3];
    for (int c = 0; c < 3; c++) {
        double x = band[c][pixel], span = stretch->high[c] - stretch->low[c];
        if (!isfinite(x))
            return GREY;
        double share = span > 0 ? (x - stretch->low[c]) / span : 0.5;
        level[c] = (uint8_t)lround(255 * fmin(fmax(share, 0), 1));
    }
    return (struct colour){level[0], level[1], level[2]};
}

static struct colour shade_first(const struct side_by_side *s, const struct stretch *stretch, size_t pixel) {
    return true_colour(s->first, stretch, pixel);
}

static struct colour shade_last(const struct side_by_side *s, const struct stretch *stretch, size_t pixel) {
    return true_colour(s->last, stretch, pixel);
}

// ---- maps ----

static struct colour shade_mask(const struct side_by_side *s, const struct stretch *stretch, size_t pixel) {
    (void)stretch;
    return s->mask[pixel] == MASK_IGNORE ? GREY : s->mask[pixel] ? WHITE : BLACK;
}

static struct colour shade_prediction(const struct side_by_side *s, const struct stretch *stretch, size_t pixel) {
    (void)stretch;
    double p = s->probability[pixel];
    if (isnan(p) || (s->mask && s->mask[pixel] == MASK_IGNORE))
        return GREY;
    bool positive = p > s->threshold;
    if (s->mask)
        return positive ? (s->mask[pixel] ? WHITE : ORANGE) : s->mask[pixel] ? BLUE : BLACK;
    uint8_t level = (uint8_t)lround(255 * p);
    return (struct colour){level, level, level};
}

// ---- panels ----

static void draw_panel(const struct side_by_side *s, const struct stretch *stretch, shade *colour_of, int scale,
                       int left, int width, uint8_t *rgb) {
    for (int y = 0; y < s->height * scale; y++)
        for (int x = 0; x < s->width * scale; x++) {
            size_t pixel = (size_t)(y / scale) * (size_t)s->width + (size_t)(x / scale);
            struct colour c = colour_of(s, stretch, pixel);
            memcpy(rgb + 3 * ((size_t)y * (size_t)width + (size_t)(left + x)), &c, 3);
        }
}

enum status side_by_side_write(const char *path, const struct side_by_side *s, struct error *err) {
    shade *panels[4];
    int count = 0, longer = s->height > s->width ? s->height : s->width;
    panels[count++] = shade_first;
    panels[count++] = shade_last;
    if (s->mask)
        panels[count++] = shade_mask;
    panels[count++] = shade_prediction;
    int scale = longer < PANEL_SIDE ? (PANEL_SIDE + longer - 1) / longer : 1;
    int height = s->height * scale, width = count * s->width * scale + (count - 1) * GAP;
    struct stretch stretch;
    TRY(measure_stretch(s, &stretch, err));
    uint8_t *rgb = malloc(3 * (size_t)height * (size_t)width);
    if (!rgb)
        return error_memory(err, path);
    memset(rgb, 255, 3 * (size_t)height * (size_t)width);
    for (int i = 0; i < count; i++)
        draw_panel(s, &stretch, panels[i], scale, i * (s->width * scale + GAP), width, rgb);
    enum status status = raster_write_png(path, height, width, rgb, err);
    free(rgb);
    return status;
}

void picture_choose_bands(band_lookup *lookup, const void *context, int bands, int rgb[3]) {
    static const char *const names[3] = {"red", "green", "blue"};
    bool named = true;
    for (int c = 0; c < 3; c++)
        named = (rgb[c] = lookup(context, names[c])) >= 0 && named;
    for (int c = 0; c < 3 && !named; c++)
        rgb[c] = 2 - c < bands ? 2 - c : bands - 1;
}
