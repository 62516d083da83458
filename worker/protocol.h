// What master, workers and trainer processes say to each other: one set of messages, the same bytes on a socket and
// over MPI.
//
// A frame is a 4-byte little-endian length and that many bytes of JSON. Doubles survive unchanged (17 digits; NaN is
// null, infinities are "inf" and "-inf"). A master talks to workers, a worker to its one trainer process:
//
//     worker -> master   hello, heartbeat, epoch, result, lost, stopped, stop, bye
//     master -> worker   assign, stop, heartbeat, bye
//     worker -> trainer  assign, stop
//     trainer -> worker  heartbeat, epoch, result, lost
//
// Pure: no descriptor, no clock, no MPI. Any thread; an inbox belongs to one.
#ifndef GRIDFOLD_WORKER_PROTOCOL_H
#define GRIDFOLD_WORKER_PROTOCOL_H

#include "worker/trainer.h"

#define MESSAGE_KINDS(X)                                                                                               \
    X(HELLO, "hello")     /* a worker is there: host, device, cores */                                                 \
    X(ASSIGN, "assign")   /* train this trial */                                                                       \
    X(EPOCH, "epoch")     /* an epoch's metrics */                                                                     \
    X(RESULT, "result")   /* the trial ended: done, failed, diverged; interrupted, paused */                           \
    X(LOST, "lost")       /* the trial's trainer died or could not establish a result */                               \
    X(STOP, "stop")       /* checkpoint and stop the trial; idle: the trainer; to the master: the sweep */             \
    X(STOPPED, "stopped") /* the trial was ended on request without a word of its own */                               \
    X(HEARTBEAT,                                                                                                       \
      "heartbeat") /* alive; a worker says how far its trial is, a master (code) how long to bear silence */           \
    X(BYE, "bye")  /* leave, or leaving */

enum message_kind {
#define X(name, text) MESSAGE_##name,
    MESSAGE_KINDS(X)
#undef X
};

// Why a trial was lost. Zero is none: a message that says nothing of a loss.
#define LOSS_CAUSES(X)                                                                                                 \
    X(NONE, "")                                                                                                        \
    X(CRASH, "crash")          /* a signal, an exit code, or an internal error that the trainer gave up on */          \
    X(HANG, "hang")            /* silent beyond its limit: killed */                                                   \
    X(MEMORY, "out of memory") /* the kernel's killer, an allocation that failed, on the host or on the device */      \
    X(START, "start")          /* the trainer process could not be started, or ended before its first word */          \
    X(WRITE, "write")          /* a full disk, an input/output error, a lost mount */                                  \
    X(PROTOCOL, "protocol")    /* it said what is no message */                                                        \
    X(WORKER, "worker")        /* the worker itself is silent */

enum loss_cause {
#define X(name, text) LOSS_##name,
    LOSS_CAUSES(X)
#undef X
};

enum {
    PROTOCOL_HOST_SIZE = 64,
    PROTOCOL_DEVICE_SIZE = 64,
    PROTOCOL_CPUS_SIZE = 128,
    PROTOCOL_GPUS_SIZE = 1024,
    PROTOCOL_MAX_FRAME = 1 << 20
};

struct message_hello {
    char host[PROTOCOL_HOST_SIZE];
    char device[PROTOCOL_DEVICE_SIZE]; // its CPU
    char cpus[PROTOCOL_CPUS_SIZE];     // the processors that the worker may use, "0-3,8"
    int cores;                         // how many these are
    int64_t pid;
    int local_rank; // among the ranks of its host; -1: it is none, and chooses no GPU
    // The GPUs that it may use (worker/devices.h): lists with commas between, in the same order.
    char gpus[PROTOCOL_GPUS_SIZE];    // as CUDA_VISIBLE_DEVICES calls them
    char gpu_ids[PROTOCOL_GPUS_SIZE]; // which they are on their host, whoever calls them what
    char gpu[PROTOCOL_DEVICE_SIZE];   // what the first is, "NVIDIA H100 80GB HBM3"; "": not known
    bool gpus_usable;                 // the embedded trainer can run there
};

struct message_assign {
    struct trial trial;
    char gpus[PROTOCOL_GPUS_SIZE]; // CUDA_VISIBLE_DEVICES of the trainer; "": as the worker's
    char log[PATH_SIZE];           // file that takes the trainer's stdout and stderr
    bool crowded;                  // the host's trainers have more threads than cores: threads must not spin
    double hang_seconds;           // silence that counts as a hang; 0: found out from how long its steps take
};

struct message_epoch {
    struct epoch_metrics metrics;
    bool replayed; // from a checkpoint, not trained now
    double seconds;
};

struct message_heartbeat {
    int epoch, step; // a trainer's: epochs done in the running trial, and steps since; else 0
    double pause;    // a trainer's or worker's: the longest time in this trial from one place where it can be stopped
                     // to the next, a checkpoint's writing included; 0: not known yet
};

struct message {
    enum message_kind kind;
    char trial[TRIAL_ID_SIZE];       // the trial it speaks of, "" for none
    int attempt;                     // of that trial, from 1; 0: none
    int code;                        // bye: exit code of the job
    enum loss_cause cause;           // lost: of what kind
    char reason[ERROR_MESSAGE_SIZE]; // lost, stopped, bye: why
    union {
        struct message_hello hello;
        struct message_assign assign;
        struct message_epoch epoch;
        struct trial_result result;
        struct message_heartbeat heartbeat;
    };
};

const char *message_kind_name(enum message_kind kind);
const char *loss_cause_name(enum loss_cause cause); // "crash"; "" for none

// A malloc'ed frame. Text that is not UTF-8 is sent with '?' for what is not.
NODISCARD enum status message_encode(const struct message *m, char **frame, size_t *bytes, struct error *err);

// Bytes in, messages out. Zero-initialise; release with inbox_free.
struct inbox {
    char *data;
    size_t size, capacity, taken;
};
NODISCARD enum status inbox_add(struct inbox *inbox, const void *data, size_t bytes, struct error *err);
// *got is false when no whole frame is there yet. STATUS_FORMAT when what is there can be no frame; the stream is then
// unusable.
NODISCARD enum status inbox_take(struct inbox *inbox, struct message *m, bool *got, struct error *err);
void inbox_free(struct inbox *inbox);

#endif
