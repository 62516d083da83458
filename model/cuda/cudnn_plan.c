#include "model/cuda/cudnn_plan.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 64 }; // engine configurations looked at, of each heuristic

// ---- Devices ----

static enum status device_create(const struct cudnn_library *library, cudnnBackendAttributeName_t name,
                                 cudnnBackendAttributeType_t type, int64_t count, const void *value,
                                 struct cudnn_device *device, struct error *err) {
    struct cudnn_descriptors owned = {.count = 0};
    struct cudnn_builder b = {library, &owned, err, STATUS_OK};
    cudnnBackendDescriptor_t d = cudnn_make(&b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "the device's properties");
    cudnn_set(&b, d, name, type, count, value);
    cudnn_finalize(&b, d, "the device's properties");
    if (b.status == STATUS_OK)
        *device = (struct cudnn_device){library, d};
    else
        cudnn_descriptors_release(library, &owned);
    return b.status;
}

enum status cudnn_device_of_handle(const struct cudnn_library *library, cudnnHandle_t handle,
                                   struct cudnn_device *device, struct error *err) {
    return device_create(library, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, device, err);
}

enum status cudnn_device_described(const struct cudnn_library *library, const char *json, struct cudnn_device *device,
                                   struct error *err) {
    return device_create(library, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json),
                         json, device, err);
}

void cudnn_device_release(struct cudnn_device *device) {
    if (device->properties)
        device->library->cudnnBackendDestroyDescriptor(device->properties);
    device->properties = NULL;
}

// ---- What cuDNN says of an engine ----

static enum status numerical_notes(const struct cudnn_library *library, cudnnBackendDescriptor_t engine,
                                   struct cudnn_engine_notes *notes, struct error *err) {
    cudnnBackendNumericalNote_t said[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    TRY(cudnn_checked(library,
                      library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                        CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                                        &count, said),
                      "an engine's numerical notes", err));
    for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++) {
        notes->nondeterministic |= said[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        notes->tensor_cores |= said[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        notes->converts |= said[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        notes->coarse_sums |= said[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
        notes->transforms |=
            said[i] == CUDNN_NUMERICAL_NOTE_FFT ||
            (said[i] >= CUDNN_NUMERICAL_NOTE_WINOGRAD && said[i] <= CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13);
    }
    return STATUS_OK;
}

static enum status engine_notes(const struct cudnn_library *library, cudnnBackendDescriptor_t engine,
                                struct cudnn_engine_notes *notes, struct error *err) {
    cudnnBackendBehaviorNote_t said[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;
    *notes = (struct cudnn_engine_notes){0};
    TRY(cudnn_checked(library,
                      library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
                                                        &count, &notes->index),
                      "an engine's number", err));
    TRY(numerical_notes(library, engine, notes, err));
    TRY(cudnn_checked(library,
                      library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                        CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT,
                                                        &count, said),
                      "an engine's behavior notes", err));
    for (int64_t i = 0; i < count && i < CUDNN_BEHAVIOR_NOTE_TYPE_COUNT; i++)
        notes->run_time_compiled |= said[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    return STATUS_OK;
}

static enum status config_notes(const struct cudnn_library *library, cudnnBackendDescriptor_t config,
                                struct cudnn_engine_notes *notes, struct error *err) {
    cudnnBackendDescriptor_t engine = NULL;
    int64_t count = 0;
    TRY(cudnn_checked(library, library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine),
                      "an engine", err));
    enum status status =
        cudnn_checked(library,
                      library->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                      "an engine", err);
    if (status == STATUS_OK)
        status = engine_notes(library, engine, notes, err);
    library->cudnnBackendDestroyDescriptor(engine);
    return status;
}

// ---- Candidates: what a heuristic offers, best first ----

struct candidates {
    cudnnBackendDescriptor_t configs[MAX_CANDIDATES];
    int count;
};

static void candidates_release(const struct cudnn_library *library, struct candidates *list) {
    while (list->count > 0)
        library->cudnnBackendDestroyDescriptor(list->configs[--list->count]);
}

static enum status candidates_read(const struct cudnn_library *library, cudnnBackendDescriptor_t heuristic,
                                   struct candidates *list, struct error *err) {
    int64_t count = 0, got = 0;
    TRY(cudnn_checked(library,
                      library->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL),
                      "the number of engines", err));
    if (count > MAX_CANDIDATES)
        count = MAX_CANDIDATES;
    for (; list->count < count; list->count++)
        TRY(cudnn_checked(
            library,
            library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &list->configs[list->count]),
            "an engine", err));
    if (count > 0)
        TRY(cudnn_checked(library,
                          library->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &got, list->configs),
                          "engines", err));
    while (list->count > got)
        library->cudnnBackendDestroyDescriptor(list->configs[--list->count]);
    return STATUS_OK;
}

static enum status candidates_ask(const struct cudnn_device *device, cudnnBackendDescriptor_t operations,
                                  cudnnBackendHeurMode_t mode, struct candidates *list, struct error *err) {
    struct cudnn_descriptors owned = {.count = 0};
    struct cudnn_builder b = {device->library, &owned, err, STATUS_OK};
    cudnnBackendDescriptor_t d = cudnn_make(&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "engine heuristics");
    cudnn_set_descriptor(&b, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
    cudnn_set(&b, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    cudnn_set_descriptor(&b, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device->properties);
    cudnn_finalize(&b, d, "engine heuristics");
    if (b.status == STATUS_OK)
        b.status = candidates_read(device->library, d, list, err);
    cudnn_descriptors_release(device->library, &owned);
    return b.status;
}

// ---- Choosing ----

struct rules {
    size_t workspace_limit;
    bool run_time_compilation;
};

static bool acceptable(const struct cudnn_engine_notes *n, const struct cudnn_convolution *c,
                       const struct rules *rules) {
    if (n->nondeterministic || n->coarse_sums || n->transforms || n->converts)
        return false;
    if (c->precision == PRECISION_FP32 && n->tensor_cores)
        return false;
    return rules->run_time_compilation || !n->run_time_compiled;
}

// Makes the plan of a configuration, or fails with what cuDNN says against it.
static enum status plan_finalize(cudnn_plan *p, const struct cudnn_device *device, cudnnBackendDescriptor_t config,
                                 size_t workspace_limit, struct error *err) {
    struct cudnn_descriptors owned = {.count = 0};
    struct cudnn_builder b = {device->library, &owned, err, STATUS_OK};
    int64_t count = 0, bytes = 0;
    cudnnBackendDescriptor_t d = cudnn_make(&b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a plan");
    cudnn_set_descriptor(&b, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    cudnn_set_descriptor(&b, d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device->properties);
    cudnn_finalize(&b, d, "a plan");
    enum status status = b.status;
    if (status == STATUS_OK)
        status = cudnn_checked(device->library,
                               device->library->cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                                         CUDNN_TYPE_INT64, 1, &count, &bytes),
                               "a plan's workspace", err);
    if (status == STATUS_OK && (size_t)bytes > workspace_limit)
        status = error_set(err, STATUS_UNSUPPORTED, "an engine wants %lld bytes of workspace", (long long)bytes);
    if (status != STATUS_OK) {
        cudnn_descriptors_release(device->library, &owned);
        return status;
    }
    p->plan = d;
    p->workspace_bytes = (size_t)bytes;
    return STATUS_OK;
}

// Takes the first candidate that will do, its configuration with it. A candidate's refusal stays in p->refusal.
static void choose(cudnn_plan *p, const struct cudnn_device *device, struct candidates *list,
                   const struct rules *rules) {
    for (int i = 0; i < list->count && !p->plan; i++) {
        struct cudnn_engine_notes notes;
        if (config_notes(device->library, list->configs[i], &notes, &p->refusal) != STATUS_OK ||
            !acceptable(&notes, &p->convolution, rules) ||
            plan_finalize(p, device, list->configs[i], rules->workspace_limit, &p->refusal) != STATUS_OK)
            continue;
        p->notes = notes;
        p->owned.descriptors[p->owned.count++] = list->configs[i];
        p->owned.descriptors[p->owned.count++] = p->plan;
        list->configs[i] = list->configs[--list->count];
    }
}

// Asks for the fallback list only when nothing before will do: it takes several times as long as the heuristics.
static void search(cudnn_plan *p, const struct cudnn_device *device, cudnnBackendDescriptor_t operations,
                   size_t workspace_limit) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    const struct rules rules[] = {{workspace_limit, false}, {SIZE_MAX, false}, {SIZE_MAX, true}};
    struct candidates lists[2] = {{.count = 0}, {.count = 0}};
    for (int r = 0; r < (p->convolution.bias ? 1 : 3); r++)
        for (int m = 0; m < 2 && !p->plan; m++)
            if (r > 0 || candidates_ask(device, operations, modes[m], &lists[m], &p->refusal) == STATUS_OK)
                choose(p, device, &lists[m], &rules[r]);
    for (int m = 0; m < 2; m++)
        candidates_release(device->library, &lists[m]);
}

enum status cudnn_plan_create(const struct cudnn_device *device, size_t workspace_limit,
                              const struct cudnn_convolution *c, cudnn_plan **plan, struct error *err) {
    cudnn_plan *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, "a cuDNN plan");
    p->convolution = *c;
    p->library = device->library;
    error_set(&p->refusal, STATUS_UNSUPPORTED, "cuDNN has no deterministic engine for it");
    struct cudnn_builder b = {p->library, &p->owned, &p->refusal, STATUS_OK};
    cudnnBackendDescriptor_t operations = cudnn_convolution_graph(&b, c);
    if (b.status == STATUS_OK)
        search(p, device, operations, workspace_limit);
    if (!p->plan) {
        char name[256];
        cudnn_convolution_name(c, name, sizeof name);
        error_prefix(&p->refusal, "%s", name);
        p->refusal.status = STATUS_UNSUPPORTED;
        cudnn_descriptors_release(p->library, &p->owned);
    }
    *plan = p;
    return STATUS_OK;
}

void cudnn_plan_destroy(cudnn_plan *plan) {
    if (!plan)
        return;
    cudnn_descriptors_release(plan->library, &plan->owned);
    free(plan);
}

// ---- Running ----

static bool same_addresses(const struct cudnn_launch *launch, void *const operands[CUDNN_OPERANDS],
                           const void *workspace) {
    return launch->pack && launch->workspace == workspace &&
           memcmp(launch->operands, operands, sizeof launch->operands) == 0;
}

static enum status launch_bind(struct cudnn_launch *launch, void *const operands[CUDNN_OPERANDS], void *workspace,
                               struct error *err) {
    static const int64_t uids[CUDNN_OPERANDS] = {1, 2, 3, 4};
    const int count = launch->plan->convolution.bias ? CUDNN_OPERANDS : CUDNN_OPERAND_BIAS;
    struct cudnn_descriptors owned = {.count = 0};
    struct cudnn_builder b = {launch->plan->library, &owned, err, STATUS_OK};
    cudnnBackendDescriptor_t d = cudnn_make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "addresses");
    cudnn_set(&b, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
    cudnn_set(&b, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, operands);
    cudnn_set(&b, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    cudnn_finalize(&b, d, "addresses");
    cudnn_launch_release(launch);
    if (b.status != STATUS_OK) {
        cudnn_descriptors_release(launch->plan->library, &owned);
        return b.status;
    }
    launch->pack = d;
    memcpy(launch->operands, operands, sizeof launch->operands);
    launch->workspace = workspace;
    return STATUS_OK;
}

enum status cudnn_launch_run(cudnnHandle_t handle, struct cudnn_launch *launch, void *const operands[CUDNN_OPERANDS],
                             void *workspace, struct error *err) {
    const struct cudnn_library *library = launch->plan->library;
    if (!same_addresses(launch, operands, workspace))
        TRY(launch_bind(launch, operands, workspace, err));
    enum status status =
        cudnn_checked(library, library->cudnnBackendExecute(handle, launch->plan->plan, launch->pack), "running", err);
    if (status == STATUS_OK)
        return STATUS_OK;
    char name[256];
    cudnn_convolution_name(&launch->plan->convolution, name, sizeof name);
    return error_prefix(err, "%s", name);
}

void cudnn_launch_release(struct cudnn_launch *launch) {
    if (launch->pack)
        launch->plan->library->cudnnBackendDestroyDescriptor(launch->pack);
    launch->pack = NULL;
}
