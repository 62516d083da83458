// Focal loss (Lin et al. 2017) and the confusion counts, pixel by pixel.
#include <math.h>

#include "model/reference/kernels.h"

enum { MASK_IGNORE = 255 };

// With z = x for a positive and -x for a negative pixel and q = s(-z) the probability of being wrong: loss = a q^gamma
// softplus(-z), dloss/dz = -a q^gamma (gamma (1 - q) softplus(-z) + q).
static double pixel_loss(double x, bool positive, const struct focal_loss_config *config, double *gradient) {
    double z = positive ? x : -x, alpha = (double)config->alpha, gamma = (double)config->gamma;
    double entropy = (z < 0 ? -z : 0) + log1p(exp(-fabs(z))), q = 1 / (1 + exp(z));
    double weight = (positive ? alpha : 1 - alpha) * pow(q, gamma);
    double slope = -weight * (gamma * (1 - q) * entropy + q);
    *gradient = positive ? slope : -slope;
    return weight * entropy;
}

static void count(struct loss_sums *sums, bool predicted, bool positive) {
    if (predicted)
        *(positive ? &sums->tp : &sums->fp) += 1;
    else
        *(positive ? &sums->fn : &sums->tn) += 1;
}

int64_t kernel_counted_pixels(struct shape shape, const uint8_t *mask) {
    int64_t counted = 0;
    for (ptrdiff_t j = 0; j < element_count(shape); j++)
        counted += mask[j] != MASK_IGNORE;
    return counted;
}

void kernel_focal_sums(struct shape shape, const real *logits, const uint8_t *mask,
                       const struct focal_loss_config *config, int64_t counted, real *dlogits, struct loss_sums *sums) {
    ptrdiff_t pixels = element_count(shape);
    *sums = (struct loss_sums){0};
    double total = 0;
    for (ptrdiff_t j = 0; j < pixels; j++) {
        double gradient = 0;
        if (mask[j] != MASK_IGNORE) {
            total += pixel_loss(logits[j], mask[j] != 0, config, &gradient);
            count(sums, logits[j] > 0, mask[j] != 0);
            gradient /= (double)counted;
        }
        if (dlogits)
            dlogits[j] = (real)gradient;
    }
    sums->loss = total;
}

void kernel_focal_loss(struct shape shape, const real *logits, const uint8_t *mask,
                       const struct focal_loss_config *config, real *dlogits, struct loss_sums *sums) {
    int64_t counted = kernel_counted_pixels(shape, mask);
    kernel_focal_sums(shape, logits, mask, config, counted, dlogits, sums);
    sums->loss = counted ? sums->loss / (double)counted : 0;
}
