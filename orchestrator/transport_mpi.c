#include "orchestrator/transport_mpi.h"

#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef OPEN_MPI
#include <mpi-ext.h> // says whether this build has ULFM
#endif

#include "model/base/clock.h"
#include "orchestrator/neighbours.h"

enum {
    TAG = 1,
    CAP_US = 5000,
    EXIT_MASTER_SILENT = 75,
    MAX_UNSENT = 64,    // frames that a rank has not taken; more are dropped
    PATIENT_PINGS = 30, // heartbeats without an answer until they become rare
    FINALIZE_SECONDS = 10,
    BEREFT_SECONDS = 2, // where ranks are known to have died, MPI_Finalize may wait for them
    OUTLIVE_SECONDS = 3,
    START_SECONDS = 300,
    EXIT_NO_START = 75,
};

// A worker that never hears of the master again must not stay for ever. The master's heartbeats say how long it waits;
// before the first one the master may be reading a large dataset.
static const double FIRST_WORD_FACTOR =
    3; // of the time in which ranks must have found each other: a quarter of an hour
// The last words of a worker that leaves by itself have this long to be answered.
static const double FAREWELL_SECONDS = 4;
static const double LAST_WORDS_SECONDS = 5;

struct outgoing {
    MPI_Request request;
    char *frame;
    int rank;
    struct outgoing *next;
};

// A message of which the head has come. The rest of one that is larger than MPI sends at once comes only while its
// sender lives.
struct incoming {
    MPI_Request request;
    char *frame;
    int bytes, rank;
    struct incoming *next;
};

// What this rank knows of another.
struct peer {
    int unsent;      // frames in `outgoing`
    int unanswered;  // heartbeats since it was last heard
    double ping_due; // before this time a heartbeat to a silent rank is not sent
    bool failed;     // MPI itself says so (ULFM)
};

struct transport_mpi {
    int rank, size;
    pid_t parent;
    struct outgoing *outgoing;
    struct incoming *incoming; // in the order of their heads
    struct peer *peers;        // by rank
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
};

bool transport_mpi_is_launched(void) {
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *size = getenv(sizes[i]);
        if (size)
            return strtol(size, NULL, 10) > 1;
    }
    return getenv("PMIX_RANK") != NULL; // how many there are only MPI_Init can tell
}

static enum status mpi_error(int code, const char *call, struct error *err) {
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    return error_set(err, STATUS_LOST, "%s: %.*s", call, length, text);
}

static int code_at_end;

static void leave_at_once(int number) {
    (void)number;
    neighbours_continue();
    _exit(code_at_end);
}

// MPI_Init waits for ever for a rank that is stopped meanwhile, MPI_Finalize and MPI_Abort for one that died a moment
// ago.
static void leave_in_time(int code, unsigned seconds) {
    struct sigaction action = {.sa_handler = leave_at_once};
    sigemptyset(&action.sa_mask);
    code_at_end = code;
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

unsigned transport_mpi_start_seconds(void) {
    const char *text = getenv("GRIDFOLD_START_SECONDS");
    long seconds = text ? strtol(text, NULL, 10) : 0;
    return seconds > 0 && seconds < 86400 ? (unsigned)seconds : START_SECONDS;
}

enum status transport_mpi_begin(transport_mpi **out, int *rank, int *size, struct error *err) {
    transport_mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi)
        return error_memory(err, "MPI transport");
    int provided;
    leave_in_time(EXIT_NO_START, transport_mpi_start_seconds());
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    alarm(0);
    if (code != MPI_SUCCESS) {
        free(mpi);
        return mpi_error(code, "MPI_Init", err);
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi->size);
    mpi->peers = calloc((size_t)mpi->size, sizeof *mpi->peers);
    if (!mpi->peers) {
        MPI_Abort(MPI_COMM_WORLD, 1);
        return error_memory(err, "MPI transport");
    }
    int length = 0;
    MPI_Get_library_version(mpi->version, &length);
    mpi->version[strcspn(mpi->version, ",\n")] = 0;
    mpi->parent = getppid();
    *rank = mpi->rank;
    *size = mpi->size;
    *out = mpi;
    return STATUS_OK;
}

// With ULFM MPI tells of dead ranks by errors; once they have been acknowledged, messages of the others come through
// again. True: there are such ranks. (Open MPI 5 has ULFM, and tells where mpirun was given --with-ft ulfm; the 4.1 of
// Debian 12 has none, and nothing is ever told.)
static bool note_failures(transport_mpi *mpi) {
#ifdef OMPI_HAVE_MPI_EXT_FTMPI
    MPI_Group failed, world;
    int count = 0;
    MPIX_Comm_failure_ack(MPI_COMM_WORLD);
    MPIX_Comm_failure_get_acked(MPI_COMM_WORLD, &failed);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_size(failed, &count);
    for (int i = 0; i < count; i++) {
        int rank;
        MPI_Group_translate_ranks(failed, 1, &i, world, &rank);
        mpi->peers[rank].failed = true;
    }
    MPI_Group_free(&failed);
    MPI_Group_free(&world);
    return count > 0;
#else
    (void)mpi;
    return false;
#endif
}

// Lets go of what has left.
static void collect(transport_mpi *mpi) {
    for (struct outgoing **o = &mpi->outgoing; *o;) {
        int left = 0;
        bool failed = MPI_Test(&(*o)->request, &left, MPI_STATUS_IGNORE) != MPI_SUCCESS;
        if (!left && !failed) {
            o = &(*o)->next;
            continue;
        }
        struct outgoing *gone = *o;
        *o = gone->next;
        mpi->peers[gone->rank].unsent--;
        free(gone->frame);
        free(gone);
    }
}

static bool flush(transport_mpi *mpi, double seconds) {
    struct idle idle = {0};
    double end = clock_seconds() + seconds;
    for (collect(mpi); mpi->outgoing && clock_seconds() < end; collect(mpi))
        idle_rest(&idle, -1, CAP_US);
    return !mpi->outgoing;
}

void transport_mpi_end(transport_mpi *mpi, bool together, int code) {
    if (mpi->size > 1)
        neighbours_note();
    bool clean = flush(mpi, LAST_WORDS_SECONDS) && together && !mpi->incoming;
    fflush(NULL);
    bool bereft = false;
    for (int i = 0; i < mpi->size; i++)
        bereft = bereft || mpi->peers[i].failed;
    leave_in_time(code, bereft ? BEREFT_SECONDS : FINALIZE_SECONDS);
    if (!clean) {
        MPI_Abort(MPI_COMM_WORLD, code);
        _exit(code);
    }
    MPI_Finalize();
    alarm(0);
    // Whoever is stopped between its last message and its exit has nobody to see it but those that leave later: the
    // master leaves last.
    if (mpi->rank == 0)
        neighbours_outlive(OUTLIVE_SECONDS);
    else
        neighbours_continue();
    free(mpi->peers);
    free(mpi);
}

// A rank that is gone must not be written to without end: MPI says nothing of its death, and keeps what it has been
// given. Heartbeats to one that does not answer become rarer and rarer; at most MAX_UNSENT frames wait for it. What the
// master drops was for a rank that will be taken for lost, or be asked again when it is heard; a worker drops nothing.
static bool is_worth_sending(transport_mpi *mpi, int rank, const struct message *m) {
    struct peer *p = &mpi->peers[rank];
    if (p->failed || p->unsent >= MAX_UNSENT)
        return false;
    if (m->kind != MESSAGE_HEARTBEAT)
        return true;
    double t = clock_seconds();
    if (t < p->ping_due)
        return false;
    int rare = p->unanswered++ - PATIENT_PINGS;
    if (rare >= 0)
        p->ping_due = t + (double)(1L << (rare < 12 ? rare : 12)); // at last once an hour
    return true;
}

static enum status post(transport_mpi *mpi, int rank, const struct message *m, struct error *err) {
    collect(mpi);
    if (!is_worth_sending(mpi, rank, m))
        return STATUS_OK;
    struct outgoing *o = calloc(1, sizeof *o);
    if (!o)
        return error_memory(err, "message");
    size_t bytes;
    enum status status = message_encode(m, &o->frame, &bytes, err);
    if (status != STATUS_OK) {
        free(o);
        return status;
    }
    int code = MPI_Isend(o->frame, (int)bytes, MPI_CHAR, rank, TAG, MPI_COMM_WORLD, &o->request);
    if (code != MPI_SUCCESS) {
        free(o->frame);
        free(o);
        if (note_failures(mpi))
            return STATUS_OK;
        return mpi_error(code, "MPI_Isend", err);
    }
    o->rank = rank;
    o->next = mpi->outgoing;
    mpi->outgoing = o;
    mpi->peers[rank].unsent++;
    return STATUS_OK;
}

static enum status decode(char *frame, size_t bytes, struct message *m, struct error *err) {
    struct inbox inbox = {.data = frame, .size = bytes, .capacity = bytes};
    bool got;
    TRY(inbox_take(&inbox, m, &got, err));
    if (!got || inbox.taken != bytes)
        return error_set(err, STATUS_FORMAT, "message: a frame that is cut short");
    return STATUS_OK;
}

// Begins to receive what has been announced.
static void receive_heads(transport_mpi *mpi) {
    struct incoming **last = &mpi->incoming;
    while (*last)
        last = &(*last)->next;
    for (;;) {
        int there = 0;
        MPI_Message head;
        MPI_Status s;
        if (MPI_Improbe(MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD, &there, &head, &s) != MPI_SUCCESS) {
            note_failures(mpi);
            return;
        }
        if (!there)
            return;
        int bytes = 0;
        MPI_Get_count(&s, MPI_CHAR, &bytes);
        struct incoming *in = calloc(1, sizeof *in);
        char *frame = malloc((size_t)bytes + 1);
        // A message that is lost here would never be sent again: rather the whole job, which goes on from its files.
        if (!in || !frame || MPI_Imrecv(frame, bytes, MPI_CHAR, &head, &in->request) != MPI_SUCCESS) {
            fprintf(stderr, "gridfold: rank %d: cannot receive %d bytes\n", mpi->rank, bytes);
            MPI_Abort(MPI_COMM_WORLD, 1);
            _exit(1);
        }
        in->frame = frame;
        in->bytes = bytes;
        in->rank = s.MPI_SOURCE;
        *last = in;
        last = &in->next;
    }
}

// One that waits for its rest keeps back the later ones of the same rank.
static bool is_behind_another(const transport_mpi *mpi, const struct incoming *in) {
    for (const struct incoming *i = mpi->incoming; i != in; i = i->next)
        if (i->rank == in->rank)
            return true;
    return false;
}

// The first message that is whole.
static struct incoming *take_whole(transport_mpi *mpi) {
    for (struct incoming **i = &mpi->incoming; *i; i = &(*i)->next) {
        int whole = 0;
        if (is_behind_another(mpi, *i) || MPI_Test(&(*i)->request, &whole, MPI_STATUS_IGNORE) != MPI_SUCCESS || !whole)
            continue;
        struct incoming *in = *i;
        *i = in->next;
        return in;
    }
    return NULL;
}

// A message that is lost may be a result, for which the sender would wait for ever: where there is no memory to read it
// the job ends, and the same command goes on.
static bool read_frame(transport_mpi *mpi, const struct incoming *in, struct message *m) {
    enum { TRIES = 500, PAUSE_NS = 10000000 };
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct error err;
    enum status status = decode(in->frame, (size_t)in->bytes, m, &err);
    for (int i = 0; i < TRIES && status == STATUS_MEMORY; i++) {
        nanosleep(&pause, NULL);
        status = decode(in->frame, (size_t)in->bytes, m, &err);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "gridfold: rank %d: from rank %d: %s\n", mpi->rank, in->rank, err.message);
    if (status == STATUS_MEMORY)
        MPI_Abort(MPI_COMM_WORLD, 1);
    return status == STATUS_OK;
}

static bool take(transport_mpi *mpi, int *rank, struct message *m) {
    struct incoming *in = take_whole(mpi);
    if (!in) {
        receive_heads(mpi);
        in = take_whole(mpi);
    }
    if (!in)
        return false;
    bool ok = read_frame(mpi, in, m);
    *rank = in->rank;
    mpi->peers[in->rank].unanswered = 0;
    mpi->peers[in->rank].ping_due = 0;
    free(in->frame);
    free(in);
    return ok;
}

// The launcher's process on this host has been killed: what it would have done, TERM, is done without it.
static void watch_parent(transport_mpi *mpi) {
    if (mpi->parent == 0 || getppid() == mpi->parent)
        return;
    mpi->parent = 0;
    raise(SIGTERM);
}

// ---- rank 0 ----

static enum status master_send(void *self, int to, const struct message *m, struct error *err) {
    return post(self, to + 1, m, err);
}

static bool master_receive(void *self, int *from, struct message *m) {
    int rank;
    if (!take(self, &rank, m))
        return false;
    *from = rank - 1;
    return true;
}

static bool master_is_dead(void *self, int worker) {
    const transport_mpi *mpi = self;
    return mpi->peers[worker + 1].failed;
}

static void master_rest(void *self, struct idle *idle) {
    watch_parent(self);
    idle_rest(idle, -1, CAP_US);
}

struct transport transport_mpi_master(transport_mpi *mpi) {
    return (struct transport){.self = mpi,
                              .workers = mpi->size - 1,
                              .first_rank = 1,
                              .name = mpi->version,
                              .send = master_send,
                              .receive = master_receive,
                              .is_dead = master_is_dead,
                              .rest = master_rest};
}

// ---- the other ranks ----

struct serving {
    transport_mpi *mpi;
    station *station;
    double heard;   // when the master last spoke; at first when serving began
    double silence; // how long it may be silent
    double leaving; // when the worker was told to leave; 0: it was not
    bool asked;     // the master has been asked to stop the sweep
};

// Epochs and results must not be dropped: where the master takes nothing they stay with the trainer, until it does or
// is given up. What has left meanwhile is noticed here: nothing is posted while there is no room.
static bool has_room(const struct serving *s) {
    if (s->mpi->peers[0].unsent >= MAX_UNSENT)
        collect(s->mpi);
    return s->mpi->peers[0].unsent < MAX_UNSENT;
}

// One round; true: something was moved.
static bool exchange(struct serving *s) {
    struct message m;
    struct error err;
    int rank;
    bool busy = false;
    while (take(s->mpi, &rank, &m)) {
        s->heard = clock_seconds();
        if (m.kind == MESSAGE_HEARTBEAT && m.code > 0)
            s->silence = m.code;
        station_deliver(s->station, &m);
        busy = true;
    }
    while (has_room(s) && station_next(s->station, &m)) {
        if (post(s->mpi, 0, &m, &err) != STATUS_OK)
            fprintf(stderr, "gridfold: rank %d: %s\n", s->mpi->rank, err.message);
        busy = true;
    }
    return busy;
}

// A job that is to make way: the master hears of it before it hears that this worker's trial has stopped, so that it
// does not hand it out again.
static void ask_to_stop(struct serving *s) {
    struct message stop = {.kind = MESSAGE_STOP};
    struct error err;
    s->asked = true;
    if (post(s->mpi, 0, &stop, &err) != STATUS_OK)
        fprintf(stderr, "gridfold: rank %d: %s\n", s->mpi->rank, err.message);
    station_deliver(s->station, &stop);
}

static void obey(struct serving *s, const struct transport_mpi_orders *orders) {
    watch_parent(s->mpi);
    if (*orders->stop && !s->asked)
        ask_to_stop(s);
    if (*orders->leave && s->leaving == 0) {
        s->leaving = clock_seconds();
        station_leave(s->station);
    }
}

// A worker that leaves by itself waits for the master's bye all the same: MPI_Finalize needs everyone. But the master
// may be gone, or on its way out itself; without mpirun there is nothing to wait for.
static bool is_alone(const struct serving *s) {
    double silent = clock_seconds() - s->heard;
    if (s->mpi->peers[0].failed)
        return true;
    bool farewell = s->leaving > 0 && station_is_gone(s->station);
    return silent > s->silence || (farewell && (silent > FAREWELL_SECONDS || s->mpi->parent == 0));
}

static int end_alone(const struct serving *s) {
    if (s->mpi->peers[0].failed)
        fprintf(stderr, "gridfold: rank %d: the master has died: leaving\n", s->mpi->rank);
    else if (s->mpi->parent != 0)
        fprintf(stderr, "gridfold: rank %d: nothing heard of the master for %.0f s: leaving\n", s->mpi->rank,
                clock_seconds() - s->heard);
    station_destroy(s->station);
    _exit(EXIT_MASTER_SILENT);
}

int transport_mpi_serve(transport_mpi *mpi, const struct station_config *config,
                        const struct transport_mpi_orders *orders) {
    struct serving s = {
        .mpi = mpi, .heard = clock_seconds(), .silence = FIRST_WORD_FACTOR * transport_mpi_start_seconds()};
    struct error err;
    if (station_create(config, &s.station, &err) != STATUS_OK) {
        fprintf(stderr, "gridfold: rank %d: %s\n", mpi->rank, err.message);
        MPI_Abort(MPI_COMM_WORLD, 1);
        return 1;
    }
    struct idle idle = {0};
    while (!(station_is_gone(s.station) && station_is_dismissed(s.station))) {
        obey(&s, orders);
        if (exchange(&s))
            idle_reset(&idle);
        else if (is_alone(&s))
            return end_alone(&s);
        else
            idle_rest(&idle, has_room(&s) ? station_descriptor(s.station) : -1, CAP_US);
    }
    int code = station_exit_code(s.station);
    station_destroy(s.station);
    return code;
}
