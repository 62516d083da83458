// Layouts, on the host: (outer, channels, pixels) row-major there, [outer][pixels][padded channels] here. Values are
// frames of channels; a convolution weight (Co,Ci,k,k) is Co "frames" of Ci channels on k x k pixels, a vector one
// frame on one pixel. What is packed goes through page-locked memory, piece by piece. Training steps do not come by
// here: their images are cut on the device.
#include <stdlib.h>
#include <string.h>

#include "model/base/bf16.h"
#include "model/cuda/backend_parts.h"

struct extent {
    int64_t outer, channels, pixels;
    int64_t padded_outer, padded_channels;
    size_t element; // bytes
};

struct param_layout {
    struct extent extent;
};

static struct extent value_extent(const struct cuda_backend *b, struct shape s) {
    return (struct extent){s.n, s.c, (int64_t)s.h * s.w, s.n, cuda_padded(s.c), cuda_element_bytes(b)};
}

static size_t row_bytes(const struct extent *e) { // of one pixel
    return (size_t)e->padded_channels * e->element;
}

static int64_t row_count(const struct extent *e) {
    return e->padded_outer * e->pixels;
}

// Where pixel row `row`, channel 0 lies on the host; the next channel is `pixels` further. Rows of padded frames are
// not asked for.
static int64_t host_at(const struct extent *e, int64_t row) {
    return row / e->pixels * e->channels * e->pixels + row % e->pixels;
}

static void pack_row(const struct extent *e, const float *host, void *row) {
    if (e->element == sizeof(float)) {
        float *to = row;
        for (int64_t c = 0; c < e->channels; c++)
            to[c] = host[c * e->pixels];
    } else {
        uint16_t *to = row;
        for (int64_t c = 0; c < e->channels; c++)
            to[c] = bf16_from_float(host[c * e->pixels]);
    }
}

static void unpack_row(const struct extent *e, const void *row, float *host) {
    if (e->element == sizeof(float)) {
        const float *from = row;
        for (int64_t c = 0; c < e->channels; c++)
            host[c * e->pixels] = from[c];
    } else {
        const uint16_t *from = row;
        for (int64_t c = 0; c < e->channels; c++)
            host[c * e->pixels] = bf16_to_float(from[c]);
    }
}

// Rows first .. first + count of the device's array, through staging; at least one fits, for rows have at most 65,536
// channels or so.
static int64_t piece_rows(const struct cuda_backend *b, const struct extent *e, int64_t first) {
    int64_t room = (int64_t)(b->staging_bytes / row_bytes(e)), left = row_count(e) - first;
    return left < room ? left : room;
}

static void import(struct cuda_backend *b, const struct extent *e, const float *host, void *device) {
    for (int64_t first = 0, count; first < row_count(e); first += count) {
        count = piece_rows(b, e, first);
        memset(b->staging, 0, (size_t)count * row_bytes(e));
        for (int64_t row = first; row < first + count && row < e->outer * e->pixels; row++)
            pack_row(e, host + host_at(e, row), (char *)b->staging + (size_t)(row - first) * row_bytes(e));
        cuda_note(b,
                  cudaMemcpyAsync((char *)device + (size_t)first * row_bytes(e), b->staging,
                                  (size_t)count * row_bytes(e), cudaMemcpyHostToDevice, b->stream),
                  "copying to the device");
        cuda_note(b, cudaStreamSynchronize(b->stream), "copying to the device"); // staging is needed again
    }
}

static void export(struct cuda_backend *b, const struct extent *e, const void *device, float *host) {
    for (int64_t first = 0, count; first < e->outer * e->pixels; first += count) {
        count = piece_rows(b, e, first);
        cuda_note(b,
                  cudaMemcpyAsync(b->staging, (const char *)device + (size_t)first * row_bytes(e),
                                  (size_t)count * row_bytes(e), cudaMemcpyDeviceToHost, b->stream),
                  "copying from the device");
        cuda_note(b, cudaStreamSynchronize(b->stream), "copying from the device");
        for (int64_t row = first; row < first + count && row < e->outer * e->pixels; row++)
            unpack_row(e, (char *)b->staging + (size_t)(row - first) * row_bytes(e), host + host_at(e, row));
    }
}

size_t cuda_activation_floats(const backend *base, struct shape shape) {
    const struct cuda_backend *b = (const struct cuda_backend *)base;
    return cuda_value_elements(shape) * cuda_element_bytes(b) / sizeof(float); // whole: elements come by eights
}

void cuda_activation_import(backend *base, struct shape shape, const float *host, float *value) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct extent e = value_extent(b, shape);
    import(b, &e, host, value);
}

void cuda_activation_export(backend *base, struct shape shape, const float *value, float *host) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct extent e = value_extent(b, shape);
    export(b, &e, value, host);
}

enum status cuda_param_layout_create(backend *base, const struct graph_param *param, const struct op_desc *op_desc,
                                     param_layout **layout, struct error *err) {
    (void)base, (void)op_desc; // one layout serves every operation
    param_layout *l = malloc(sizeof *l);
    if (!l)
        return error_memory(err, param->key);
    const int64_t *s = param->shape;
    if (param->role == PARAM_VECTOR)
        l->extent = (struct extent){1, s[0], 1, 1, cuda_padded(s[0]), sizeof(float)};
    else
        l->extent = (struct extent){s[0], s[1], s[2] * s[3], cuda_padded(s[0]), cuda_padded(s[1]), sizeof(float)};
    *layout = l;
    return STATUS_OK;
}

void cuda_param_layout_destroy(backend *base, param_layout *layout) {
    (void)base;
    free(layout);
}

size_t cuda_param_floats(const param_layout *layout) {
    return (size_t)(row_count(&layout->extent) * layout->extent.padded_channels);
}

void cuda_param_import(backend *base, const param_layout *layout, const float *host, float *param) {
    struct cuda_backend *b = cuda_backend_of(base);
    import(b, &layout->extent, host, param);
    cuda_params_changed(b, param, cuda_param_floats(layout));
}

int64_t cuda_param_row_group(const param_layout *layout) {
    return layout->extent.outer > 1 ? 1 : layout->extent.channels; // a vector is a single row of ours
}

void cuda_param_export(backend *base, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                       float *host) {
    struct extent e = layout->extent;
    cuda_gradients_settle(cuda_backend_of(base));
    if (e.outer > 1)
        e.outer = e.padded_outer = rows;
    export(cuda_backend_of(base), &e, param + first * e.pixels * e.padded_channels, host);
}
