#include "worker/checkpoint_writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "worker/free_memory.h"

// Of one core's time, while nobody waits; the second while the next checkpoint is due and waits for this one. Threads
// of a step wait for each other, so that what one of them loses, the step loses.
static const double SHARE = 0.015, LATE_SHARE = 0.025;
enum { TOUCHED = 1 << 18 }; // bytes of memory between two pauses

enum phase {
    IDLE,      // at the beginning
    PREPARING, // the thread makes memory
    PREPARED,  // it is there, and nothing is under way
    FREEZING,  // the next step leaves the state to the thread
    WRITING,   // the thread writes
};

struct checkpoint_writer {
    const struct trial_folder *folder;
    const struct checkpoint_context *context;
    network *net;
    pthread_t thread;
    pthread_mutex_t mutex; // of the five below
    pthread_cond_t changed;
    enum phase phase;
    bool late, hurry, quit;
    struct error failure; // STATUS_OK: none
    // The thread's, in PREPARING and WRITING; else the trainer's.
    network_frozen *frozen;
    struct training_state state;
    bool best;
    double paced; // CPU time of the thread until its last pause
};

struct checkpoint_wants checkpoint_wants(double since, double every) {
    static const double MOST_AHEAD = 60;
    double ahead = every / 2 < MOST_AHEAD ? every / 2 : MOST_AHEAD;
    return (struct checkpoint_wants){since >= every - ahead, since >= every, every <= 0};
}

// Commits what has been written with `status`, or abandons it.
static enum status finish_file(const struct trial_folder *folder, struct file_replace *f, enum status status,
                               const char *keep, struct error *err) {
    if (status == STATUS_OK)
        return trial_folder_commit(folder, f, keep, err);
    file_replace_abandon(f);
    return status;
}

enum status checkpoint_write_files(const struct trial_folder *folder, const struct checkpoint_context *context,
                                   const struct checkpoint_source *source, const struct training_state *state,
                                   bool best, struct error *err) {
    struct file_replace f;
    if (best) {
        TRY(file_replace_begin(&f, folder->best, err));
        enum status status = checkpoint_write_best(&f, context, source, state, err);
        TRY(finish_file(folder, &f, status, NULL, err));
    }
    TRY(file_replace_begin(&f, folder->last, err));
    enum status status = checkpoint_write_last(&f, context, source, state, err);
    return finish_file(folder, &f, status, folder->previous, err);
}

// ---- the thread ----

static struct timespec later(double seconds) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double until = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + seconds;
    t.tv_sec = (time_t)until;
    t.tv_nsec = (long)(1e9 * (until - (double)t.tv_sec));
    return t;
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Sleeps so long that the time since the last pause was its share of what has passed, or until somebody waits.
static void pace(void *context) {
    checkpoint_writer *w = context;
    double used = cpu_seconds() - w->paced;
    pthread_mutex_lock(&w->mutex);
    struct timespec until = later(used * (1 / (w->phase == WRITING && w->late ? LATE_SHARE : SHARE) - 1));
    while (!w->hurry && pthread_cond_timedwait(&w->changed, &w->mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&w->mutex);
    w->paced = cpu_seconds();
}

static void make_memory(checkpoint_writer *w) {
    for (size_t first = 0; network_frozen_touch(w->frozen, first, TOUCHED); first += TOUCHED)
        pace(w);
}

static enum status write_frozen(checkpoint_writer *w, struct error *err) {
    struct checkpoint_source source = {w->net, w->frozen, pace, w};
    return checkpoint_write_files(w->folder, w->context, &source, &w->state, w->best, err);
}

static void work(checkpoint_writer *w, enum phase phase) {
    struct error err = {STATUS_OK, ""};
    w->paced = cpu_seconds();
    if (phase == PREPARING)
        make_memory(w);
    else
        (void)!write_frozen(w, &err); // err says it
    pthread_mutex_lock(&w->mutex);
    w->failure = err;
    w->phase = PREPARED; // the memory is kept for the next one
    w->late = w->hurry = false;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void *run(void *context) {
    checkpoint_writer *w = context;
    prctl(PR_SET_NAME, "gridfold-write");
    for (;;) {
        pthread_mutex_lock(&w->mutex);
        while (!w->quit && w->phase != PREPARING && w->phase != WRITING)
            pthread_cond_wait(&w->changed, &w->mutex);
        enum phase phase = w->phase;
        pthread_mutex_unlock(&w->mutex);
        if (phase != PREPARING && phase != WRITING)
            return NULL;
        work(w, phase);
    }
}

// ---- the trainer's side ----

// Signals are for the trainer's own thread.
static int start_thread(checkpoint_writer *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum status checkpoint_writer_create(const struct trial_folder *folder, const struct checkpoint_context *context,
                                     network *net, checkpoint_writer **writer, struct error *err) {
    *writer = NULL;
    if (!network_can_freeze(net))
        return error_set(err, STATUS_UNSUPPORTED, "the state is not in the host's memory");
    checkpoint_writer *w = calloc(1, sizeof *w);
    if (!w)
        return error_memory(err, "the writer of checkpoints");
    w->folder = folder;
    w->context = context;
    w->net = net;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (start_thread(w) == 0) {
        *writer = w;
        return STATUS_OK;
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
    return error_memory(err, "the writer's thread");
}

// With the mutex: hands the thread what a step has left to it.
static void pass_on(checkpoint_writer *w) {
    if (w->phase != FREEZING || network_is_freezing(w->net))
        return;
    w->phase = WRITING;
    pthread_cond_broadcast(&w->changed);
}

static enum phase look(checkpoint_writer *w, bool wait, struct error *err) {
    pthread_mutex_lock(&w->mutex);
    pass_on(w);
    while (wait && (w->phase == PREPARING || w->phase == WRITING)) {
        w->hurry = true;
        pthread_cond_broadcast(&w->changed);
        pthread_cond_wait(&w->changed, &w->mutex);
    }
    enum phase phase = w->phase;
    *err = w->failure;
    pthread_mutex_unlock(&w->mutex);
    return phase;
}

static void set_phase(checkpoint_writer *w, enum phase phase) {
    pthread_mutex_lock(&w->mutex);
    w->phase = phase;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void set_late(checkpoint_writer *w, bool late) {
    pthread_mutex_lock(&w->mutex);
    w->late = late;
    pthread_mutex_unlock(&w->mutex);
}

static enum status begin_preparing(checkpoint_writer *w, struct error *err) {
    enum optimizer_kind optimizer = (enum optimizer_kind)w->context->trial->hp.optimizer;
    if (free_memory_bytes() / 2 < network_frozen_bytes(w->net, optimizer)) // others may want the same at this moment
        return error_set(err, STATUS_MEMORY, "not enough free memory for a copy of the training state");
    TRY(network_frozen_create(w->net, optimizer, &w->frozen, err));
    set_phase(w, PREPARING);
    return STATUS_OK;
}

enum status checkpoint_writer_prepare(checkpoint_writer *w, const struct checkpoint_wants *wants, bool *ready,
                                      struct error *err) {
    struct error failure;
    set_late(w, wants->start);
    enum phase phase = look(w, wants->wait, &failure);
    *ready = false;
    if (failure.status != STATUS_OK) {
        *err = failure;
        return failure.status;
    }
    if (phase == IDLE) {
        TRY(begin_preparing(w, err));
        phase = look(w, wants->wait, &failure);
    }
    *ready = phase == PREPARED;
    return STATUS_OK;
}

static enum status copy_state(checkpoint_writer *w, const struct training_state *state, struct error *err) {
    size_t bytes = (size_t)state->history_count * sizeof *state->history;
    struct epoch_metrics *history = realloc(w->state.history, bytes + 1);
    if (!history)
        return error_memory(err, "a copy of the epochs");
    w->state = *state;
    w->state.history = memcpy(history, state->history, bytes);
    return STATUS_OK;
}

enum status checkpoint_writer_start(checkpoint_writer *w, const struct training_state *state, bool best,
                                    struct error *err) {
    TRY(copy_state(w, state, err));
    network_freeze(w->net, best, w->frozen);
    w->best = best;
    set_late(w, false); // that was the one before
    set_phase(w, FREEZING);
    return STATUS_OK;
}

enum status checkpoint_writer_check(checkpoint_writer *w, struct error *err) {
    struct error failure;
    look(w, false, &failure);
    if (failure.status != STATUS_OK)
        *err = failure;
    return failure.status;
}

enum status checkpoint_writer_drain(checkpoint_writer *w, struct error *err) {
    struct error failure;
    if (network_is_freezing(w->net))
        network_keep_arenas(w->net); // nobody steps while this waits
    look(w, true, &failure);
    if (failure.status != STATUS_OK)
        *err = failure;
    return failure.status;
}

void checkpoint_writer_destroy(checkpoint_writer *w) {
    if (!w)
        return;
    struct error err;
    (void)!checkpoint_writer_drain(w, &err);
    pthread_mutex_lock(&w->mutex);
    w->quit = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    network_frozen_destroy(w->frozen);
    free(w->state.history);
    free(w);
}
