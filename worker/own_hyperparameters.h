// Hyperparameters that a sweep declares itself, for programs that gridfold knows nothing of (trainer = command): any
// key, any text as a value.
//
// The keys stand once in the sweep, in the order of their declaration; a trial has one value for each. Values of a
// trial are one text, a line each, so that a hundred thousand trials are small. Pure.
#ifndef GRIDFOLD_WORKER_OWN_HYPERPARAMETERS_H
#define GRIDFOLD_WORKER_OWN_HYPERPARAMETERS_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

enum { OWN_MAX = 16, OWN_KEY_SIZE = 48, OWN_VALUE_SIZE = 64, OWN_TEXT_SIZE = OWN_MAX * OWN_VALUE_SIZE };

struct own_keys {
    int count;
    char key[OWN_MAX][OWN_KEY_SIZE]; // with hyphens
};

int own_key_find(const struct own_keys *keys, const char *key); // hyphens or underscores; -1: not declared
// Position of the key, declared now where it was not. STATUS_INVALID: too many, or one that is no name.
NODISCARD enum status own_key_declare(struct own_keys *keys, const char *key, int *index, struct error *err);

// Sets one value of a trial. STATUS_INVALID: a line break, or more than OWN_VALUE_SIZE - 1 bytes.
NODISCARD enum status own_value_set(char own[OWN_TEXT_SIZE], int index, const char *value, struct error *err);
void own_value(const char *own, int index, char *out, size_t size); // "" where it was not set
// Takes one value over from another set.
void own_value_copy(char to[OWN_TEXT_SIZE], const char *from, int index);

// 16 hexadecimal digits, as trial_id: a hash of `program` (what runs, as text), "key=value\n" sorted by key, fold,
// folds and seed.
void own_trial_id(const struct own_keys *keys, const char *own, const char *program, int folds, int fold, uint64_t seed,
                  char id[17]);

#endif
