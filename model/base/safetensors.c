#include "model/base/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/json_text.h"
#include "model/base/safetensors_checksum.h"
#include "model/base/safetensors_measure.h"

enum { LENGTH_BYTES = 8, SHAPE_TEXT_SIZE = 128 };
static const uint64_t MAX_HEADER = 100u << 20; // the limit of the reference implementation

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [DTYPE_F32] = {"F32", 4}, [DTYPE_F64] = {"F64", 8}, [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4}, [DTYPE_U8] = {"U8", 1},   [DTYPE_BOOL] = {"BOOL", 1},
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

size_t dtype_size(enum dtype dtype) {
    return dtypes[dtype].size;
}

const char *dtype_name(enum dtype dtype) {
    return dtypes[dtype].name;
}

static void shape_text(char out[SHAPE_TEXT_SIZE], int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(out, SHAPE_TEXT_SIZE, "(");
    for (int i = 0; i < rank && used < SHAPE_TEXT_SIZE; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT_SIZE - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < SHAPE_TEXT_SIZE)
        snprintf(out + used, SHAPE_TEXT_SIZE - used, ")");
}

bool safetensors_measure(enum dtype dtype, int rank, const int64_t *shape, size_t *count, size_t *bytes) {
    *count = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(*count, (size_t)shape[i], count))
            return false;
    return !__builtin_mul_overflow(*count, dtypes[dtype].size, bytes);
}

struct entry {
    struct safetensors_tensor tensor;
    size_t begin;
    void *copy; // an aligned copy where the file holds the tensor misaligned, else NULL
};

struct by_name {
    const struct entry *entry;
};

struct safetensors {
    char *path;
    int fd;
    void *map;
    size_t bytes, header_bytes;
    json_t *header; // owns names and metadata
    size_t count;
    struct entry *entries;   // in file order
    struct by_name *by_name; // sorted for bsearch
};

// Maps an open file; NULL with *err set.
static void *map_descriptor(safetensors *f, int fd, struct error *err) {
    struct stat s;
    if (fstat(fd, &s) != 0) {
        error_set(err, STATUS_IO, "cannot open %s: %s", f->path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(s.st_mode)) {
        error_set(err, STATUS_IO, "cannot open %s: not a regular file", f->path);
        return NULL;
    }
    if (s.st_size < LENGTH_BYTES) {
        error_set(err, STATUS_FORMAT, "%s: truncated: %lld bytes are no safetensors file", f->path,
                  (long long)s.st_size);
        return NULL;
    }
    f->bytes = (size_t)s.st_size;
    void *map = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        return map;
    error_set(err, STATUS_IO, "cannot map %s: %s", f->path, strerror(errno));
    return NULL;
}

static void *map_file(safetensors *f, struct error *err) {
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0) {
        error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open %s: %s", f->path, strerror(errno));
        return NULL;
    }
    return map_descriptor(f, f->fd, err);
}

static enum status parse_header(safetensors *f, size_t *data_start, struct error *err) {
    const unsigned char *p = f->map;
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | p[i];
    if (length > MAX_HEADER)
        return error_set(err, STATUS_FORMAT, "%s: header length %" PRIu64 " is absurd: not a safetensors file", f->path,
                         length);
    if (length > f->bytes - LENGTH_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: truncated: header of %" PRIu64 " bytes in a file of %zu", f->path,
                         length, f->bytes);
    struct error why;
    enum status status = json_text_parse((const char *)p + LENGTH_BYTES, (size_t)length, &f->header, &why);
    if (status == STATUS_FORMAT)
        return error_set(err, status, "%s: header is not valid JSON: %.900s", f->path, why.message);
    if (status != STATUS_OK)
        return error_memory(err, f->path);
    if (!json_is_object(f->header))
        return error_set(err, STATUS_FORMAT, "%s: header is not a JSON object", f->path);
    f->header_bytes = (size_t)length;
    *data_start = LENGTH_BYTES + (size_t)length;
    return STATUS_OK;
}

static enum status check_metadata(const safetensors *f, const json_t *metadata, struct error *err) {
    if (!json_is_object(metadata))
        return error_set(err, STATUS_FORMAT, "%s: __metadata__ is not a JSON object", f->path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value))
            return error_set(err, STATUS_FORMAT, "%s: metadata '%s' is not text", f->path, key);
    }
    return STATUS_OK;
}

static enum status parse_dtype(const safetensors *f, const char *name, const json_t *value, enum dtype *dtype,
                               struct error *err) {
    const char *text = json_string_value(value);
    if (!text)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has no dtype", f->path, name);
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *dtype = (enum dtype)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_UNSUPPORTED, "%s: tensor '%s' has dtype %s, which is not supported", f->path, name,
                     text);
}

static enum status parse_shape(const safetensors *f, const json_t *value, struct safetensors_tensor *t,
                               struct error *err) {
    if (!json_is_array(value))
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has no shape", f->path, t->name);
    if (json_array_size(value) > TENSOR_MAX_RANK)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has %zu dimensions, at most %d are supported", f->path,
                         t->name, json_array_size(value), TENSOR_MAX_RANK);
    t->rank = (int)json_array_size(value);
    for (int i = 0; i < t->rank; i++) {
        const json_t *extent = json_array_get(value, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return error_set(err, STATUS_FORMAT, "%s: tensor '%s': shape[%d] is not a size", f->path, t->name, i);
        t->shape[i] = json_integer_value(extent);
    }
    if (!safetensors_measure(t->dtype, t->rank, t->shape, &t->count, &t->bytes))
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s': shape overflows", f->path, t->name);
    return STATUS_OK;
}

static enum status parse_entry(const safetensors *f, const char *name, const json_t *value, size_t data_bytes,
                               struct entry *entry, struct error *err) {
    struct safetensors_tensor *t = &entry->tensor;
    t->name = name;
    if (!json_is_object(value))
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is not a JSON object", f->path, name);
    TRY(parse_dtype(f, name, json_object_get(value, "dtype"), &t->dtype, err));
    TRY(parse_shape(f, json_object_get(value, "shape"), t, err));
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has no data_offsets [begin, end]", f->path, name);
    json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s': data_offsets [%" PRId64 ", %" PRId64 "] are no range",
                         f->path, name, (int64_t)b, (int64_t)e);
    if ((uint64_t)e > data_bytes)
        return error_set(err, STATUS_FORMAT,
                         "%s: truncated: tensor '%s' ends at byte %" PRId64 " of %zu bytes of tensor data", f->path,
                         name, (int64_t)e, data_bytes);
    if ((size_t)(e - b) != t->bytes) {
        char shape[SHAPE_TEXT_SIZE];
        shape_text(shape, t->rank, t->shape);
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' holds %zu bytes, but %s %s needs %zu", f->path, name,
                         (size_t)(e - b), dtype_name(t->dtype), shape, t->bytes);
    }
    entry->begin = (size_t)b;
    return STATUS_OK;
}

static int compare_offsets(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->tensor.bytes != y->tensor.bytes) // an empty tensor stands before the one that begins at the same byte
        return x->tensor.bytes < y->tensor.bytes ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct by_name *)a)->entry->tensor.name, ((const struct by_name *)b)->entry->tensor.name);
}

// The format allows no holes: every byte of the data belongs to exactly one tensor.
static enum status check_coverage(const safetensors *f, size_t data_bytes, struct error *err) {
    size_t end = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct entry *e = &f->entries[i];
        if (e->begin < end)
            return error_set(err, STATUS_FORMAT, "%s: tensors '%s' and '%s' overlap", f->path,
                             f->entries[i - 1].tensor.name, e->tensor.name);
        if (e->begin > end)
            return error_set(err, STATUS_FORMAT, "%s: %zu bytes before tensor '%s' belong to no tensor", f->path,
                             e->begin - end, e->tensor.name);
        end = e->begin + e->tensor.bytes;
    }
    if (end != data_bytes)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes after the last tensor belong to no tensor", f->path,
                         data_bytes - end);
    return STATUS_OK;
}

static enum status point_at_data(safetensors *f, size_t data_start, struct error *err) {
    for (size_t i = 0; i < f->count; i++) {
        struct entry *e = &f->entries[i];
        const char *data = (const char *)f->map + data_start + e->begin;
        e->tensor.data = data;
        if ((uintptr_t)data % dtypes[e->tensor.dtype].size != 0 && e->tensor.bytes > 0) {
            e->copy = malloc(e->tensor.bytes);
            if (!e->copy)
                return error_memory(err, f->path);
            memcpy(e->copy, data, e->tensor.bytes);
            e->tensor.data = e->copy;
        }
    }
    return STATUS_OK;
}

static enum status parse_entries(safetensors *f, size_t data_start, struct error *err) {
    size_t keys = json_object_size(f->header), data_bytes = f->bytes - data_start;
    f->entries = calloc(keys + 1, sizeof *f->entries);
    f->by_name = calloc(keys + 1, sizeof *f->by_name);
    if (!f->entries || !f->by_name)
        return error_memory(err, f->path);
    const char *name;
    json_t *value;
    json_object_foreach(f->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            TRY(check_metadata(f, value, err));
            continue;
        }
        TRY(parse_entry(f, name, value, data_bytes, &f->entries[f->count], err));
        f->count++;
    }
    qsort(f->entries, f->count, sizeof *f->entries, compare_offsets);
    for (size_t i = 0; i < f->count; i++)
        f->by_name[i].entry = &f->entries[i];
    qsort(f->by_name, f->count, sizeof *f->by_name, compare_names);
    TRY(check_coverage(f, data_bytes, err));
    return point_at_data(f, data_start, err);
}

enum status safetensors_open(const char *path, safetensors **file, struct error *err) {
    *file = NULL;
    safetensors *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        free(f);
        return error_memory(err, path);
    }
    f->fd = -1;
    enum status status;
    size_t data_start = 0;
    f->map = map_file(f, err);
    if (!f->map) {
        status = err->status;
        goto fail;
    }
    TRY_OR_FAIL(parse_header(f, &data_start, err));
    TRY_OR_FAIL(parse_entries(f, data_start, err));
    *file = f;
    return STATUS_OK;
fail:
    safetensors_close(f);
    return status;
}

void safetensors_close(safetensors *file) {
    if (!file)
        return;
    for (size_t i = 0; file->entries && i < file->count; i++)
        free(file->entries[i].copy);
    free(file->entries);
    free(file->by_name);
    json_decref(file->header);
    if (file->map)
        munmap(file->map, file->bytes);
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file);
}

size_t safetensors_count(const safetensors *file) {
    return file->count;
}

const struct safetensors_tensor *safetensors_at(const safetensors *file, size_t index) {
    return index < file->count ? &file->entries[index].tensor : NULL;
}

static int compare_key(const void *key, const void *element) {
    return strcmp(key, ((const struct by_name *)element)->entry->tensor.name);
}

const struct safetensors_tensor *safetensors_find(const safetensors *file, const char *name) {
    const struct by_name *found = bsearch(name, file->by_name, file->count, sizeof *file->by_name, compare_key);
    return found ? &found->entry->tensor : NULL;
}

const char *safetensors_metadata(const safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

// By reading, not through the map: a page that cannot be read is then an error and no signal.
enum status safetensors_verify(const safetensors *file, bool *there, struct error *err) {
    bool has_checksum = false;
    enum status status = checksum_verify(file->fd, file->path, file->header_bytes, &has_checksum, err);
    if (there)
        *there = has_checksum;
    return status;
}

enum status safetensors_expect(const safetensors *file, const char *name, enum dtype dtype, int rank,
                               const int64_t *shape, const struct safetensors_tensor **tensor, struct error *err) {
    const struct safetensors_tensor *t = safetensors_find(file, name);
    char wanted[SHAPE_TEXT_SIZE], found[SHAPE_TEXT_SIZE];
    shape_text(wanted, rank, shape);
    if (!t)
        return error_set(err, STATUS_MISMATCH, "%s: tensor '%s' (%s %s) is missing", file->path, name,
                         dtype_name(dtype), wanted);
    bool same = t->dtype == dtype && t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = t->shape[i] == shape[i];
    if (!same) {
        shape_text(found, t->rank, t->shape);
        return error_set(err, STATUS_MISMATCH, "%s: tensor '%s' is %s %s, wanted %s %s", file->path, name,
                         dtype_name(t->dtype), found, dtype_name(dtype), wanted);
    }
    *tensor = t;
    return STATUS_OK;
}
