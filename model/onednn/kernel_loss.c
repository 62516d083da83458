// Focal loss (Lin et al. 2017) and pixel counts on logits (B,1,H,W). With q the probability given to the true class:
// L = -alpha_t (1 - q)^gamma log q, dL/dx = +-alpha_t (1 - q)^gamma (gamma q log q - (1 - q)), plus for a positive
// pixel.
#include "model/onednn/kernel_common.h"

enum { PIECES = 64, IGNORED = 255 }; // of the pixels; partial sums are added in this order whatever the threads

static double focal_pixel(const struct focal_loss_config *config, double x, bool positive, double *gradient) {
    double towards = positive ? x : -x, alpha = positive ? (double)config->alpha : 1 - (double)config->alpha;
    double e = exp(-fabs(towards)), log_q = (towards < 0 ? towards : 0) - log1p(e);
    double q = towards < 0 ? e / (1 + e) : 1 / (1 + e), miss = towards < 0 ? 1 / (1 + e) : e / (1 + e);
    double gamma = (double)config->gamma, weight = alpha * (gamma == 2 ? miss * miss : pow(miss, gamma));
    double slope = weight * (gamma * q * log_q - miss);
    *gradient = positive ? slope : -slope;
    return -weight * log_q;
}

static void count_pixel(struct loss_sums *sums, float logit, bool positive) {
    bool predicted = logit > 0;
    sums->tp += predicted && positive;
    sums->fp += predicted && !positive;
    sums->fn += !predicted && positive;
    sums->tn += !predicted && !positive;
}

// Sums of a range of pixels; the gradient is divided by `counted`.
static void focal_piece(size_t first, size_t last, const element *logits, const uint8_t *mask,
                        const struct focal_loss_config *config, double counted, element *dlogits,
                        struct loss_sums *sums) {
    *sums = (struct loss_sums){0};
    for (size_t j = first; j < last; j++) {
        double gradient = 0;
        if (mask[j] != IGNORED) {
            float logit = to_float(logits[j * BLOCK]);
            sums->loss += focal_pixel(config, (double)logit, mask[j] == 1, &gradient);
            count_pixel(sums, logit, mask[j] == 1);
        }
        if (dlogits) {
            memset(dlogits + j * BLOCK, 0, BLOCK * sizeof *dlogits);
            dlogits[j * BLOCK] = to_element(mask[j] != IGNORED ? (float)(gradient / counted) : 0);
        }
    }
}

void KERNEL(focal_loss)(struct shape shape, const float *logits, const uint8_t *mask,
                        const struct focal_loss_config *config, int64_t counted, float *dlogits, struct loss_sums *sums,
                        int threads) {
    size_t pixels = (size_t)shape.n * (size_t)shape.h * (size_t)shape.w;
    struct loss_sums pieces[PIECES];
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < PIECES; i++)
        focal_piece(pixels * (size_t)i / PIECES, pixels * (size_t)(i + 1) / PIECES, elements_of(logits), mask, config,
                    (double)counted, elements_to(dlogits), &pieces[i]);
    *sums = (struct loss_sums){0};
    for (int i = 0; i < PIECES; i++) {
        sums->loss += pieces[i].loss;
        sums->tp += pieces[i].tp;
        sums->fp += pieces[i].fp;
        sums->fn += pieces[i].fn;
        sums->tn += pieces[i].tn;
    }
}
