// TensorBoard event files: records framed with masked CRC32C, protocol buffers in their wire format.
//
// The few messages that event files need (Event, Summary, and the HParams plugin's) are put down byte by byte: their
// field numbers are frozen, and a code generator with TensorFlow's .proto files would be larger than this file.
// Sources: tensorflow/core/lib/io/record_writer.h (framing), tensorflow/core/util/event.proto, framework/summary.proto,
// tensorboard/plugins/hparams/plugin_data.proto, google/protobuf/struct.proto. One thread.
#ifndef GRIDFOLD_RESULTS_TFRECORD_H
#define GRIDFOLD_RESULTS_TFRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

// CRC-32C (Castagnoli), RFC 3720.
uint32_t crc32c(const void *data, size_t bytes);
// Rotated right by 15 bits plus 0xa282ead8, as record files store it.
uint32_t crc32c_masked(uint32_t crc);

// A growing message. An allocation that fails is remembered: `failed`. Zeroed to begin with; free(data).
struct wire {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
};
void wire_free(struct wire *w);
void wire_varint(struct wire *w, int field, uint64_t value);
void wire_double(struct wire *w, int field, double value);
void wire_float(struct wire *w, int field, float value);
void wire_bytes(struct wire *w, int field, const void *data, size_t bytes);
void wire_text(struct wire *w, int field, const char *text);
void wire_message(struct wire *w, int field, const struct wire *message);

// Appends `message` as one record: length, its checksum, bytes, their checksum.
void wire_record(struct wire *file, const struct wire *message);

// ---- events ----

// The first record of a file.
void event_version(struct wire *file, double time);
void event_scalar(struct wire *file, double time, int64_t step, const char *tag, double value);

// HParams of a session (a trial); values that read as numbers are numbers.
struct hparam {
    const char *key, *value;
};
void event_session_start(struct wire *file, double time, const char *group, const struct hparam *hparams, size_t count);
enum session_status { SESSION_UNKNOWN, SESSION_SUCCESS, SESSION_FAILURE, SESSION_RUNNING };
void event_session_end(struct wire *file, double time, enum session_status status);

#endif
