// The CPU backend: oneDNN's convolutions, our own kernels for the rest. See onednn.h.
#include "model/onednn/onednn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "model/base/bf16.h"

enum { ALIGNMENT = 64, HUGE_PAGE = 1 << 21, MASK_IGNORED = 255 };

struct op {
    struct op_desc desc;
    const struct kernel_class *kernels;
    conv_op *conv; // convolutions; NULL otherwise
};

static struct onednn *self(backend *b) {
    return (struct onednn *)b;
}

static const struct onednn *self_const(const backend *b) {
    return (const struct onednn *)b;
}

// oneDNN runs on as many threads as OpenMP says, which is the calling thread's setting.
static void use_threads(const struct onednn *o) {
    omp_set_num_threads(o->threads);
}

static bool isa_has(unsigned isa, unsigned wanted) {
    return (isa & wanted) == wanted;
}

static bool has_bf16(void) {
#ifdef GRIDFOLD_KERNELS_X86
    return isa_has((unsigned)dnnl_get_effective_cpu_isa(), dnnl_cpu_isa_avx512_core_bf16);
#else
    return false;
#endif
}

static const struct kernel_table *choose_kernels(enum precision precision) {
#ifdef GRIDFOLD_KERNELS_X86
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if (precision == PRECISION_BF16)
        return &kernel_table_avx512_bf16;
    if (isa_has(isa, dnnl_cpu_isa_avx512_core))
        return &kernel_table_avx512;
    if (isa_has(isa, dnnl_cpu_isa_avx2))
        return &kernel_table_avx2;
#endif
    (void)precision;
    return &kernel_table_scalar;
}

// Tile registers are 8 KiB that the kernel saves for a process only once it has asked for them
// (Documentation/arch/x86/xstate.rst).
static bool has_tiles(void) {
#ifdef GRIDFOLD_KERNELS_X86
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return isa_has((unsigned)dnnl_get_effective_cpu_isa(), dnnl_cpu_isa_avx512_core_amx) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static const struct conv_kernels *choose_tiles(enum precision precision) {
#ifdef GRIDFOLD_KERNELS_X86
    if (precision == PRECISION_BF16 && has_tiles())
        return &kernel_conv_tiles_amx;
#endif
    (void)precision;
    return NULL;
}

static const char *isa_name(const struct onednn *o) {
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if (o && o->tiles)
        return "avx512_core_amx";
    if (isa_has(isa, dnnl_cpu_isa_avx512_core))
        return "avx512_core";
    if (isa_has(isa, dnnl_cpu_isa_avx2))
        return "avx2";
    return "baseline";
}

static void onednn_destroy(backend *b) {
    struct onednn *o = self(b);
    if (o->attr)
        dnnl_primitive_attr_destroy(o->attr);
    if (o->stream)
        dnnl_stream_destroy(o->stream);
    if (o->engine)
        dnnl_engine_destroy(o->engine);
    free(o);
}

static void onednn_describe(const backend *b, char *text, size_t size) {
    const dnnl_version_t *version = dnnl_version();
    int threads = self_const(b)->threads;
    const char *precision = self_const(b)->precision == PRECISION_BF16 ? ", bf16" : "";
    snprintf(text, size, "oneDNN %d.%d.%d, %s%s, %d thread%s", version->major, version->minor, version->patch,
             isa_name(self_const(b)), precision, threads, threads == 1 ? "" : "s");
}

// Arenas lie in huge pages where the system has them: they are there in a tenth of the time. Each thread makes its own
// part, where it will work.
static size_t page_of(size_t bytes) {
    return bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
}

static size_t rounded_up(size_t bytes) {
    return (bytes / page_of(bytes) + 1) * page_of(bytes);
}

static enum status onednn_reserve(backend *b, size_t bytes, void **memory, struct error *err) {
    (void)b;
    size_t alignment = page_of(bytes), rounded = rounded_up(bytes);
    *memory = rounded > bytes ? aligned_alloc(alignment, rounded) : NULL;
    if (!*memory)
        return error_set(err, STATUS_MEMORY, "out of memory: the oneDNN backend asked for %zu bytes", bytes);
    if (alignment == HUGE_PAGE)
        madvise(*memory, rounded, MADV_HUGEPAGE);
    return STATUS_OK;
}

static enum status onednn_alloc(backend *b, size_t bytes, void **memory, struct error *err) {
    TRY(onednn_reserve(b, bytes, memory, err));
    bool huge = page_of(bytes) == HUGE_PAGE;
    char *first = *memory;
    size_t rounded = rounded_up(bytes), piece = huge ? HUGE_PAGE : rounded;
#pragma omp parallel for num_threads(self(b)->threads) schedule(static) if (huge)
    for (size_t i = 0; i < rounded; i += piece)
        memset(first + i, 0, piece);
    return STATUS_OK;
}

static void onednn_release(backend *b, void *memory) {
    (void)b;
    free(memory);
}

static void onednn_fill(backend *b, void *memory, int byte, size_t bytes) {
    (void)b;
    memset(memory, byte, bytes);
}

static void onednn_copy(backend *b, void *to, const void *from, size_t bytes) {
    self(b)->changes++;
    memcpy(to, from, bytes);
}

static int blocks_of(const struct onednn *o, int channels) {
    return (channels + o->kernels->block - 1) / o->kernels->block;
}

static size_t value_elements(const struct onednn *o, struct shape s) {
    return (size_t)s.n * (size_t)blocks_of(o, s.c) * (size_t)o->kernels->block * (size_t)s.h * (size_t)s.w;
}

size_t onednn_value_floats(const struct onednn *o, struct shape s) {
    size_t elements = value_elements(o, s); // bf16: blocks of 16, so never an odd number
    return o->precision == PRECISION_BF16 ? elements / 2 : elements;
}

int onednn_padded(const struct onednn *o, int64_t channels) {
    return (int)((channels + o->kernels->block - 1) / o->kernels->block) * o->kernels->block;
}

dnnl_status_t onednn_value_md(const struct onednn *o, struct shape s, compat_md *md) {
    int block = o->kernels->block;
    dnnl_format_tag_t tag = block == 16 ? dnnl_nChw16c : block == 8 ? dnnl_nChw8c : dnnl_nchw;
    return compat_md_create(md, 4, (const dnnl_dim_t[]){s.n, onednn_padded(o, s.c), s.h, s.w}, o->value_type, tag);
}

static size_t onednn_activation_floats(const backend *b, struct shape shape) {
    return onednn_value_floats(self_const(b), shape);
}

// Offset of the first pixel of channel c of frame n, and of the next pixel from the one before.
struct channel_at {
    size_t first, step;
};

static struct channel_at channel_at(const struct onednn *o, struct shape s, int n, int c) {
    size_t block = (size_t)o->kernels->block, pixels = (size_t)s.h * (size_t)s.w, k = (size_t)c;
    size_t plane = (size_t)n * (size_t)blocks_of(o, s.c) + k / block;
    return (struct channel_at){plane * pixels * block + k % block, block};
}

static void onednn_activation_import(backend *b, struct shape s, const float *host, float *value) {
    const struct onednn *o = self(b);
    bool bf16 = o->precision == PRECISION_BF16;
    size_t pixels = (size_t)s.h * (size_t)s.w;
    if (s.c % o->kernels->block)
        memset(value, 0, onednn_value_floats(o, s) * sizeof *value);
#pragma omp parallel for num_threads(o->threads) schedule(static) collapse(2)
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++) {
            struct channel_at to = channel_at(o, s, n, c);
            const float *from = host + ((size_t)n * (size_t)s.c + (size_t)c) * pixels;
            uint16_t *half = (void *)value;
            for (size_t j = 0; j < pixels && bf16; j++)
                half[to.first + j * to.step] = bf16_from_float(from[j]);
            for (size_t j = 0; j < pixels && !bf16; j++)
                value[to.first + j * to.step] = from[j];
        }
}

static void onednn_activation_export(backend *b, struct shape s, const float *value, float *host) {
    const struct onednn *o = self(b);
    bool bf16 = o->precision == PRECISION_BF16;
    size_t pixels = (size_t)s.h * (size_t)s.w;
#pragma omp parallel for num_threads(o->threads) schedule(static) collapse(2)
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++) {
            struct channel_at from = channel_at(o, s, n, c);
            float *to = host + ((size_t)n * (size_t)s.c + (size_t)c) * pixels;
            const uint16_t *half = (const void *)value;
            for (size_t j = 0; j < pixels; j++)
                to[j] = bf16 ? bf16_to_float(half[from.first + j * from.step]) : value[from.first + j * from.step];
        }
}

static bool is_convolution(const struct op_desc *desc) {
    return desc->kind == OP_CONV2D || desc->kind == OP_CONV_TRANSPOSE2D;
}

static enum status onednn_op_create(backend *b, const struct op_desc *desc, const param_layout *weight, op **out,
                                    struct error *err) {
    struct onednn *o = self(b);
    use_threads(o);
    op *created = calloc(1, sizeof *created);
    if (!created)
        return error_memory(err, "an operation");
    *created = (op){.desc = *desc, .kernels = &o->kernels->ops[desc->kind]};
    enum status status = STATUS_OK;
    if (is_convolution(desc))
        status = conv_op_create(o, desc, weight, &created->conv, err);
    else if (!created->kernels->forward)
        status = error_set(err, STATUS_UNSUPPORTED, "the oneDNN backend has no operation %d", (int)desc->kind);
    if (status != STATUS_OK)
        free(created);
    else
        *out = created;
    return status;
}

static void onednn_op_destroy(backend *b, op *o) {
    (void)b;
    if (!o)
        return;
    conv_op_destroy(o->conv);
    free(o);
}

static size_t onednn_op_saved_bytes(const op *o) {
    return o->kernels->saved_bytes ? o->kernels->saved_bytes(&o->desc) : 0;
}

static size_t kernel_scratch_bytes(const op *o) {
    size_t bytes = o->kernels->scratch_bytes ? o->kernels->scratch_bytes(&o->desc) : 0;
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// Behind the kernel's own scratch, for batch norm together: the sums of this member, and those of all, [1 +
// members][C].
static size_t onednn_op_scratch_bytes(const op *o) {
    if (o->conv)
        return conv_op_scratch_bytes(o->conv);
    size_t sums = o->desc.members > 1 ? (size_t)(o->desc.members + 1) * (size_t)o->desc.in.c : 0;
    return kernel_scratch_bytes(o) + sums * sizeof(struct channel_sums);
}

static struct channel_sums *sums_in_scratch(const op *o, const struct op_args *args) {
    return (struct channel_sums *)(void *)((char *)args->scratch + kernel_scratch_bytes(o));
}

static enum status forward_together(const struct onednn *n, const op *o, const struct op_args *args,
                                    struct error *err) {
    int channels = o->desc.in.c;
    struct channel_sums *sums = sums_in_scratch(o, args);
    memset(sums, 0, (size_t)channels * sizeof *sums);
    if (!args->absent)
        n->kernels->batchnorm_moments(&o->desc, args, sums, n->threads);
    TRY(collectives_merge_moments(args->together, channels, sums, sums + channels, err));
    n->kernels->batchnorm_finish(&o->desc, args, sums, n->threads);
    return STATUS_OK;
}

static enum status backward_together(const struct onednn *n, const op *o, const struct op_args *args,
                                     struct error *err) {
    int channels = o->desc.in.c;
    struct channel_sums *sums = sums_in_scratch(o, args);
    memset(sums, 0, (size_t)channels * sizeof *sums);
    if (!args->absent)
        n->kernels->batchnorm_gradient_sums(&o->desc, args, sums, n->threads);
    TRY(collectives_add_sums(args->together, channels, sums, sums + channels, err));
    if (!args->absent)
        n->kernels->batchnorm_gradient(&o->desc, args, sums, n->threads);
    return STATUS_OK;
}

static enum status onednn_op_forward(backend *b, op *o, const struct op_args *args, struct error *err) {
    const struct onednn *n = self(b);
    use_threads(n);
    if (o->conv)
        return conv_op_forward(n, o->conv, args, err);
    if (args->together)
        return forward_together(n, o, args, err);
    o->kernels->forward(&o->desc, args, n->threads);
    return STATUS_OK;
}

static enum status onednn_op_backward(backend *b, op *o, const struct op_args *args, struct error *err) {
    const struct onednn *n = self(b);
    use_threads(n);
    if (o->conv)
        return conv_op_backward(n, o->conv, args, err);
    if (args->together)
        return backward_together(n, o, args, err);
    o->kernels->backward(&o->desc, args, n->threads);
    return STATUS_OK;
}

static enum status onednn_focal_loss(backend *b, struct shape shape, const float *logits, const uint8_t *mask,
                                     const struct focal_loss_config *config, const struct collectives *together,
                                     float *dlogits, struct loss_sums *sums, struct error *err) {
    size_t pixels = (size_t)shape.n * (size_t)shape.h * (size_t)shape.w;
    int64_t counted = 0;
    if (shape.c != 1)
        return error_set(err, STATUS_INVALID, "focal loss takes logits of one channel, not %d", shape.c);
    for (size_t j = 0; j < pixels; j++)
        counted += mask[j] != MASK_IGNORED;
    if (together)
        TRY(collectives_count(together, &counted, err));
    self(b)->kernels->focal_loss(shape, logits, mask, config, counted, dlogits, sums, self(b)->threads);
    if (together)
        TRY(collectives_loss(together, sums, err));
    sums->loss = counted ? sums->loss / (double)counted : 0;
    return STATUS_OK;
}

static double onednn_sum_squares(backend *b, size_t n, const float *x) {
    struct onednn *o = self(b);
    return o->kernels->sum_squares(n, x, o->partial, o->threads);
}

static void onednn_sgd_step(backend *b, size_t n, const struct sgd_config *config, const float *grad,
                            const struct optimizer_state *from, const struct optimizer_state *to) {
    self(b)->changes++;
    self(b)->kernels->sgd_step(n, config, grad, from, to, self(b)->threads);
}

static void onednn_adamw_step(backend *b, size_t n, const struct adamw_config *config, const float *grad,
                              const struct optimizer_state *from, const struct optimizer_state *to) {
    self(b)->changes++;
    self(b)->kernels->adamw_step(n, config, grad, from, to, self(b)->threads);
}

static const struct backend_ops onednn_ops = {
    .name = "onednn",
    .host_memory = true,
    .destroy = onednn_destroy,
    .describe = onednn_describe,
    .alloc = onednn_alloc,
    .reserve = onednn_reserve,
    .release = onednn_release,
    .fill = onednn_fill,
    .copy = onednn_copy,
    .activation_floats = onednn_activation_floats,
    .activation_import = onednn_activation_import,
    .activation_export = onednn_activation_export,
    .param_layout_create = onednn_param_layout_create,
    .param_layout_destroy = onednn_param_layout_destroy,
    .param_floats = onednn_param_floats,
    .param_import = onednn_param_import,
    .param_row_group = onednn_param_row_group,
    .param_export = onednn_param_export,
    .op_create = onednn_op_create,
    .op_destroy = onednn_op_destroy,
    .op_saved_bytes = onednn_op_saved_bytes,
    .op_scratch_bytes = onednn_op_scratch_bytes,
    .op_forward = onednn_op_forward,
    .op_backward = onednn_op_backward,
    .focal_loss = onednn_focal_loss,
    .sum_squares = onednn_sum_squares,
    .sgd_step = onednn_sgd_step,
    .adamw_step = onednn_adamw_step,
};

enum status backend_onednn_create(const struct backend_config *config, backend **b, struct error *err) {
    if (config->threads < 1)
        return error_set(err, STATUS_INVALID, "oneDNN backend: threads is %d, must be at least 1", config->threads);
    if (config->precision == PRECISION_TF32)
        return error_set(err, STATUS_UNSUPPORTED,
                         "precision = tf32: a CPU computes in fp32 or bf16; tf32 is for a CUDA device");
    if (config->precision == PRECISION_BF16 && !has_bf16())
        return error_set(err, STATUS_UNSUPPORTED,
                         "precision = bf16: this CPU (%s) has no AVX512_BF16; take fp32, or a CPU or GPU that has bf16",
                         isa_name(NULL));
    struct onednn *o = calloc(1, sizeof *o);
    if (!o)
        return error_memory(err, "the oneDNN backend");
    *o = (struct onednn){.base.ops = &onednn_ops,
                         .threads = config->threads,
                         .precision = config->precision,
                         .value_type = config->precision == PRECISION_BF16 ? dnnl_bf16 : dnnl_f32,
                         .kernels = choose_kernels(config->precision),
                         .tiles = choose_tiles(config->precision)};
    use_threads(o);
    dnnl_status_t status = dnnl_engine_create(&o->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&o->attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(o->attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success) {
        onednn_destroy(&o->base);
        return onednn_status(status, "engine", err);
    }
    *b = &o->base;
    return STATUS_OK;
}
