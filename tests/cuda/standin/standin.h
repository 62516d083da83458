// What tests, and the other stand-ins, ask of the stand-in for CUDA's runtime beyond CUDA's own API.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_STANDIN_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_STANDIN_H

#include <stdbool.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
#include <functional>

// Does the work now, or keeps it for the graph when the stream is being captured. This is how a library's stand-in
// "launches a kernel".
cudaError_t standin_enqueue(cudaStream_t stream, std::function<void()> work, bool kernel = false);

extern "C" {
#endif

// The same for C: `run(context)` now, or at every launch of the graph; `context` is copied.
cudaError_t standin_enqueue_copy(cudaStream_t stream, void (*run)(const void *context), const void *context,
                                 size_t bytes);

// Pieces of work with the same `serial` run one after the other, in the order in which they were asked for, whatever
// their streams: a communicator's, for example.
cudaError_t standin_enqueue_serial(const void *serial, cudaStream_t stream, void (*run)(const void *context),
                                   const void *context, size_t bytes);
bool standin_is_captured(cudaStream_t stream);
void standin_break_capture(cudaStream_t stream); // as what must not be done in one does

bool standin_on_device(const void *at, size_t bytes); // all of it in one piece of device memory
void standin_hang(void); // from inside a piece of work: it never ends, nor does what waits for it

struct standin_counts { // since the process began
    long launches, allocations, waits, captures, graph_launches;
    long library, fills, copies; // pieces of work of cuDNN's or NCCL's, and of the runtime's own
    long side;                   // pieces of work handed to another stream than the first
};
struct standin_counts standin_counts_now(void);

int standin_graphs_alive(void);   // executable ones that were made and not destroyed; others must not be used
size_t standin_peak_memory(void); // the most of the device's memory that was taken since the last call

void standin_set_devices(int count);   // STANDIN_DEVICES or 1 at first; 0: as if there were no driver
void standin_set_memory(size_t bytes); // of the device; 1 GiB at first
void standin_set_hollow(bool hollow);  // device memory is counted but not there, and nothing is run
void standin_fail_launch(int nth);     // the nth kernel launch from now fails with cudaErrorIllegalAddress; 0: none
// The nth call from now that would succeed, whatever it is, answers cudaErrorIllegalAddress once, though it does what
// was asked; 0: none. Not `kernels`: those, ours and the libraries', are not counted, nor is what goes into a graph.
// Nor are calls that only take things down, whose answers nobody needs.
void standin_fail_call(int nth, bool kernels);
bool standin_call_has_failed(void);     // since then
void standin_fail_capture(void);        // the next one cannot begin: cudaErrorIllegalAddress
void standin_set_reverse(bool reverse); // run threads and blocks from the last to the first
// What libraries put on a stream cannot be captured: it is refused, and breaks the capture. Always so on the device
// that STANDIN_UNCAPTURABLE names.
void standin_set_uncapturable(bool on);
void standin_set_breaking(int nth);   // the libraries' nth piece of work in a capture breaks it without a word; 0: none
void standin_set_side_first(bool on); // which streams go first: see streams.cpp; also by STANDIN_SIDE_FIRST

#ifdef __cplusplus
}
#endif

#endif
