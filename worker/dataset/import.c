#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"
#include "model/base/safetensors.h"
#include "worker/dataset/geotiff.h"
#include "worker/dataset/layout.h"
#include "worker/dataset/quality.h"

#define IMAGE_SUFFIX "_RGBNIRRSWIRQ_Mosaic.tif"
#define MASK_SUFFIX  "_mask.tif"

struct tile {
    char *id;
    int height, width;
    float *image;
    uint8_t *mask;
    bool test;
};

struct import {
    const char *tree;
    struct dataset_ini ini;
    struct tile *tiles; // by id
    int count;
};

static int compare_tiles(const void *a, const void *b) {
    return strcmp(((const struct tile *)a)->id, ((const struct tile *)b)->id);
}

static enum status add_tile(struct import *in, const char *name, size_t length, int *capacity, struct error *err) {
    if (in->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        struct tile *tiles = realloc(in->tiles, (size_t)*capacity * sizeof *tiles);
        if (!tiles)
            return error_memory(err, "tiles");
        in->tiles = tiles;
    }
    char *id = strndup(name, length);
    if (!id)
        return error_memory(err, "tiles");
    in->tiles[in->count++] = (struct tile){.id = id};
    return STATUS_OK;
}

static enum status list_tiles(struct import *in, struct error *err) {
    char folder[PATH_SIZE];
    TRY(path_join(folder, in->tree, "sentinel", err));
    DIR *d = opendir(folder);
    if (!d)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO,
                         "cannot read %s: %s; a tree holds sentinel/, masks/ and splits/", folder, strerror(errno));
    enum status status = STATUS_OK;
    int capacity = 0;
    for (const struct dirent *e; status == STATUS_OK && (e = readdir(d));) {
        size_t length = strlen(e->d_name), suffix = strlen(IMAGE_SUFFIX);
        if (length > suffix && strcmp(e->d_name + length - suffix, IMAGE_SUFFIX) == 0)
            status = add_tile(in, e->d_name, length - suffix, &capacity, err);
    }
    closedir(d);
    if (status == STATUS_OK && in->count == 0)
        status = error_set(err, STATUS_NOT_FOUND, "%s holds no *" IMAGE_SUFFIX, folder);
    if (status == STATUS_OK)
        qsort(in->tiles, (size_t)in->count, sizeof *in->tiles, compare_tiles);
    return status;
}

static enum status tile_path(char path[PATH_SIZE], const struct import *in, const char *folder, const struct tile *t,
                             const char *suffix, struct error *err) {
    if (snprintf(path, PATH_SIZE, "%s/%s/%s%s", in->tree, folder, t->id, suffix) >= PATH_SIZE)
        return error_set(err, STATUS_INVALID, "path too long: %s/%s/%s%s", in->tree, folder, t->id, suffix);
    return STATUS_OK;
}

static enum status read_image(const struct import *in, struct tile *t, struct error *err) {
    char path[PATH_SIZE];
    struct raster r;
    TRY(tile_path(path, in, "sentinel", t, IMAGE_SUFFIX, err));
    TRY(raster_read(path, &r, err));
    const struct layout *layout = &in->ini.layout;
    if (r.bands != layout->steps * layout->bands) {
        enum status status =
            error_set(err, STATUS_INVALID,
                      "%s has %d bands, wanted %d = %d steps x %d bands (dataset.ini in the tree's root names them)",
                      path, r.bands, layout->steps * layout->bands, layout->steps, layout->bands);
        raster_free(&r);
        return status;
    }
    size_t values = (size_t)r.bands * (size_t)r.height * (size_t)r.width;
    for (size_t i = 0; i < values; i++)
        if (!isfinite(r.data[i]))
            r.data[i] = NAN;
    t->height = r.height;
    t->width = r.width;
    t->image = r.data;
    r.data = NULL;
    raster_free(&r);
    return STATUS_OK;
}

static uint8_t mask_value(const struct dataset_ini *ini, float value) {
    if (isnan(value) || (ini->has_ignore && value == (float)ini->ignore))
        return MASK_IGNORE;
    return value > 0;
}

static enum status read_mask(const struct import *in, struct tile *t, struct error *err) {
    char path[PATH_SIZE];
    struct raster r;
    TRY(tile_path(path, in, "masks", t, MASK_SUFFIX, err));
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "tile '%s' has no mask: %s is missing", t->id, path);
    TRY(raster_read(path, &r, err));
    if (r.bands != 1) {
        enum status status = error_set(err, STATUS_INVALID, "%s has %d bands, a mask has 1", path, r.bands);
        raster_free(&r);
        return status;
    }
    t->mask = malloc((size_t)t->height * (size_t)t->width);
    for (int y = 0; t->mask && y < t->height; y++)
        for (int x = 0; x < t->width; x++) {
            // The nearest neighbour: the pixel of the mask that holds the centre of this one.
            long long from_y = (2LL * y + 1) * r.height / (2LL * t->height);
            long long from_x = (2LL * x + 1) * r.width / (2LL * t->width);
            t->mask[(size_t)y * (size_t)t->width + (size_t)x] = mask_value(&in->ini, r.data[from_y * r.width + from_x]);
        }
    raster_free(&r);
    return t->mask ? STATUS_OK : error_memory(err, path);
}

static enum status mark_line(struct import *in, const char *path, int line, const char *id, size_t length,
                             struct error *err) {
    for (int i = 0; i < in->count; i++)
        if (strlen(in->tiles[i].id) == length && memcmp(in->tiles[i].id, id, length) == 0) {
            in->tiles[i].test = true;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID, "%s, line %d: there is no tile '%.*s' in sentinel/", path, line, (int)length,
                     id);
}

static enum status mark_test_tiles(struct import *in, struct error *err) {
    char path[PATH_SIZE], *text;
    TRY(path_join(path, in->tree, "splits/test.txt", err));
    if (!file_exists(path))
        return STATUS_OK;
    TRY(file_read(path, &text, NULL, err));
    enum status status = STATUS_OK;
    int line = 1;
    for (const char *p = text; status == STATUS_OK && *p; line++) {
        size_t end = strcspn(p, "\n"), blanks = strspn(p, " \t\r"), length = end;
        if (blanks < end) {
            while (strchr(" \t\r", p[length - 1]))
                length--;
            status = mark_line(in, path, line, p + blanks, length - blanks, err);
        }
        p += end + (p[end] == '\n');
    }
    free(text);
    return status;
}

static enum status add_metadata(const struct import *in, safetensors_writer *w, struct error *err) {
    char text[LAYOUT_TEXT_SIZE], *ids;
    size_t bytes = 1;
    TRY(safetensors_add_metadata(w, "format", DATASET_FORMAT, err));
    layout_bands_text(&in->ini.layout, text);
    TRY(safetensors_add_metadata(w, "bands", text, err));
    layout_steps_text(&in->ini.layout, text);
    TRY(safetensors_add_metadata(w, "steps", text, err));
    for (int i = 0; i < in->count; i++)
        bytes += strlen(in->tiles[i].id) + 1;
    ids = malloc(bytes);
    if (!ids)
        return error_memory(err, "held-out ids");
    char *p = ids;
    *p = 0;
    for (int i = 0; i < in->count; i++)
        if (in->tiles[i].test)
            p += sprintf(p, "%s%s", p > ids ? "\n" : "", in->tiles[i].id);
    enum status status = safetensors_add_metadata(w, "test", ids, err);
    free(ids);
    return status;
}

// All images before all masks: a mask's odd size would put the image after it out of alignment.
static enum status add_tensors(const struct import *in, safetensors_writer *w, struct error *err) {
    char name[PATH_SIZE];
    for (int i = 0; i < in->count; i++) {
        const struct tile *t = &in->tiles[i];
        int64_t shape[4] = {in->ini.layout.steps, in->ini.layout.bands, t->height, t->width};
        snprintf(name, sizeof name, "%s/image", t->id);
        TRY(safetensors_add(w, name, DTYPE_F32, 4, shape, t->image, err));
    }
    for (int i = 0; i < in->count; i++) {
        const struct tile *t = &in->tiles[i];
        snprintf(name, sizeof name, "%s/mask", t->id);
        TRY(safetensors_add(w, name, DTYPE_U8, 2, (int64_t[]){t->height, t->width}, t->mask, err));
    }
    return STATUS_OK;
}

static enum status write_dataset(const struct import *in, const char *out, struct error *err) {
    safetensors_writer *w;
    TRY(safetensors_writer_create(&w, err));
    enum status status = add_metadata(in, w, err);
    if (status == STATUS_OK)
        status = add_tensors(in, w, err);
    if (status == STATUS_OK)
        status = safetensors_write(w, out, err);
    safetensors_writer_destroy(w);
    return status;
}

static enum status print_table(const struct import *in, FILE *table, struct error *err) {
    struct quality_row *rows = calloc((size_t)in->count, sizeof *rows);
    if (!rows)
        return error_memory(err, "quality table");
    for (int i = 0; i < in->count; i++) {
        const struct tile *t = &in->tiles[i];
        rows[i] = (struct quality_row){.id = t->id, .height = t->height, .width = t->width, .test = t->test};
        quality_measure(&in->ini.layout, t->image, t->mask, &rows[i]);
    }
    quality_print(table, &in->ini.layout, rows, in->count);
    free(rows);
    return STATUS_OK;
}

static enum status run_import(struct import *in, const char *out, FILE *table, struct error *err) {
    char ini[PATH_SIZE];
    if (!file_is_directory(in->tree))
        return error_set(err, STATUS_NOT_FOUND, "%s is not a folder", in->tree);
    TRY(path_join(ini, in->tree, "dataset.ini", err));
    TRY(dataset_ini_read(ini, &in->ini, err));
    TRY(list_tiles(in, err));
    TRY(mark_test_tiles(in, err));
    for (int i = 0; i < in->count; i++) {
        TRY(read_image(in, &in->tiles[i], err));
        TRY(read_mask(in, &in->tiles[i], err));
    }
    TRY(write_dataset(in, out, err));
    return table ? print_table(in, table, err) : STATUS_OK;
}

enum status dataset_import(const char *tree, const char *out, FILE *table, struct error *err) {
    struct import in = {.tree = tree};
    enum status status = run_import(&in, out, table, err);
    for (int i = 0; i < in.count; i++) {
        free(in.tiles[i].id);
        free(in.tiles[i].image);
        free(in.tiles[i].mask);
    }
    free(in.tiles);
    return status;
}
