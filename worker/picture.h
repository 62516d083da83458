// Side-by-side pictures of a tile: true colour at the first and the last timestep, the mask, the prediction.
//
// Four panels of the same size (three without a mask). True colour: red, green and blue stretched from their 2nd to
// their 98th percentile over both timesteps together, so that change shows; missing values grey. Mask: white land-take,
// black none, grey ignored. Prediction beside a mask: white hits, black rightly nothing, orange false alarms, blue
// misses (told apart by the colour-blind too: Okabe and Ito), grey ignored. Without a mask: grey levels from black (0)
// to white (1). Small maps are enlarged by whole numbers, without smoothing. Needs GDAL.
#ifndef GRIDFOLD_WORKER_PICTURE_H
#define GRIDFOLD_WORKER_PICTURE_H

#include <stdint.h>

#include "model/base/status.h"

struct side_by_side {
    int height, width;
    const float *first[3], *last[3]; // red, green, blue: (height, width), NaN: missing
    const uint8_t *mask;             // (height, width) 0, 1 or MASK_IGNORE; NULL: not known
    const double *probability;       // (height, width); NaN: not predicted, shown as missing
    double threshold;                // of the prediction beside a mask
};

// PNG. STATUS_UNSUPPORTED without GDAL, STATUS_MEMORY, STATUS_IO.
NODISCARD enum status side_by_side_write(const char *path, const struct side_by_side *s, struct error *err);

// The bands to show as red, green, blue: by name, else the third, second and first (or what there is of them).
typedef int band_lookup(const void *context, const char *name); // -1: absent
void picture_choose_bands(band_lookup *lookup, const void *context, int bands, int rgb[3]);

#endif
