// Graphs, the engines that are offered for them, plans, and running them.
#include <stdlib.h>
#include <string.h>

#include "cudnn_internal.h"
#include "cudnn_standin.h"
#include "standin.h"

static int plans;
static bool no_sums, no_bias, none, fail_next_run;

int standin_cudnn_plans(void) {
    return plans;
}
void standin_cudnn_refuse_sums(bool refuse) {
    no_sums = refuse;
}
void standin_cudnn_refuse_bias(bool refuse) {
    no_bias = refuse;
}
void standin_cudnn_refuse_all(bool refuse) {
    none = refuse;
}
void standin_cudnn_fail_next_run(void) {
    fail_next_run = true;
}

// ---- Graphs ----

struct names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
};

static const struct names names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static cudnnDataType_t data_type(const struct descriptor *tensor) {
    return *(const cudnnDataType_t *)attribute_values(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE);
}

static int64_t uid(const struct descriptor *tensor) {
    return *(const int64_t *)attribute_values(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID);
}

static bool is_virtual(const struct descriptor *tensor) {
    return *(const bool *)attribute_values(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
}

// Dimensions of a tensor whose channels are innermost and that has no gaps.
static cudnnStatus_t dimensions(const struct descriptor *tensor, int64_t dims[4]) {
    memcpy(dims, attribute_values(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS), 4 * sizeof *dims);
    const int64_t *strides = attribute_values(tensor, CUDNN_ATTR_TENSOR_STRIDES);
    if (strides[1] != 1 || strides[3] != dims[1] || strides[2] != dims[1] * dims[3] ||
        strides[0] != dims[1] * dims[2] * dims[3])
        FAIL(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, "tensor %lld is not NHWC", (long long)uid(tensor));
    return CUDNN_STATUS_SUCCESS;
}

static int64_t outputs(int64_t size, int64_t kernel, int64_t pad, int64_t stride) {
    return (size + 2 * pad - kernel) / stride + 1;
}

static cudnnStatus_t check_shapes(const struct convolution_graph *g) {
    if (g->w[1] != g->x[1] || g->w[0] != g->y[1] || g->x[0] != g->y[0] ||
        g->y[2] != outputs(g->x[2], g->w[2], g->pad, g->stride) ||
        g->y[3] != outputs(g->x[3], g->w[3], g->pad, g->stride))
        FAIL(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the convolution's shapes do not fit together");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_geometry(const struct descriptor *d, struct convolution_graph *g) {
    const int64_t *pre = attribute_values(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    const int64_t *post = attribute_values(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    const int64_t *stride = attribute_values(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    const int64_t *dilation = attribute_values(d, CUDNN_ATTR_CONVOLUTION_DILATIONS);
    if (pre[0] != pre[1] || pre[0] != post[0] || pre[1] != post[1] || stride[0] != stride[1] || dilation[0] != 1 ||
        dilation[1] != 1 ||
        *(const cudnnConvolutionMode_t *)attribute_values(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) !=
            CUDNN_CROSS_CORRELATION ||
        *(const cudnnDataType_t *)attribute_values(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT)
        FAIL(CUDNN_STATUS_NOT_SUPPORTED, "a convolution that the stand-in does not know");
    g->pad = pre[0];
    g->stride = stride[0];
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_convolution(const struct descriptor *operation, struct descriptor *tensors[3],
                                      struct convolution_graph *g) {
    g->pass = -1;
    for (int i = 0; i < 3; i++)
        if (names[i].type == operation->type)
            g->pass = i;
    if (g->pass < 0)
        FAIL(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "the first operation is no convolution");
    const struct names *n = &names[g->pass];
    const cudnnBackendAttributeName_t operands[] = {n->x, n->w, n->y};
    int64_t *const shapes[] = {g->x, g->w, g->y};
    cudnnStatus_t status = read_geometry(attribute_descriptor(operation, n->geometry), g);
    for (int i = 0; i < 3 && status == CUDNN_STATUS_SUCCESS; i++) {
        tensors[i] = attribute_descriptor(operation, operands[i]);
        status = dimensions(tensors[i], shapes[i]);
        g->uid[i] = uid(tensors[i]);
    }
    g->alpha = *(const float *)attribute_values(operation, n->alpha);
    g->beta = *(const float *)attribute_values(operation, n->beta);
    return status == CUDNN_STATUS_SUCCESS ? check_shapes(g) : status;
}

// An addition of a vector to what the convolution hands on.
static cudnnStatus_t read_bias(const struct descriptor *operation, const struct descriptor *sum, int result,
                               struct convolution_graph *g) {
    if (operation->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
        FAIL(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "the second operation is not pointwise");
    const struct descriptor *how = attribute_descriptor(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const struct descriptor *bias = attribute_descriptor(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    const struct descriptor *y = attribute_descriptor(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const int64_t *const shapes[] = {g->x, g->w, g->y};
    int64_t vector[4], out[4];
    cudnnStatus_t status = dimensions(bias, vector);
    if (status == CUDNN_STATUS_SUCCESS)
        status = dimensions(y, out);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (*(const cudnnPointwiseMode_t *)attribute_values(how, CUDNN_ATTR_POINTWISE_MODE) != CUDNN_POINTWISE_ADD ||
        attribute_descriptor(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC) != sum || !is_virtual(sum) ||
        data_type(sum) != CUDNN_DATA_FLOAT || data_type(bias) != CUDNN_DATA_FLOAT || vector[0] != 1 ||
        vector[1] != shapes[result][1] || vector[2] != 1 || vector[3] != 1 ||
        memcmp(out, shapes[result], sizeof out) != 0)
        FAIL(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "not a bias on the convolution's result");
    g->bias = true;
    g->uid[3] = uid(bias);
    g->uid[result] = uid(y);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t graph_finalize(struct descriptor *graph) {
    static const int results[] = {2, 0, 1};
    const struct attribute *a = attribute_find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    struct descriptor *const *operations = (struct descriptor *const *)(const void *)a->values;
    struct convolution_graph *g = &graph->graph;
    struct descriptor *tensors[3];
    cudnnStatus_t status = read_convolution(operations[0], tensors, g);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    int result = results[g->pass];
    cudnnDataType_t type = data_type(tensors[(result + 1) % 3]);
    g->bf16 = type == CUDNN_DATA_BFLOAT16;
    if (data_type(tensors[(result + 2) % 3]) != type || (a->count == 1 && data_type(tensors[result]) != type))
        FAIL(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "operands of different types");
    return a->count == 2 ? read_bias(operations[1], tensors[result], result, g) : CUDNN_STATUS_SUCCESS;
}

// ---- Engines ----

static const struct engine nondeterministic = {1, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, false, false, 64};
static const struct engine winograd = {2, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, false, false, 64};
static const struct engine coarse = {3, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, false, false, 0};
static const struct engine compiled = {4, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, true, false, 0};
static const struct engine refusing = {5, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, false, true, 0};
static const struct engine large = {6, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, false, false, (int64_t)1 << 34};
static const struct engine tensor_cores = {7, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, false, false, 4096};
static const struct engine converting = {8, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, false, false, 0};
static const struct engine plain = {0, -1, false, false, 0};

static bool refuses_here(void) {
    const char *told = getenv("STANDIN_CUDNN_REFUSE");
    int device = -1;
    return told && cudaGetDevice(&device) == cudaSuccess && device == (int)strtol(told, NULL, 10);
}

int engines_offered(const struct convolution_graph *g, cudnnBackendHeurMode_t mode, const struct engine **offered,
                    int room) {
    static const struct engine *const best[] = {&nondeterministic, &winograd, &coarse,      &compiled,
                                                &refusing,         &large,    &tensor_cores};
    static const struct engine *const fallback[] = {&nondeterministic, &compiled, &plain};
    static const struct engine *const fallback_float[] = {&nondeterministic, &converting, &compiled, &plain};
    if (none || refuses_here() || (no_sums && g->beta != 0) || (no_bias && g->bias))
        return 0;
    if (g->bias && (g->bf16 || g->pass == 1)) { // as cuDNN 9.19 for sm_90
        offered[0] = &compiled;
        return 1;
    }
    const struct engine *const *list = mode == CUDNN_HEUR_MODE_A ? best : g->bf16 ? fallback : fallback_float;
    int count = mode == CUDNN_HEUR_MODE_A ? 7 : g->bf16 ? 3 : 4;
    for (int i = 0; i < count && i < room; i++)
        offered[i] = list[i];
    return count < room ? count : room;
}

static cudnnStatus_t get_results(const struct descriptor *d, int64_t room, int64_t *count, void *values) {
    const struct engine *offered[16];
    struct descriptor *graph = attribute_descriptor(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    cudnnBackendHeurMode_t mode = *(const cudnnBackendHeurMode_t *)attribute_values(d, CUDNN_ATTR_ENGINEHEUR_MODE);
    *count = engines_offered(&graph->graph, mode, offered, 16);
    if (room < *count && room > 0)
        *count = room;
    for (int64_t i = 0; i < *count && i < room; i++) {
        struct descriptor *config = ((struct descriptor **)values)[i];
        if (!config || config->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR || config->engine)
            FAIL(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "results go into new engine configurations");
        config->engine = offered[i];
        config->finalized = true;
        descriptor_hold(&config->of, graph);
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_note(int note, int64_t room, int64_t *count, void *values) {
    *count = note >= 0;
    if (note >= 0 && room >= 1)
        *(int *)values = note;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_int64(int64_t value, int64_t *count, void *values) {
    *count = 1;
    *(int64_t *)values = value;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values) {
    static const struct {
        cudnnBackendDescriptorType_t descriptor;
        cudnnBackendAttributeName_t name;
        cudnnBackendAttributeType_t type;
    } readable[] = {
        {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR},
        {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR},
        {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64},
        {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE},
        {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE},
        {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64},
    };
    struct descriptor *d = descriptor;
    bool known = false;
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        known |= d && readable[i].descriptor == d->type && readable[i].name == name && readable[i].type == type;
    if (!known || !count || (room > 0 && !values))
        FAIL(CUDNN_STATUS_BAD_PARAM, "attribute %d cannot be read like this", name);
    if (!d->finalized)
        FAIL(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute %d of a descriptor that is not finalized", name);
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return get_results(d, room, count, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        ((struct descriptor **)values)[0]->engine = d->engine;
        ((struct descriptor **)values)[0]->finalized = true;
        *count = 1;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        return get_note(d->engine->note, room, count, values);
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        return get_note(d->engine->compiled ? CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION : -1, room, count, values);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        return get_int64(d->engine->index, count, values);
    default:
        return get_int64(attribute_descriptor(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->engine->workspace, count,
                         values);
    }
}

// ---- Plans ----

cudnnStatus_t plan_finalize(struct descriptor *plan) {
    const struct descriptor *config = attribute_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    if (config->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
        FAIL(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "a plan is made of an engine configuration");
    if (config->engine->refuses)
        FAIL(CUDNN_STATUS_NOT_SUPPORTED, "engine %lld does not do this after all", (long long)config->engine->index);
    plans++;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t find_pointer(const struct descriptor *pack, int64_t id, void **pointer) {
    const struct attribute *ids = attribute_find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    void *const *pointers = attribute_values(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (int64_t i = 0; i < ids->count; i++)
        if (((const int64_t *)(const void *)ids->values)[i] == id) {
            *pointer = pointers[i];
            if (!*pointer)
                FAIL(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "tensor %lld has no address", (long long)id);
            if ((uintptr_t)*pointer % 16 != 0)
                FAIL(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "tensor %lld is misaligned", (long long)id);
            return CUDNN_STATUS_SUCCESS;
        }
    FAIL(CUDNN_STATUS_BAD_PARAM, "tensor %lld is not in the pack", (long long)id);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    struct descriptor *p = plan;
    const struct descriptor *addresses = pack;
    if (!handle || !p || !p->finalized || !addresses || !addresses->finalized)
        FAIL(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "no handle, plan or pack that is finalized");
    if (fail_next_run) {
        fail_next_run = false;
        FAIL(CUDNN_STATUS_EXECUTION_FAILED, "as was asked for");
    }
    const struct descriptor *config = attribute_descriptor(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    struct convolution_run run = {.graph = config->of->graph, .engine = *config->engine};
    for (int i = 0; i < (run.graph.bias ? 4 : 3); i++) {
        cudnnStatus_t status = find_pointer(addresses, run.graph.uid[i], &run.pointers[i]);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    run.workspace = *(void *const *)attribute_values(addresses, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (run.engine.workspace > 0 && !run.workspace)
        FAIL(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the engine needs a workspace");
    if (!p->has_run && standin_is_captured(handle->stream)) // the first time it loads code, which may not be captured
        standin_break_capture(handle->stream);
    p->has_run = true;
    if (standin_enqueue_copy(handle->stream, convolution_run, &run, sizeof run) != cudaSuccess)
        FAIL(CUDNN_STATUS_EXECUTION_FAILED, "the stream does not take it");
    return CUDNN_STATUS_SUCCESS;
}
