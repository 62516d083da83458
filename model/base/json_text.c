#include "model/base/json_text.h"

#include <stdbool.h>
#include <stdlib.h>

static bool starved; // an allocation has failed since the parse began

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes);
    starved = starved || !memory;
    return memory;
}

enum status json_text_parse(const char *text, size_t bytes, json_t **value, struct error *err) {
    json_error_t why;
    json_set_alloc_funcs(allocate, free);
    starved = false;
    *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (starved) {
        json_decref(*value);
        *value = NULL;
        return error_memory(err, "JSON");
    }
    return *value ? STATUS_OK : error_set(err, STATUS_FORMAT, "%s", why.text);
}
