// safetensors files (https://github.com/huggingface/safetensors, format section): datasets and checkpoints.
//
// Layout: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__": {key:
// text}}, then the tensors. Reading maps the file and copies nothing; writing replaces the file by rename when all of
// it is on disk. Row-major, little-endian. A reader may be shared by threads; a writer belongs to one.
#ifndef GRIDFOLD_MODEL_BASE_SAFETENSORS_H
#define GRIDFOLD_MODEL_BASE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/file.h"

enum dtype { DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16, DTYPE_I64, DTYPE_I32, DTYPE_U8, DTYPE_BOOL };
enum { TENSOR_MAX_RANK = 8 };

size_t dtype_size(enum dtype dtype);
const char *dtype_name(enum dtype dtype); // "F32", as in the header

typedef struct safetensors safetensors;

struct safetensors_tensor {
    const char *name; // owned by the file
    enum dtype dtype;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    size_t count, bytes;
    const void *data; // owned by the file; aligned to the dtype's size
};

// STATUS_NOT_FOUND, STATUS_IO, or STATUS_FORMAT with what is wrong (truncated, header not JSON, offsets outside the
// file or overlapping, size not shape x dtype), or STATUS_UNSUPPORTED for a dtype that is not above. A well-formed file
// never fails later. Only tensors that the file holds misaligned are copied.
NODISCARD enum status safetensors_open(const char *path, safetensors **file, struct error *err);
void safetensors_close(safetensors *file);

size_t safetensors_count(const safetensors *file);
const struct safetensors_tensor *safetensors_at(const safetensors *file, size_t index);       // in file order
const struct safetensors_tensor *safetensors_find(const safetensors *file, const char *name); // NULL: absent
const char *safetensors_metadata(const safetensors *file, const char *key);                   // NULL: absent

// Reads the whole file and compares it with the checksum that it says of itself: STATUS_FORMAT when it is damaged,
// STATUS_IO when it cannot be read. *there (may be NULL): it has one; files of other programs have none, and pass.
NODISCARD enum status safetensors_verify(const safetensors *file, bool *there, struct error *err);

// As _find, but absent or of another dtype or shape is an error that names file, tensor, what was wanted and what is
// there.
NODISCARD enum status safetensors_expect(const safetensors *file, const char *name, enum dtype dtype, int rank,
                                         const int64_t *shape, const struct safetensors_tensor **tensor,
                                         struct error *err);

typedef struct safetensors_writer safetensors_writer;
NODISCARD enum status safetensors_writer_create(safetensors_writer **writer, struct error *err);
void safetensors_writer_destroy(safetensors_writer *writer);
// Copies key and text.
NODISCARD enum status safetensors_add_metadata(safetensors_writer *writer, const char *key, const char *text,
                                               struct error *err);
// Copies name and shape, not the data: it must live until the write.
NODISCARD enum status safetensors_add(safetensors_writer *writer, const char *name, enum dtype dtype, int rank,
                                      const int64_t *shape, const void *data, struct error *err);
// The same for data that is made when it is written, piece by piece: fill(context, first, bytes, buffer) puts so many
// of the tensor's bytes from `first` into buffer. A piece has `bytes` of them, the last one what is left, and one at a
// time is held.
typedef void safetensors_fill(void *context, size_t first, size_t bytes, void *buffer);
struct safetensors_source {
    safetensors_fill *fill;
    void *context;
    size_t piece; // bytes, at least 1
};
NODISCARD enum status safetensors_add_filled(safetensors_writer *writer, const char *name, enum dtype dtype, int rank,
                                             const int64_t *shape, struct safetensors_source source, struct error *err);
// The file will have a checksum of all its bytes in its metadata ("checksum").
NODISCARD enum status safetensors_add_checksum(safetensors_writer *writer, struct error *err);
// Called while a file is written, after every two megabytes and every piece that was filled: by a writer in the
// background, which may sleep there.
typedef void safetensors_pause(void *context);
void safetensors_set_pause(safetensors_writer *writer, safetensors_pause *pause, void *context);
// Tensors in the order added, metadata sorted by key: the same content gives the same bytes.
NODISCARD enum status safetensors_write(safetensors_writer *writer, const char *path, struct error *err);
// The same into a file that the caller has begun and will commit or abandon.
NODISCARD enum status safetensors_write_into(safetensors_writer *writer, struct file_replace *f, struct error *err);

#endif
