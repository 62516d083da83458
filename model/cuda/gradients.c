// Gradients of weights in bf16. cuDNN has no engine from bf16 operands to a float gradient: it writes bf16, behind the
// floats that the network knows (params.c). They become float all together, in one kernel, when somebody is about to
// read them: with a kernel for each a full-size step would have 77 more.
#include "model/cuda/backend_parts.h"

static bool is_unsettled(const struct cuda_backend *b, const float *grad) {
    for (int i = 0; i < b->unsettled.count; i++)
        if (b->unsettled.cast[i].to == grad)
            return true;
    return false;
}

void cuda_gradient_written(struct cuda_backend *b, float *grad, size_t elements) {
    if (is_unsettled(b, grad)) // two blocks of one kernel would write there
        return;
    cuda_casts_add(&b->unsettled, elements, cuda_params_bf16(b, grad), grad);
    if (b->unsettled.count == CUDA_MOST_CASTS)
        cuda_gradients_settle(b);
}

void cuda_gradients_settle(struct cuda_backend *b) {
    if (b->unsettled.count > 0)
        cuda_note(b, cuda_casts_to_float(&b->unsettled, b->stream), "weight gradients to float");
    cuda_gradients_forget(b);
}

void cuda_gradients_forget(struct cuda_backend *b) {
    b->unsettled.count = 0;
    b->unsettled.blocks = 0;
}
