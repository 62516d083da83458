// Arithmetic over flat arenas: the gradient norm and the optimizers' update rules.
#include <math.h>

#include "model/reference/kernels.h"

double kernel_sum_squares(size_t n, const real *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

void kernel_sgd_step(size_t n, const struct sgd_config *config, const float *grad, const struct optimizer_state *from,
                     const struct optimizer_state *to) {
    for (size_t i = 0; i < n; i++) {
        float g = config->clip * grad[i] + config->weight_decay * from->param[i];
        float v = config->first ? g : config->momentum * from->moment1[i] + g;
        to->moment1[i] = v;
        to->param[i] = from->param[i] - config->lr * v;
    }
}

void kernel_adamw_step(size_t n, const struct adamw_config *config, const float *grad,
                       const struct optimizer_state *from, const struct optimizer_state *to) {
    double lr = (double)config->lr, beta1 = (double)config->beta1, beta2 = (double)config->beta2;
    double correction1 = 1 - pow(beta1, (double)config->step), correction2 = 1 - pow(beta2, (double)config->step);
    double keep = 1 - lr * (double)config->weight_decay;
    for (size_t i = 0; i < n; i++) {
        double g = (double)(config->clip * grad[i]), m = beta1 * from->moment1[i] + (1 - beta1) * g;
        double v = beta2 * from->moment2[i] + (1 - beta2) * g * g;
        double update = lr / correction1 * m / (sqrt(v) / sqrt(correction2) + (double)config->epsilon);
        to->moment1[i] = (float)m;
        to->moment2[i] = (float)v;
        to->param[i] = (float)(keep * from->param[i] - update);
    }
}
