// What the reader and the writer of safetensors share.
#ifndef GRIDFOLD_MODEL_BASE_SAFETENSORS_MEASURE_H
#define GRIDFOLD_MODEL_BASE_SAFETENSORS_MEASURE_H

#include <stdbool.h>

#include "model/base/safetensors.h"

// Elements and bytes of a shape; false on a negative extent or overflow.
bool safetensors_measure(enum dtype dtype, int rank, const int64_t *shape, size_t *count, size_t *bytes);

#endif
