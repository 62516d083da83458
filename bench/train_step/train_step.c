// Training steps of the full model (batch 4, T 7, 9 bands, 64x64, AdamW, clipping) on random images, timed.
//
//     bench_train_step [--hidden 256] [--threads 2] [--precision fp32] [--steps 10]    prints where the time goes
//     bench_train_step --serve ...       answers every line on standard input with the seconds of one step, for pair.py
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/train_step/peak_rate.h"
#include "bench/train_step/step_report.h"
#include "model/base/clock.h"
#include "model/base/rng.h"
#include "model/network.h"

enum { BATCH = 4, STEPS = 7, BANDS = 9, SIZE = 64, DEAREST = 10, WARM_UP = 2, MOST_STEPS = 1000 };

struct options {
    int hidden, threads, steps;
    enum precision precision;
    bool serve;
};

struct bench {
    struct options options;
    backend *b;
    network *net;
    float *image;
    uint8_t *mask;
};

static const struct optimizer_config adamw = {.kind = OPTIMIZER_ADAMW,
                                              .beta1 = 0.9f,
                                              .beta2 = 0.999f,
                                              .epsilon = 1e-8f,
                                              .weight_decay = 5e-4f,
                                              .clip_norm = 1,
                                              .focal = {0.25f, 2}};

static int positive(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > 1 << 20) {
        fprintf(stderr, "bench_train_step: not a number of 1 or more: %s\n", text);
        exit(2);
    }
    return (int)value;
}

static enum precision precision_of(const char *name) {
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum precision)i;
    fprintf(stderr, "bench_train_step: --precision is fp32, tf32 or bf16, not %s\n", name);
    exit(2);
}

static struct options parse(int argc, char **argv) {
    static const struct option known[] = {
        {"hidden", required_argument, NULL, 'h'},    {"threads", required_argument, NULL, 't'},
        {"precision", required_argument, NULL, 'p'}, {"steps", required_argument, NULL, 's'},
        {"serve", no_argument, NULL, 'S'},           {0}};
    struct options o = {.hidden = 256, .threads = 2, .steps = 10};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 'h':
            o.hidden = positive(optarg);
            break;
        case 't':
            o.threads = positive(optarg);
            break;
        case 'p':
            o.precision = precision_of(optarg);
            break;
        case 's':
            o.steps = positive(optarg);
            break;
        case 'S':
            o.serve = true;
            break;
        default:
            exit(2);
        }
    if (o.steps > MOST_STEPS)
        o.steps = MOST_STEPS;
    return o;
}

static enum status set_up(struct bench *s, struct error *err) {
    struct lstm_unet_config model = {.batch = BATCH,
                                     .steps = STEPS,
                                     .bands = BANDS,
                                     .image_size = SIZE,
                                     .encoder_width = 64,
                                     .lstm_hidden = s->options.hidden,
                                     .lstm_layers = 2,
                                     .decoder_channels = {256, 128, 64, 32, 16}};
    size_t pixels = (size_t)BATCH * SIZE * SIZE, floats = pixels * STEPS * BANDS;
    TRY(backend_create(
        "cpu", &(struct backend_config){.threads = s->options.threads, .precision = s->options.precision}, &s->b, err));
    TRY(network_create(s->b, &model, &s->net, err));
    TRY(network_initialize(s->net, 42, err));
    s->image = malloc(floats * sizeof *s->image);
    s->mask = malloc(pixels);
    if (!s->image || !s->mask)
        return error_memory(err, "a batch");
    struct rng rng = rng_stream(42, 0, RNG_TEST, 0, 0);
    for (size_t i = 0; i < floats; i++)
        s->image[i] = (float)rng_normal(&rng);
    for (size_t i = 0; i < pixels; i++)
        s->mask[i] = i % SIZE < SIZE / 8;
    return STATUS_OK;
}

static void tear_down(struct bench *s) {
    network_destroy(s->net);
    backend_destroy(s->b);
    free(s->image);
    free(s->mask);
}

static enum status step(struct bench *s, double *seconds, struct error *err) {
    struct step_result result;
    double began = clock_seconds();
    TRY(network_train_step(s->net, BATCH, s->image, s->mask, &adamw, 1e-4, &result, err));
    *seconds = clock_seconds() - began;
    return STATUS_OK;
}

// Of this process so far, in MiB: the most that was resident.
static double peak_memory(void) {
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return kib / 1024;
}

static enum status warm_up(struct bench *s, struct error *err) {
    double seconds;
    for (int i = 0; i < WARM_UP; i++)
        TRY(step(s, &seconds, err));
    return STATUS_OK;
}

static enum status serve(struct bench *s, struct error *err) {
    char line[64], describe[128];
    TRY(warm_up(s, err));
    s->b->ops->describe(s->b, describe, sizeof describe);
    printf("ready gridfold, %s\n", describe);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds;
        TRY(step(s, &seconds, err));
        printf("%.6f %.0f\n", seconds, peak_memory());
        fflush(stdout);
    }
    return STATUS_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_summary(const struct bench *s, const double *sorted, double fp32_peak) {
    const struct options *o = &s->options;
    double median = sorted[o->steps / 2], gflop = graph_flops(network_graph(s->net), true) * 1e-9;
    bool bf16 = o->precision == PRECISION_BF16;
    double peak = bf16 ? peak_rate(o->threads, true) : fp32_peak;
    char describe[128];
    s->b->ops->describe(s->b, describe, sizeof describe);
    printf("%s, hidden %d, %d steps\n\n", describe, o->hidden, o->steps);
    printf("%.1f ms a step (median; %.1f to %.1f), %.1f GFLOP, %.0f GFLOP/s", 1e3 * median, 1e3 * sorted[0],
           1e3 * sorted[o->steps - 1], gflop, gflop / median);
    if (peak > 0)
        printf(", %.0f %% of the %.0f of multiply-adds%s", 100 * gflop / median / peak, peak, bf16 ? " in bf16" : "");
    printf("; peak memory %.0f MiB\n\n", peak_memory());
}

static enum status measure(struct bench *s, struct network_profile *profile, struct error *err) {
    const struct options *o = &s->options;
    double seconds[MOST_STEPS];
    TRY(warm_up(s, err));
    double before = peak_rate(o->threads, false);
    network_set_profile(s->net, profile);
    for (int i = 0; i < o->steps; i++)
        TRY(step(s, &seconds[i], err));
    network_set_profile(s->net, NULL);
    qsort(seconds, (size_t)o->steps, sizeof *seconds, ascending);
    print_summary(s, seconds, fmax(before, peak_rate(o->threads, false)));
    report_parts(network_graph(s->net), profile, o->steps);
    printf("\n");
    report_kinds(network_graph(s->net), profile, o->steps);
    printf("\n");
    report_layers(network_graph(s->net), profile, o->steps, DEAREST);
    return STATUS_OK;
}

static enum status profile_steps(struct bench *s, struct error *err) {
    size_t nodes = (size_t)network_graph(s->net)->node_count;
    struct network_profile profile = {.forward = calloc(nodes, sizeof(double)),
                                      .backward = calloc(nodes, sizeof(double))};
    enum status status =
        profile.forward && profile.backward ? measure(s, &profile, err) : error_memory(err, "the profile");
    free(profile.forward);
    free(profile.backward);
    return status;
}

int main(int argc, char **argv) {
    struct bench s = {.options = parse(argc, argv)};
    struct error err;
    enum status status = set_up(&s, &err);
    if (status == STATUS_OK)
        status = s.options.serve ? serve(&s, &err) : profile_steps(&s, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bench_train_step: %s\n", err.message);
    tear_down(&s);
    return status != STATUS_OK;
}
