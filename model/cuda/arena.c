// The loss and the arithmetic over arenas for steps that the host leads one by one: numbers go to the device before and
// come back after. (Whole epochs on the device: epoch.c.)
#include <math.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/group.h"
#include "model/cuda/kernels.h"
#include "model/cuda/workspace.h"

static enum status ensure_mask(struct cuda_backend *b, size_t bytes, struct error *err) {
    if (bytes <= b->mask_bytes)
        return STATUS_OK;
    if (b->mask)
        TRY(cuda_status(cudaFree(b->mask), "releasing a mask", err));
    b->mask = NULL;
    b->mask_bytes = 0;
    void *memory = NULL;
    TRY(cuda_status(cudaMalloc(&memory, bytes), "a mask", err));
    b->mask = memory;
    b->mask_bytes = bytes;
    return STATUS_OK;
}

enum status cuda_loss(struct cuda_backend *b, const struct cuda_loss_args *args, struct error *err) {
    const struct collectives *c = args->together;
    TRY(cuda_status(cuda_loss_sums(args, b->workspace, b->stream), "focal loss", err));
    if (c) {
        double(*parts)[LOSS_SUMS] = b->workspace->loss_parts;
        TRY(c->gather(c->context, parts[c->member], sizeof *parts, parts, err));
        TRY(cuda_status(cuda_loss_total(args, b->workspace, b->stream), "focal loss", err));
    }
    return args->dlogits ? cuda_status(cuda_loss_gradient(args, b->workspace, b->stream), "focal loss", err)
                         : STATUS_OK;
}

enum status cuda_backend_focal_loss(backend *base, struct shape shape, const float *logits, const uint8_t *mask,
                                    const struct focal_loss_config *config, const struct collectives *together,
                                    float *dlogits, struct loss_sums *sums, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    size_t pixels = (size_t)shape.n * (size_t)shape.h * (size_t)shape.w;
    TRY(cuda_failed_before(b, err));
    TRY(ensure_mask(b, pixels, err));
    TRY(cuda_status(cudaMemcpyAsync(b->mask, mask, pixels, cudaMemcpyHostToDevice, b->stream), "copying a mask", err));
    const struct cuda_loss_args args = {.shape = shape,
                                        .bf16 = b->precision == PRECISION_BF16,
                                        .logits = logits,
                                        .mask = b->mask,
                                        .dlogits = dlogits,
                                        .config = *config,
                                        .together = together};
    TRY(cuda_loss(b, &args, err));
    return cuda_read(b, &b->workspace->loss, sums, sizeof *sums, "reading the loss", err);
}

double cuda_backend_sum_squares(backend *base, size_t n, const float *x) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct error err;
    double squares = NAN;
    cuda_gradients_settle(b);
    cuda_note(b, cuda_sum_squares(n, x, b->workspace, b->stream), "sum of squares");
    if (cuda_read(b, &b->workspace->squares, &squares, sizeof squares, "reading a norm", &err) != STATUS_OK) {
        if (b->failure.status == STATUS_OK)
            b->failure = err;
        return NAN;
    }
    return squares;
}

// The copy has taken the numbers from the host's stack when it returns: they come from pageable memory.
static void put_update(struct cuda_backend *b, const struct cuda_update *update) {
    cuda_note(b, cudaMemcpyAsync(&b->workspace->update, update, sizeof *update, cudaMemcpyHostToDevice, b->stream),
              "the optimizer's numbers");
}

void cuda_backend_sgd_step(backend *base, size_t n, const struct sgd_config *config, const float *grad,
                           const struct optimizer_state *from, const struct optimizer_state *to) {
    (void)from; // the same
    struct cuda_backend *b = cuda_backend_of(base);
    struct cuda_update update = {.lr = config->lr,
                                 .momentum = config->momentum,
                                 .weight_decay = config->weight_decay,
                                 .clip = config->clip,
                                 .first = config->first};
    cuda_gradients_settle(b);
    put_update(b, &update);
    cuda_note(b,
              cuda_sgd_step(n, grad, to->moment1, to->param, cuda_params_bf16(b, to->param), b->workspace, b->stream),
              "SGD step");
}

void cuda_backend_adamw_step(backend *base, size_t n, const struct adamw_config *config, const float *grad,
                             const struct optimizer_state *from, const struct optimizer_state *to) {
    (void)from; // the same
    struct cuda_backend *b = cuda_backend_of(base);
    double beta1 = (double)config->beta1, beta2 = (double)config->beta2, lr = (double)config->lr;
    struct cuda_update update = {
        .beta1 = config->beta1,
        .take1 = (float)(1 - beta1),
        .beta2 = config->beta2,
        .take2 = (float)(1 - beta2),
        .shrink = (float)(1 - lr * (double)config->weight_decay),
        .size = (float)(lr / (1 - pow(beta1, (double)config->step))),
        .root = (float)(1 / sqrt(1 - pow(beta2, (double)config->step))),
        .epsilon = config->epsilon,
        .clip = config->clip,
    };
    cuda_gradients_settle(b);
    put_update(b, &update);
    cuda_note(b,
              cuda_adamw_step(n, grad, to->moment1, to->moment2, to->param, cuda_params_bf16(b, to->param),
                              b->workspace, b->stream),
              "AdamW step");
}
