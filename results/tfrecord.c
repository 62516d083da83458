#include "results/tfrecord.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- checksums ----

uint32_t crc32c(const void *data, size_t bytes) {
    const uint8_t *p = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

uint32_t crc32c_masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

// ---- wire format ----

enum { VARINT, FIXED64, LENGTH, FIXED32 = 5 };

void wire_free(struct wire *w) {
    free(w->data);
    *w = (struct wire){0};
}

static void put(struct wire *w, const void *data, size_t bytes) {
    if (w->size + bytes > w->capacity && !w->failed) {
        size_t capacity = 2 * (w->size + bytes) + 64;
        uint8_t *grown = realloc(w->data, capacity);
        w->failed = !grown;
        w->data = grown ? grown : w->data;
        w->capacity = grown ? capacity : w->capacity;
    }
    if (w->failed || bytes == 0)
        return;
    memcpy(w->data + w->size, data, bytes);
    w->size += bytes;
}

static void put_varint(struct wire *w, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(w, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_little(struct wire *w, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        put(w, &byte, 1);
    }
}

static void put_tag(struct wire *w, int field, int type) {
    put_varint(w, (uint64_t)field << 3 | (uint64_t)type);
}

void wire_varint(struct wire *w, int field, uint64_t value) {
    put_tag(w, field, VARINT);
    put_varint(w, value);
}

void wire_double(struct wire *w, int field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_tag(w, field, FIXED64);
    put_little(w, bits, 8);
}

void wire_float(struct wire *w, int field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_tag(w, field, FIXED32);
    put_little(w, bits, 4);
}

void wire_bytes(struct wire *w, int field, const void *data, size_t bytes) {
    put_tag(w, field, LENGTH);
    put_varint(w, bytes);
    put(w, data, bytes);
}

void wire_text(struct wire *w, int field, const char *text) {
    wire_bytes(w, field, text, strlen(text));
}

void wire_message(struct wire *w, int field, const struct wire *message) {
    w->failed = w->failed || message->failed;
    wire_bytes(w, field, message->data, message->size);
}

void wire_record(struct wire *file, const struct wire *message) {
    struct wire length = {0};
    put_little(&length, message->size, 8);
    put(file, length.data, length.size);
    put_little(file, crc32c_masked(crc32c(length.data, length.size)), 4);
    put(file, message->data, message->size);
    put_little(file, crc32c_masked(crc32c(message->data, message->size)), 4);
    file->failed = file->failed || length.failed || message->failed;
    wire_free(&length);
}

// ---- events ----

enum { EVENT_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
enum { METADATA_PLUGIN = 1, PLUGIN_NAME = 1, PLUGIN_CONTENT = 2 };
enum { HPARAMS_START = 3, HPARAMS_END = 4 }; // of HParamsPluginData; its version, field 1, is 0 and left out
enum { START_HPARAMS = 1, START_GROUP = 4, START_TIME = 5, END_STATUS = 1, END_TIME = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2, STRUCT_NUMBER = 2, STRUCT_TEXT = 3 };

void event_version(struct wire *file, double time) {
    struct wire event = {0};
    wire_double(&event, EVENT_TIME, time);
    wire_text(&event, EVENT_VERSION, "brain.Event:2");
    wire_record(file, &event);
    wire_free(&event);
}

static void put_event(struct wire *file, double time, int64_t step, const struct wire *value) {
    struct wire event = {0}, summary = {0};
    wire_message(&summary, SUMMARY_VALUE, value);
    wire_double(&event, EVENT_TIME, time);
    if (step != 0)
        wire_varint(&event, EVENT_STEP, (uint64_t)step);
    wire_message(&event, EVENT_SUMMARY, &summary);
    wire_record(file, &event);
    wire_free(&summary);
    wire_free(&event);
}

void event_scalar(struct wire *file, double time, int64_t step, const char *tag, double number) {
    struct wire value = {0};
    wire_text(&value, VALUE_TAG, tag);
    wire_float(&value, VALUE_SIMPLE, (float)number);
    put_event(file, time, step, &value);
    wire_free(&value);
}

// A value of the HParams plugin stands in its metadata; readers want a tensor beside it: float32, of no element.
static void put_plugin(struct wire *file, double time, const char *tag, int field, const struct wire *info) {
    static const uint8_t null_tensor[] = {0x08, 0x01, 0x12, 0x02, 0x12, 0x00};
    struct wire content = {0}, plugin = {0}, metadata = {0}, value = {0};
    wire_message(&content, field, info);
    wire_text(&plugin, PLUGIN_NAME, "hparams");
    wire_message(&plugin, PLUGIN_CONTENT, &content);
    wire_message(&metadata, METADATA_PLUGIN, &plugin);
    wire_text(&value, VALUE_TAG, tag);
    wire_bytes(&value, VALUE_TENSOR, null_tensor, sizeof null_tensor);
    wire_message(&value, VALUE_METADATA, &metadata);
    put_event(file, time, 0, &value);
    wire_free(&content);
    wire_free(&plugin);
    wire_free(&metadata);
    wire_free(&value);
}

static void put_hparam(struct wire *start, const struct hparam *h) {
    struct wire value = {0}, entry = {0};
    char *end;
    double number = strtod(h->value, &end);
    if (end != h->value && !*end && isfinite(number))
        wire_double(&value, STRUCT_NUMBER, number);
    else
        wire_text(&value, STRUCT_TEXT, h->value);
    wire_text(&entry, ENTRY_KEY, h->key);
    wire_message(&entry, ENTRY_VALUE, &value);
    wire_message(start, START_HPARAMS, &entry);
    wire_free(&value);
    wire_free(&entry);
}

void event_session_start(struct wire *file, double time, const char *group, const struct hparam *hparams,
                         size_t count) {
    struct wire start = {0};
    for (size_t i = 0; i < count; i++)
        put_hparam(&start, &hparams[i]);
    wire_text(&start, START_GROUP, group);
    wire_double(&start, START_TIME, time);
    put_plugin(file, time, "_hparams_/session_start_info", HPARAMS_START, &start);
    wire_free(&start);
}

void event_session_end(struct wire *file, double time, enum session_status status) {
    struct wire end = {0};
    wire_varint(&end, END_STATUS, (uint64_t)status);
    wire_double(&end, END_TIME, time);
    put_plugin(file, time, "_hparams_/session_end_info", HPARAMS_END, &end);
    wire_free(&end);
}
