#include "worker/dataset/synth.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"
#include "worker/dataset/geotiff.h"
#include "worker/dataset/geotiff_write.h"
#include "worker/dataset/layout.h"

enum { EPSG_UTM_33N = 32633, MAX_SAMPLES = 100000, BAND_NAME_SIZE = 64, ID_SIZE = 16 };
enum { MIN_HEIGHT = 65, MIN_WIDTH = 65 }; // to SYNTH_MAX_HEIGHT, SYNTH_MAX_WIDTH

#define ID_PREFIX "synth_"

// The report's mix of change levels: 15 low, 25 moderate, 5 high of 45.
static const double LOW = 15 / 45.0, HIGH = 5 / 45.0;

struct synth {
    const struct synth_config *config;
    char folder[PATH_SIZE]; // where the tree grows before it takes its name
    struct tile_plan {
        enum change_level level;
        bool test;
    } * tiles;
    char *wkt;
    char names[SYNTH_STEPS * SYNTH_BANDS][BAND_NAME_SIZE];
    const char *name_pointers[SYNTH_STEPS * SYNTH_BANDS];
};

static void tile_id(int tile, char out[ID_SIZE]) {
    snprintf(out, ID_SIZE, ID_PREFIX "%03d", tile % (MAX_SAMPLES + 1));
}

// `count` tiles of one split in the mix of the report, from tiles[] on.
static void plan_split(struct tile_plan *tiles, int count, bool test) {
    int low = (int)(LOW * count + 0.5), high = (int)(HIGH * count + 0.5);
    for (int i = 0; i < count; i++) {
        enum change_level level = i < low ? CHANGE_LOW : i < low + high ? CHANGE_HIGH : CHANGE_MODERATE;
        tiles[i] = (struct tile_plan){level, test};
    }
}

static enum status plan_tiles(struct synth *y, struct error *err) {
    int samples = y->config->samples, test = y->config->test;
    if (samples < 1 || samples > MAX_SAMPLES)
        return error_set(err, STATUS_INVALID, "samples = %d: must be in 1..%d", samples, MAX_SAMPLES);
    if (test < 0 || test >= samples)
        return error_set(err, STATUS_INVALID, "test = %d: must be in 0..%d, so that some of the %d samples train", test,
                         samples - 1, samples);
    y->tiles = calloc((size_t)samples, sizeof *y->tiles);
    if (!y->tiles)
        return error_memory(err, "synthetic tiles");
    plan_split(y->tiles, samples - test, false);
    plan_split(y->tiles + samples - test, test, true);
    struct rng r = rng_stream(y->config->seed, 0xFFFFFF, RNG_SYNTH, 0, 0); // no tile has this number
    for (int i = samples; i > 1; i--) {
        int j = (int)rng_below(&r, (uint32_t)i);
        struct tile_plan swap = y->tiles[i - 1];
        y->tiles[i - 1] = y->tiles[j];
        y->tiles[j] = swap;
    }
    return STATUS_OK;
}

static enum status name_bands(struct synth *y, struct error *err) {
    struct layout layout;
    layout_default(&layout);
    for (int i = 0; i < SYNTH_STEPS * SYNTH_BANDS; i++) {
        struct timestep step = layout.step[i / SYNTH_BANDS];
        snprintf(y->names[i], sizeof y->names[i], "%d_Q%d_%s", step.year, step.quarter, layout.band[i % SYNTH_BANDS]);
        y->name_pointers[i] = y->names[i];
    }
    return geotiff_projection(EPSG_UTM_33N, &y->wkt, err);
}

static enum status write_raster(const struct synth *y, int tile, const char *format, struct geotiff_image *image,
                                struct error *err) {
    char id[ID_SIZE], name[PATH_SIZE], path[PATH_SIZE];
    tile_id(tile, id);
    snprintf(name, sizeof name, format, id);
    TRY(path_join(path, y->folder, name, err));
    // Tiles lie side by side in rows of ten, 1 km apart.
    int column = tile % 10, row = tile / 10;
    double transform[6] = {400000.0 + 1000 * column, 10, 0, 5800000.0 - 1000 * row, 0, -10};
    image->projection = y->wkt;
    image->geotransform = transform;
    return geotiff_write(path, image, err);
}

static enum status write_scene(const struct synth *y, int tile, const struct scene *s, float *data, struct error *err) {
    struct geotiff_image image = {.bands = SYNTH_STEPS * SYNTH_BANDS,
                                  .height = s->height,
                                  .width = s->width,
                                  .data = data,
                                  .names = y->name_pointers};
    TRY(scene_render(s, data, err));
    TRY(write_raster(y, tile, "sentinel/%s_RGBNIRRSWIRQ_Mosaic.tif", &image, err));
    for (int i = 0; i < s->height * s->width; i++)
        data[i] = (float)s->mask[i];
    const char *const mask_name[] = {"landtake"};
    image.bands = 1;
    image.byte = true;
    image.names = mask_name;
    return write_raster(y, tile, "masks/%s_mask.tif", &image, err);
}

static enum status write_tile(const struct synth *y, int tile, float *data, struct error *err) {
    struct scene s;
    struct rng r = rng_stream(y->config->seed, 0xFFFFFE, RNG_SYNTH, 0, (uint32_t)tile);
    int height = MIN_HEIGHT + (int)rng_below(&r, SYNTH_MAX_HEIGHT - MIN_HEIGHT + 1);
    int width = MIN_WIDTH + (int)rng_below(&r, SYNTH_MAX_WIDTH - MIN_WIDTH + 1);
    TRY(scene_create(&s, y->config->seed, tile, height, width, y->tiles[tile].level, err));
    enum status status = write_scene(y, tile, &s, data, err);
    scene_free(&s);
    return status;
}

static enum status write_tiles(const struct synth *y, struct error *err) {
    float *data = malloc(SYNTH_STEPS * SYNTH_BANDS * SYNTH_MAX_HEIGHT * SYNTH_MAX_WIDTH * sizeof *data);
    if (!data)
        return error_memory(err, "synthetic image");
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < y->config->samples; i++)
        status = write_tile(y, i, data, err);
    free(data);
    return status;
}

static enum status write_split(const struct synth *y, struct error *err) {
    char path[PATH_SIZE], *text = malloc((size_t)y->config->test * ID_SIZE + 1), *p = text;
    if (!text)
        return error_memory(err, "held-out ids");
    *p = 0;
    for (int i = 0; i < y->config->samples; i++)
        if (y->tiles[i].test) {
            tile_id(i, p);
            p += strlen(p);
            *p++ = '\n';
        }
    enum status status = path_join(path, y->folder, "splits/test.txt", err);
    if (status == STATUS_OK)
        status = file_write(path, text, (size_t)(p - text), err);
    free(text);
    return status;
}

static enum status write_tree(struct synth *y, struct error *err) {
    static const char *const folders[] = {"sentinel", "masks", "splits"};
    char path[PATH_SIZE];
    for (int i = 0; i < 3; i++) {
        TRY(path_join(path, y->folder, folders[i], err));
        TRY(file_make_directories(path, err));
    }
    TRY(name_bands(y, err));
    TRY(write_tiles(y, err));
    return write_split(y, err);
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *ftw) {
    (void)s, (void)type, (void)ftw;
    return remove(path);
}

// Whether every entry of a folder is accepted; an absent folder holds nothing.
static bool all_entries(const char *folder, bool (*accept)(const char *name)) {
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT;
    bool all = true;
    for (const struct dirent *e; all && (e = readdir(d));)
        all = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || accept(e->d_name);
    closedir(d);
    return all;
}

static bool is_part_of_tree(const char *name) {
    return strcmp(name, "sentinel") == 0 || strcmp(name, "masks") == 0 || strcmp(name, "splits") == 0;
}

static bool is_synthetic(const char *name) {
    return strncmp(name, ID_PREFIX, strlen(ID_PREFIX)) == 0;
}

// Only an older synthetic tree may be replaced: anything else is somebody's data.
static enum status check_target(const char *tree, struct error *err) {
    char path[PATH_SIZE];
    bool ok = !file_exists(tree) || file_is_directory(tree);
    ok = ok && all_entries(tree, is_part_of_tree);
    TRY(path_join(path, tree, "sentinel", err));
    ok = ok && all_entries(path, is_synthetic);
    TRY(path_join(path, tree, "masks", err));
    ok = ok && all_entries(path, is_synthetic);
    return ok ? STATUS_OK
              : error_set(err, STATUS_INVALID,
                          "%s holds something else than a synthetic dataset: choose another folder", tree);
}

static void remove_tree(const char *path) {
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

// The new tree takes the name of the old one, which goes when the new one stands.
static enum status take_name(const struct synth *y, const char *target, struct error *err) {
    char old[PATH_SIZE];
    snprintf(old, sizeof old, "%s.old-%ld", target, (long)getpid());
    bool replaced = rename(target, old) == 0;
    if (rename(y->folder, target) != 0) {
        enum status status = error_set(err, STATUS_IO, "cannot create %s: %s", target, strerror(errno));
        if (replaced)
            (void)!rename(old, target);
        return status;
    }
    if (replaced)
        remove_tree(old);
    return STATUS_OK;
}

enum status dataset_synthesize(const char *tree, const struct synth_config *config, struct error *err) {
    char target[PATH_SIZE - 32];
    size_t length = strlen(tree);
    while (length > 1 && tree[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof target)
        return error_set(err, STATUS_INVALID, "%s is no path for a dataset", length ? tree : "''");
    snprintf(target, sizeof target, "%.*s", (int)length, tree);
    struct synth *y = calloc(1, sizeof *y);
    if (!y)
        return error_memory(err, "synthetic dataset");
    y->config = config;
    snprintf(y->folder, sizeof y->folder, "%s.tmp-%ld", target, (long)getpid());
    enum status status = check_target(target, err);
    if (status == STATUS_OK)
        status = plan_tiles(y, err);
    if (status == STATUS_OK) {
        status = write_tree(y, err);
        if (status == STATUS_OK)
            status = take_name(y, target, err);
        if (status != STATUS_OK)
            remove_tree(y->folder);
    }
    free(y->tiles);
    free(y->wkt);
    free(y);
    return status;
}
