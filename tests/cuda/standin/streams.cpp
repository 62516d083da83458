// Streams, events and graphs of the stand-in for CUDA's runtime.
//
// A stream is a queue, and what another stream is to wait for stands in it. In the order that is the default the first
// stream (the backend's) does its work at once and every other one as late as it may: only when somebody waits for it.
// In the other order (standin_set_side_first) the other streams do theirs as early as they may, and the first as late
// as it may. So a wait that is missing, on either side, shows in the numbers. A captured graph is a list of nodes with
// what each comes after; it is run as one piece of work, its branches in the same two orders.
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <set>

#include "machine.h"

namespace {

struct point { // reached when `stream` has done so many
    cudaStream_t stream;
    size_t position;
};

struct item {
    std::function<void()> work;
    std::vector<point> after;
};

struct node {
    std::function<void()> work;
    std::vector<size_t> after;
    bool side; // not of the stream that is captured
};

} // namespace

struct CUgraph_st {
    std::vector<node> nodes;
    cudaStream_t origin;
    std::vector<cudaStream_t> streams; // that take part while it is captured
    unsigned long capture;             // which
    bool broken = false;               // by what cannot be captured
    int library = 0;                   // pieces of work of theirs
};
struct CUgraphExec_st {
    std::vector<node> nodes;
};
struct CUstream_st {
    std::deque<item> queue;
    size_t done = 0, issued = 0;
    std::vector<point> after; // of the next item

    CUgraph_st *capture = nullptr;      // NULL: work is queued
    std::vector<size_t> captured_after; // of the next node, the last one included
};
struct CUevent_st {
    bool recorded = false;
    point at = {nullptr, 0};
    unsigned long capture = 0; // 0: none; else after these nodes of its graph
    std::vector<size_t> nodes;
};

namespace {

struct tail { // the last of what a library runs one after the other, whatever the streams
    point at = {nullptr, 0};
    unsigned long capture = 0;
    size_t node = 0;
};
std::map<const void *, tail> tails;
std::map<unsigned long, CUgraph_st *> captures; // under way
unsigned long capture_count;
std::set<cudaGraphExec_t> graphs; // that were made and not destroyed

void must_be_there(cudaGraphExec_t exec, const char *what) {
    if (graphs.count(exec))
        return;
    fprintf(stderr, "stand-in for CUDA: %s a graph that there is not\n", what);
    abort();
}

bool is_side(cudaStream_t stream) {
    return !here.streams.empty() && stream != here.streams.front();
}

bool reached(const point &p) {
    return !p.stream || p.stream->done >= p.position;
}

void force(cudaStream_t stream, size_t position);

void run_front(cudaStream_t stream) {
    item i = std::move(stream->queue.front());
    stream->queue.pop_front();
    i.work();
    if (!here.hung)
        stream->done++;
}

// As far as they may without anybody having to wait.
void run_sides() {
    for (cudaStream_t s : here.streams)
        while (is_side(s) && !here.hung && !s->queue.empty()) {
            bool ready = true;
            for (const point &p : s->queue.front().after)
                ready = ready && reached(p);
            if (!ready)
                break;
            run_front(s);
        }
}

void force(cudaStream_t stream, size_t position) {
    while (stream->done < position && !here.hung && !stream->queue.empty()) {
        std::vector<point> after = stream->queue.front().after;
        for (const point &p : after)
            if (!reached(p))
                force(p.stream, p.position);
        if (here.hung)
            return;
        if (stream->done < position)
            run_front(stream);
        if (here.side_first)
            run_sides();
    }
}

// All of it, and what it is to wait for though nothing comes after that yet.
void finish(cudaStream_t stream) {
    force(stream, stream->issued);
    std::vector<point> after = stream->after;
    for (const point &p : after)
        if (!reached(p) && !here.hung)
            force(p.stream, p.position);
}

void progress(cudaStream_t stream) {
    if (here.side_first)
        run_sides();
    else if (!is_side(stream))
        force(stream, stream->issued);
}

void queue(cudaStream_t stream, std::function<void()> work) {
    stream->queue.push_back({std::move(work), stream->after});
    stream->after.clear();
    stream->issued++;
    progress(stream);
}

size_t capture(cudaStream_t stream, std::function<void()> work) {
    CUgraph_st *graph = stream->capture;
    graph->nodes.push_back({std::move(work), stream->captured_after, stream != graph->origin});
    stream->captured_after = {graph->nodes.size() - 1};
    return graph->nodes.size() - 1;
}

void run_graph(const std::vector<node> &nodes) {
    std::vector<bool> done(nodes.size());
    for (size_t left = nodes.size(); left > 0 && !here.hung; left--) {
        size_t next = nodes.size();
        for (size_t i = 0; i < nodes.size(); i++) {
            bool ready = !done[i];
            for (size_t k = 0; ready && k < nodes[i].after.size(); k++)
                ready = done[nodes[i].after[k]];
            if (ready &&
                (next == nodes.size() || (nodes[i].side == here.side_first && nodes[next].side != here.side_first)))
                next = i;
            if (ready && nodes[next].side == here.side_first)
                break; // the first of those that go first
        }
        nodes[next].work();
        done[next] = true;
    }
}

// Whether every node comes before the end of the stream that is captured.
bool is_joined(const CUgraph_st *graph) {
    std::vector<bool> before(graph->nodes.size());
    std::vector<size_t> look = graph->origin->captured_after;
    while (!look.empty()) {
        size_t i = look.back();
        look.pop_back();
        if (before[i])
            continue;
        before[i] = true;
        look.insert(look.end(), graph->nodes[i].after.begin(), graph->nodes[i].after.end());
    }
    for (bool b : before)
        if (!b)
            return false;
    return true;
}

cudaError_t wait_for(cudaStream_t stream) {
    here.counts.waits++;
    if (here.captures)
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    finish(stream);
    if (here.hung) {
        fprintf(stderr, "stand-in for CUDA: a wait that never ends\n");
        abort();
    }
    return standin_answer(cudaSuccess);
}

} // namespace

void standin_break_capture(cudaStream_t stream) {
    stream->capture->broken = true;
}

bool standin_is_captured(cudaStream_t stream) {
    return stream->capture != nullptr;
}

void standin_finish_all() {
    for (cudaStream_t s : here.streams)
        force(s, s->issued);
}

cudaError_t standin_enqueue(cudaStream_t stream, std::function<void()> work, bool kernel) {
    if (here.sticky != cudaSuccess)
        return standin_answer(here.sticky);
    if (here.hollow)
        return standin_answer(cudaSuccess);
    here.counts.side += stream && is_side(stream);
    if (stream && stream->capture && stream->capture->broken)
        return standin_answer(cudaErrorStreamCaptureInvalidated);
    if (stream && stream->capture) {
        capture(stream, std::move(work));
        kernel = true;
    } else if (here.captures && !stream) {
        return standin_answer(cudaErrorStreamCaptureUnsupported); // the legacy stream waits for all others
    } else if (stream) {
        queue(stream, std::move(work));
    } else {
        standin_finish_all();
        work();
    }
    return kernel && !here.fail_kernels ? here.sticky : standin_answer(cudaSuccess);
}

static bool is_uncapturable() {
    const char *told = getenv("STANDIN_UNCAPTURABLE");
    return here.uncapturable || (told && atoi(told) == here.device);
}

extern "C" {

cudaError_t standin_enqueue_copy(cudaStream_t stream, void (*run)(const void *context), const void *context,
                                 size_t bytes) {
    const char *from = static_cast<const char *>(context);
    std::vector<char> copy(from, from + bytes);
    if (stream->capture && is_uncapturable()) {
        standin_break_capture(stream);
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    }
    here.counts.library++;
    if (stream->capture && ++stream->capture->library == here.breaking) {
        standin_break_capture(stream);
        return cudaSuccess;
    }
    return standin_enqueue(
        stream, [=]() { run(copy.data()); }, true);
}

cudaError_t standin_enqueue_serial(const void *serial, cudaStream_t stream, void (*run)(const void *context),
                                   const void *context, size_t bytes) {
    struct tail &t = tails[serial];
    CUgraph_st *graph = stream->capture;
    if (graph && t.capture == graph->capture)
        stream->captured_after.push_back(t.node);
    else if (!graph && t.at.stream)
        stream->after.push_back(t.at);
    if (graph)
        t = {{nullptr, 0}, graph->capture, graph->nodes.size()};
    else
        t = {{stream, stream->issued + 1}, 0, 0};
    return standin_enqueue_copy(stream, run, context, bytes);
}

int standin_graphs_alive(void) {
    return (int)graphs.size();
}

void standin_set_side_first(bool on) {
    standin_finish_all();
    here.side_first = on;
}

void standin_hang(void) {
    here.hung = true;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    if (cudaError_t code = standin_answer(cudaSuccess))
        return code;
    *stream = new CUstream_st;
    here.streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (here.captures)
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    standin_finish_all(); // nobody refers to it then
    for (size_t i = 0; i < here.streams.size(); i++)
        if (here.streams[i] == stream)
            here.streams.erase(here.streams.begin() + (long)i);
    for (auto &t : tails)
        if (t.second.at.stream == stream)
            t.second = tail();
    delete stream;
    return here.sticky;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return wait_for(stream);
}

// One look is as good as many: what can be done is done. It counts as a wait only when it is over.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (here.captures)
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    finish(stream);
    if (here.hung)
        return cudaErrorNotReady;
    here.counts.waits++;
    return standin_answer(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void) {
    for (cudaStream_t s : here.streams)
        force(s, s->issued);
    here.counts.waits++;
    return standin_answer(here.captures ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    if (cudaError_t code = standin_answer(cudaSuccess))
        return code;
    *event = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return here.sticky;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    event->recorded = true;
    event->capture = stream->capture ? stream->capture->capture : 0;
    event->nodes = stream->captured_after;
    event->at = {stream, stream->issued};
    return standin_answer(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)flags;
    if (!event->recorded)
        return standin_answer(cudaSuccess);
    if (event->capture && !captures.count(event->capture))
        return standin_answer(cudaErrorCapturedEvent);
    if (stream->capture && stream->capture->capture != event->capture)
        return standin_answer(cudaErrorStreamCaptureIsolation);
    if (event->capture) {
        if (!stream->capture) { // it takes part from now on
            stream->capture = captures[event->capture];
            stream->captured_after.clear();
            stream->capture->streams.push_back(stream);
        }
        stream->captured_after.insert(stream->captured_after.end(), event->nodes.begin(), event->nodes.end());
    } else {
        stream->after.push_back(event->at);
    }
    return standin_answer(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    here.counts.waits++;
    if (here.captures)
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    if (event->recorded)
        force(event->at.stream, event->at.position);
    return standin_answer(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode; // the strictest, whatever was asked for
    if (!stream || stream->capture)
        return standin_answer(cudaErrorStreamCaptureUnsupported);
    bool failing = here.failing_capture;
    here.failing_capture = false;
    if (cudaError_t code = standin_answer(failing ? cudaErrorIllegalAddress : cudaSuccess))
        return code;
    stream->capture = new CUgraph_st{{}, stream, {stream}, ++capture_count, false, 0};
    captures[capture_count] = stream->capture;
    stream->captured_after.clear();
    here.captures++;
    here.counts.captures++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = nullptr;
    if (!stream || !stream->capture || stream->capture->origin != stream)
        return standin_answer(cudaErrorInvalidValue);
    CUgraph_st *captured = stream->capture;
    bool joined = is_joined(captured), broken = captured->broken;
    for (cudaStream_t s : captured->streams)
        s->capture = nullptr;
    captures.erase(captured->capture);
    here.captures--;
    if (joined && !broken)
        *graph = captured;
    else
        delete captured;
    return standin_answer(broken   ? cudaErrorStreamCaptureInvalidated
                          : joined ? cudaSuccess
                                   : cudaErrorStreamCaptureUnjoined);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    if (cudaError_t code = standin_answer(cudaSuccess))
        return code;
    *exec = new CUgraphExec_st{graph->nodes};
    graphs.insert(*exec);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    must_be_there(exec, "launching");
    here.counts.graph_launches++;
    return standin_enqueue(stream, [=]() { run_graph(exec->nodes); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return here.sticky;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    must_be_there(exec, "destroying");
    standin_finish_all();
    graphs.erase(exec);
    delete exec;
    return standin_answer(cudaSuccess);
}

} // extern "C"
