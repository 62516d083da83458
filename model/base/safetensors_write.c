#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/base/file.h"
#include "model/base/safetensors.h"
#include "model/base/safetensors_checksum.h"
#include "model/base/safetensors_measure.h"
#include "model/base/utf8.h"

enum { LENGTH_BYTES = 8, HEADER_ALIGNMENT = 8, HELD_BYTES = 2 << 20 };
_Static_assert(HELD_BYTES % FILE_DIRECT_GRANULE == 0, "what is written at once goes past the page cache");

struct chunk { // the bytes of one tensor: there already, or asked for when it is written
    const void *data;
    size_t bytes;
    struct safetensors_source source; // fill is NULL where `data` is there
};

struct safetensors_writer {
    json_t *tensors;  // name -> header entry, in the order added
    json_t *metadata; // key -> text
    struct chunk *chunks;
    size_t count, capacity, offset;
    bool checksummed;
    safetensors_pause *pause; // NULL: none
    void *pause_context;
};

enum status safetensors_writer_create(safetensors_writer **writer, struct error *err) {
    *writer = NULL;
    safetensors_writer *w = calloc(1, sizeof *w);
    if (!w)
        return error_memory(err, "safetensors writer");
    w->tensors = json_object();
    w->metadata = json_object();
    if (!w->tensors || !w->metadata) {
        safetensors_writer_destroy(w);
        return error_memory(err, "safetensors writer");
    }
    *writer = w;
    return STATUS_OK;
}

void safetensors_writer_destroy(safetensors_writer *writer) {
    if (!writer)
        return;
    json_decref(writer->tensors);
    json_decref(writer->metadata);
    free(writer->chunks);
    free(writer);
}

// What jansson refuses by a mere NULL: a text that it cannot take, or has no memory for. An error that goes away must
// not be taken for one that stays.
static enum status refused(const char *what, const char *name, const char *text, struct error *err) {
    if (utf8_count_wrong(name) + utf8_count_wrong(text) == 0)
        return error_memory(err, "a checkpoint's header");
    return error_set(err, STATUS_INVALID, "%s '%s' is not UTF-8 text", what, name);
}

enum status safetensors_add_metadata(safetensors_writer *writer, const char *key, const char *text, struct error *err) {
    // json_string is NULL for text that is not UTF-8, and json_object_set_new fails on a NULL value.
    if (json_object_set_new(writer->metadata, key, json_string(text)) != 0)
        return refused("metadata", key, text, err);
    return STATUS_OK;
}

enum status safetensors_add_checksum(safetensors_writer *writer, struct error *err) {
    writer->checksummed = true;
    return safetensors_add_metadata(writer, CHECKSUM_KEY, CHECKSUM_NAME CHECKSUM_ZEROS, err);
}

static bool grow_chunks(safetensors_writer *w) {
    if (w->count < w->capacity)
        return true;
    size_t capacity = w->capacity ? 2 * w->capacity : 64;
    struct chunk *chunks = realloc(w->chunks, capacity * sizeof *chunks);
    if (!chunks)
        return false;
    w->chunks = chunks;
    w->capacity = capacity;
    return true;
}

// Puts the tensor into the header; its chunk gets the size.
static enum status add_chunk(safetensors_writer *writer, const char *name, enum dtype dtype, int rank,
                             const int64_t *shape, struct chunk chunk, struct error *err) {
    size_t count, bytes, end;
    if (rank < 0 || rank > TENSOR_MAX_RANK)
        return error_set(err, STATUS_INVALID, "tensor '%s' has %d dimensions, at most %d are supported", name, rank,
                         TENSOR_MAX_RANK);
    if (!safetensors_measure(dtype, rank, shape, &count, &bytes) || __builtin_add_overflow(writer->offset, bytes, &end))
        return error_set(err, STATUS_INVALID, "tensor '%s': negative or overflowing shape", name);
    if (strcmp(name, "__metadata__") == 0 || json_object_get(writer->tensors, name))
        return error_set(err, STATUS_INVALID, "tensor name '%s' is used twice or reserved", name);
    json_t *extents = json_array();
    for (int i = 0; i < rank; i++)
        if (json_array_append_new(extents, json_integer(shape[i])) != 0) {
            json_decref(extents);
            return error_memory(err, name);
        }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(dtype), "shape", extents, "data_offsets",
                              (json_int_t)writer->offset, (json_int_t)end);
    if (!entry || !grow_chunks(writer)) {
        json_decref(entry);
        return error_memory(err, name);
    }
    if (json_object_set_new(writer->tensors, name, entry) != 0)
        return refused("tensor name", name, name, err);
    chunk.bytes = bytes;
    writer->chunks[writer->count++] = chunk;
    writer->offset = end;
    return STATUS_OK;
}

enum status safetensors_add(safetensors_writer *writer, const char *name, enum dtype dtype, int rank,
                            const int64_t *shape, const void *data, struct error *err) {
    return add_chunk(writer, name, dtype, rank, shape, (struct chunk){.data = data}, err);
}

enum status safetensors_add_filled(safetensors_writer *writer, const char *name, enum dtype dtype, int rank,
                                   const int64_t *shape, struct safetensors_source source, struct error *err) {
    return add_chunk(writer, name, dtype, rank, shape, (struct chunk){.source = source}, err);
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// A new object with the same pairs, inserted in the order of their keys; NULL: out of memory.
static json_t *sorted_by_key(json_t *object) {
    size_t count = 0, size = json_object_size(object);
    const char **keys = calloc(size + 1, sizeof *keys);
    json_t *sorted = json_object(), *value;
    if (!keys || !sorted)
        goto fail;
    const char *key;
    json_object_foreach(object, key, value) keys[count++] = key;
    qsort(keys, count, sizeof *keys, compare_strings);
    for (size_t i = 0; i < count; i++)
        if (json_object_set(sorted, keys[i], json_object_get(object, keys[i])) != 0)
            goto fail;
    free(keys);
    return sorted;
fail:
    free(keys);
    json_decref(sorted);
    return NULL;
}

// The header's text; NULL: out of memory.
static char *header_text(const safetensors_writer *w) {
    json_t *header = json_object();
    bool ok = header != NULL;
    if (ok && json_object_size(w->metadata) > 0)
        ok = json_object_set_new(header, "__metadata__", sorted_by_key(w->metadata)) == 0;
    ok = ok && json_object_update(header, w->tensors) == 0;
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

void safetensors_set_pause(safetensors_writer *writer, safetensors_pause *pause, void *context) {
    writer->pause = pause;
    writer->pause_context = context;
}

// A file that is being written, piece by piece: past the page cache it takes only whole, aligned ones.
struct output {
    struct file_replace *file;
    checksum *sum; // of all that has been put; NULL: none is wanted
    char *held;    // HELD_BYTES, the first `used` of them put but not written
    size_t used;
    const safetensors_writer *writer;
};

static void pause_writing(const safetensors_writer *w) {
    if (w->pause)
        w->pause(w->pause_context);
}

static enum status write_held(struct output *o, struct error *err) {
    size_t used = o->used;
    o->used = 0;
    TRY(file_replace_write(o->file, o->held, used, err));
    pause_writing(o->writer);
    return STATUS_OK;
}

static enum status put(struct output *o, const void *data, size_t bytes, struct error *err) {
    const char *from = data;
    while (bytes > 0) {
        size_t room = HELD_BYTES - o->used, n = bytes < room ? bytes : room;
        memcpy(o->held + o->used, from, n);
        if (o->sum)
            checksum_add(o->sum, o->held + o->used, n);
        o->used += n;
        from += n;
        bytes -= n;
        if (o->used == HELD_BYTES)
            TRY(write_held(o, err));
    }
    return STATUS_OK;
}

static enum status write_header(struct output *o, const char *text, struct error *err) {
    size_t used = strlen(text), padding = (HEADER_ALIGNMENT - used % HEADER_ALIGNMENT) % HEADER_ALIGNMENT;
    uint64_t length = used + padding;
    unsigned char prefix[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        prefix[i] = (unsigned char)(length >> (8 * i));
    TRY(put(o, prefix, sizeof prefix, err));
    TRY(put(o, text, used, err));
    return put(o, "        ", padding, err);
}

// `buffer` holds the largest piece.
static enum status write_chunk(struct output *o, const struct chunk *chunk, void *buffer, struct error *err) {
    if (!chunk->source.fill)
        return put(o, chunk->data, chunk->bytes, err);
    for (size_t first = 0, bytes; first < chunk->bytes; first += bytes) {
        size_t left = chunk->bytes - first;
        bytes = left < chunk->source.piece ? left : chunk->source.piece;
        chunk->source.fill(chunk->source.context, first, bytes, buffer);
        pause_writing(o->writer);
        TRY(put(o, buffer, bytes, err));
    }
    return STATUS_OK;
}

static size_t largest_piece(const safetensors_writer *w) {
    size_t largest = 1;
    for (size_t i = 0; i < w->count; i++) {
        const struct chunk *c = &w->chunks[i];
        size_t bytes = c->bytes < c->source.piece ? c->bytes : c->source.piece;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

static enum status write_all(safetensors_writer *writer, struct output *o, const char *text, void *buffer,
                             struct error *err) {
    TRY(write_header(o, text, err));
    for (size_t i = 0; i < writer->count; i++)
        TRY(write_chunk(o, &writer->chunks[i], buffer, err));
    file_replace_cached(o->file);
    TRY(write_held(o, err));
    if (!o->sum)
        return STATUS_OK;
    char digits[CHECKSUM_DIGITS + 1];
    checksum_digits(o->sum, digits);
    size_t at = (size_t)(checksum_find(text, strlen(text)) - text);
    return file_replace_patch(o->file, LENGTH_BYTES + at, digits, CHECKSUM_DIGITS, err);
}

// A large page where the system gives one: past the page cache a disk then gets one piece of memory instead of
// hundreds.
static char *allocate_held(void) {
    char *held = aligned_alloc(HELD_BYTES, HELD_BYTES);
    if (held)
        madvise(held, HELD_BYTES, MADV_HUGEPAGE); // where that is refused, it takes longer
    return held;
}

enum status safetensors_write_into(safetensors_writer *writer, struct file_replace *f, struct error *err) {
    char *text = header_text(writer);
    void *buffer = malloc(largest_piece(writer));
    struct output o = {
        .file = f, .sum = writer->checksummed ? checksum_create() : NULL, .held = allocate_held(), .writer = writer};
    bool ready = text && buffer && o.held && (o.sum || !writer->checksummed);
    enum status status = ready ? write_all(writer, &o, text, buffer, err) : error_memory(err, f->path);
    checksum_destroy(o.sum);
    free(o.held);
    free(text);
    free(buffer);
    return status;
}

enum status safetensors_write(safetensors_writer *writer, const char *path, struct error *err) {
    struct file_replace f;
    TRY(file_replace_begin(&f, path, err));
    enum status status = safetensors_write_into(writer, &f, err);
    if (status == STATUS_OK)
        return file_replace_commit(&f, err);
    file_replace_abandon(&f);
    return status;
}
