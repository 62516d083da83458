// Descriptors and their attributes.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cudnn_internal.h"
#include "cudnn_standin.h"

static char last_error[512];
static int alive, made;

int standin_cudnn_made(void) {
    return made;
}

int standin_cudnn_alive(void) {
    return alive;
}

void standin_cudnn_say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(last_error, sizeof last_error, format, list);
    va_end(list);
}

size_t cudnnGetVersion(void) {
    return 91900;
}

void cudnnGetLastErrorString(char *message, size_t max_size) {
    snprintf(message, max_size, "%s", last_error);
    last_error[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    *handle = calloc(1, sizeof **handle);
    if (!*handle)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    alive++;
    made++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    alive--;
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

// ---- What may be set: descriptor, attribute, type, at most how many; all are required ----

struct rule {
    cudnnBackendDescriptorType_t descriptor;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int most;
    int alternative; // one of those with the same number is required
};

#define CONVOLUTION(kind, X, W, Y)                                                                                     \
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, X, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0},                 \
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, W, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0}, {           \
        CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, Y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0                \
    }
#define SCALARS(kind, name)                                                                                            \
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_CONV_DESC,     \
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0},                                                                             \
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_ALPHA,     \
         CUDNN_TYPE_FLOAT, 1, 0},                                                                                      \
    {                                                                                                                  \
        CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_BETA,       \
            CUDNN_TYPE_FLOAT, 1, 0                                                                                     \
    }

static const struct rule rules[] = {
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, 0},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 0},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, 0},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 0},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     0},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     0},
    CONVOLUTION(FORWARD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y),
    SCALARS(FORWARD, FORWARD),
    CONVOLUTION(BACKWARD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY),
    SCALARS(BACKWARD_DATA, BWD_DATA),
    CONVOLUTION(BACKWARD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY),
    SCALARS(BACKWARD_FILTER, BWD_FILTER),
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 0},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, 0},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, 0},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, 0},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 0},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 4, 0},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 4, 0},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 0},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, 1},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, MAX_VALUES * 64,
     1},
};
enum { RULES = sizeof rules / sizeof *rules };

static const struct rule *rule_find(cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name) {
    for (int i = 0; i < RULES; i++)
        if (rules[i].descriptor == descriptor && rules[i].name == name)
            return &rules[i];
    return NULL;
}

static size_t type_bytes(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    default:
        return 4; // float and the enumerations
    }
}

// ---- Life ----

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor) {
    struct descriptor *d = calloc(1, sizeof *d);
    if (!d)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    d->type = type;
    d->references = 1;
    *descriptor = d;
    alive++;
    made++;
    return CUDNN_STATUS_SUCCESS;
}

static void release(struct descriptor *d) {
    if (!d || --d->references > 0)
        return;
    for (int i = 0; i < d->attribute_count; i++) {
        struct attribute *a = &d->attributes[i];
        if (rule_find(d->type, a->name)->type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
            for (int64_t k = 0; k < a->count; k++)
                release(((struct descriptor **)(void *)a->values)[k]);
        free(a->values);
    }
    release(d->of);
    free(d);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    if (!descriptor)
        FAIL(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no descriptor to destroy");
    alive--;
    release(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

void descriptor_hold(struct descriptor **at, struct descriptor *d) {
    d->references++;
    *at = d;
}

// ---- Attributes ----

const struct attribute *attribute_find(const struct descriptor *d, cudnnBackendAttributeName_t name) {
    for (int i = 0; i < d->attribute_count; i++)
        if (d->attributes[i].name == name)
            return &d->attributes[i];
    return NULL;
}

const void *attribute_values(const struct descriptor *d, cudnnBackendAttributeName_t name) {
    return attribute_find(d, name)->values;
}

struct descriptor *attribute_descriptor(const struct descriptor *d, cudnnBackendAttributeName_t name) {
    return *(struct descriptor *const *)attribute_values(d, name);
}

static cudnnStatus_t hold_all(const struct attribute *a) {
    struct descriptor **held = (struct descriptor **)(void *)a->values;
    for (int64_t i = 0; i < a->count; i++)
        if (!held[i] || !held[i]->finalized)
            FAIL(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute %d: a descriptor that is not finalized", a->name);
    for (int64_t i = 0; i < a->count; i++)
        held[i]->references++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    struct descriptor *d = descriptor;
    if (!d || !values)
        FAIL(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "attribute %d: no descriptor or no values", name);
    const struct rule *rule = rule_find(d->type, name);
    if (!rule)
        FAIL(CUDNN_STATUS_BAD_PARAM, "descriptor %d has no attribute %d that can be set", d->type, name);
    if (rule->type != type)
        FAIL(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is of type %d, not %d", name, rule->type, type);
    if (count < 1 || count > rule->most)
        FAIL(CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND, "attribute %d: %lld values", name, (long long)count);
    if (d->finalized || attribute_find(d, name) || d->attribute_count == MAX_ATTRIBUTES)
        FAIL(CUDNN_STATUS_BAD_PARAM, "attribute %d is set after finalization, or twice", name);
    struct attribute a = {.name = name, .count = count, .bytes = (size_t)count * type_bytes(type)};
    a.values = malloc(a.bytes);
    if (!a.values)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    memcpy(a.values, values, a.bytes);
    cudnnStatus_t status = type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? hold_all(&a) : CUDNN_STATUS_SUCCESS;
    if (status == CUDNN_STATUS_SUCCESS)
        d->attributes[d->attribute_count++] = a;
    else
        free(a.values);
    return status;
}

static cudnnStatus_t check_complete(const struct descriptor *d) {
    for (int i = 0; i < RULES; i++) {
        if (rules[i].descriptor != d->type)
            continue;
        bool set = false;
        for (int k = 0; k < RULES; k++)
            if (k == i || (rules[k].alternative && rules[k].alternative == rules[i].alternative))
                set |= attribute_find(d, rules[k].name) != NULL;
        if (!set)
            FAIL(CUDNN_STATUS_BAD_PARAM, "descriptor %d lacks attribute %d", d->type, rules[i].name);
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_pack(const struct descriptor *d) {
    if (attribute_find(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)->count !=
        attribute_find(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)->count)
        FAIL(CUDNN_STATUS_BAD_PARAM, "as many unique ids as pointers are needed");
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    struct descriptor *d = descriptor;
    if (!d || d->finalized)
        FAIL(CUDNN_STATUS_BAD_PARAM, "no descriptor to finalize, or finalized already");
    cudnnStatus_t status = check_complete(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
        status = graph_finalize(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        status = plan_finalize(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        status = check_pack(d);
    d->finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (status) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED:
        return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
    case CUDNN_STATUS_EXECUTION_FAILED:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
        return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
               : CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM   ? "CUDNN_STATUS_BAD_PARAM"
                                                                           : "CUDNN_STATUS_INTERNAL_ERROR";
    }
}
