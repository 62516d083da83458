// Steps that the host does not lead: an optional part of a backend. The samples live in the backend's memory, a step is
// recorded once (cut a batch, forward, loss, backward, update) and replayed, and the host reads what the steps said
// when a stretch of them is over. Nothing in between allocates or waits. A step that cannot be recorded is asked for
// anew each time.
//
// The results are those of the steps that the host leads, for the arithmetic is the same. Called from the backend's
// thread.
#ifndef GRIDFOLD_MODEL_RESIDENT_H
#define GRIDFOLD_MODEL_RESIDENT_H

#include "model/backend.h"
#include "model/sample_cut.h"

typedef struct resident resident;   // samples, and what steps read and write besides
typedef struct recording recording; // a step

struct resident_sample {
    const float *image;  // host: (T, C, height, width)
    const uint8_t *mask; // host: (height, width) of 0, 1 or 255
    int height, width;
};

struct resident_config {
    int steps, bands; // T, C
    int image_size;   // S
    int batch;        // the largest of this member's
    int samples;
    const struct resident_sample *sample; // copied
};

enum { RESIDENT_MAX_STEPS = 4096 }; // of a stretch

// A batch, and what of it is this member's: `own` samples from `first` on. Alone: all of it.
struct resident_batch {
    int all, first, own;
};

// One optimizer step over arenas of n floats. moment2 is NULL for SGD.
struct resident_update {
    const struct optimizer_config *config;
    size_t n;
    const float *grad;
    float *moment1, *moment2, *param;
};

struct resident_ops {
    enum status (*create)(backend *b, const struct resident_config *config, resident **r, struct error *err);
    void (*destroy)(backend *b, resident *r);

    // Between the two everything that this backend is asked to run is recorded and not run. record_end is called also
    // when something failed in between; `r` is then NULL. STATUS_UNSUPPORTED from either: something in it, a library's
    // for example, cannot be recorded, though it can be run.
    enum status (*record_begin)(backend *b, struct error *err);
    enum status (*record_end)(backend *b, recording **r, struct error *err);
    enum status (*replay)(backend *b, recording *r, struct error *err);
    void (*recording_destroy)(backend *b, recording *r);

    // Parts of a step. `cut` writes the member's of the stretch's next cuts as frames n = t * own + b of `input`, and
    // their masks for `loss`; it is left out when there are none. `loss` is focal_loss of backend.h on them, and takes
    // the batch's cuts as done; without dlogits (evaluation) it ends the step.
    // `update` clips and steps the optimizer, and ends the step; where loss or norm is not finite it leaves everything
    // as it is, and so do all later steps of the stretch.
    enum status (*cut)(backend *b, resident *r, const struct resident_batch *batch, float *input, struct error *err);
    enum status (*loss)(backend *b, resident *r, const struct resident_batch *batch, struct shape shape,
                        const float *logits, const struct focal_loss_config *config, const struct collectives *together,
                        float *dlogits, struct error *err);
    enum status (*update)(backend *b, resident *r, const struct resident_update *update, struct error *err);

    // A stretch of at most RESIDENT_MAX_STEPS steps over `count` cuts; optimizer_steps were taken since initialisation.
    // `finish` waits, and writes one result a step.
    enum status (*begin)(backend *b, resident *r, const struct sample_cut *cuts, int count, double lr,
                         int64_t optimizer_steps, struct error *err);
    enum status (*finish)(backend *b, resident *r, int steps, struct step_result *results, struct error *err);
};

#endif
