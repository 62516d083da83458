#include "orchestrator/transport_mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAG = 1, CAP_US = 5000, EXIT_MASTER_SILENT = 75 };

// A worker that never hears of the master again must not stay for ever. Before the first word the master may be reading
// a large dataset.
static const double FIRST_WORD_SECONDS = 900, SILENCE_SECONDS = 180;
static const double LAST_WORDS_SECONDS = 5;

struct outgoing {
    MPI_Request request;
    char *frame;
    struct outgoing *next;
};

struct transport_mpi {
    int rank, size;
    struct outgoing *outgoing;
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

enum status transport_mpi_begin(transport_mpi **out, int *rank, int *size, struct error *err) {
    transport_mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi)
        return error_memory(err, "MPI transport");
    int provided;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS) {
        free(mpi);
        return mpi_error(code, "MPI_Init", err);
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi->size);
    int length = 0;
    MPI_Get_library_version(mpi->version, &length);
    mpi->version[strcspn(mpi->version, ",\n")] = 0;
    *rank = mpi->rank;
    *size = mpi->size;
    *out = mpi;
    return STATUS_OK;
}

// Lets go of what has left.
static void collect(transport_mpi *mpi) {
    for (struct outgoing **o = &mpi->outgoing; *o;) {
        int left = 0;
        MPI_Test(&(*o)->request, &left, MPI_STATUS_IGNORE);
        if (!left) {
            o = &(*o)->next;
            continue;
        }
        struct outgoing *gone = *o;
        *o = gone->next;
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
    bool clean = flush(mpi, LAST_WORDS_SECONDS) && together;
    free(mpi);
    fflush(NULL);
    if (!clean) {
        MPI_Abort(MPI_COMM_WORLD, code);
        _exit(code);
    }
    MPI_Finalize();
}

static enum status post(transport_mpi *mpi, int rank, const struct message *m, struct error *err) {
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
        return mpi_error(code, "MPI_Isend", err);
    }
    o->next = mpi->outgoing;
    mpi->outgoing = o;
    collect(mpi);
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

static bool take(transport_mpi *mpi, int from, int *rank, struct message *m) {
    int there = 0, bytes = 0;
    MPI_Status s;
    collect(mpi);
    if (MPI_Iprobe(from, TAG, MPI_COMM_WORLD, &there, &s) != MPI_SUCCESS || !there)
        return false;
    MPI_Get_count(&s, MPI_CHAR, &bytes);
    char *frame = malloc((size_t)bytes + 1);
    struct error err;
    bool ok = false;
    if (frame && MPI_Recv(frame, bytes, MPI_CHAR, s.MPI_SOURCE, TAG, MPI_COMM_WORLD, &s) == MPI_SUCCESS) {
        ok = decode(frame, (size_t)bytes, m, &err) == STATUS_OK;
        if (!ok)
            fprintf(stderr, "gridfold: rank %d: from rank %d: %s\n", mpi->rank, s.MPI_SOURCE, err.message);
    }
    free(frame);
    *rank = s.MPI_SOURCE;
    return ok;
}

// ---- rank 0 ----

static enum status master_send(void *self, int to, const struct message *m, struct error *err) {
    return post(self, to + 1, m, err);
}

static bool master_receive(void *self, int *from, struct message *m) {
    int rank;
    if (!take(self, MPI_ANY_SOURCE, &rank, m))
        return false;
    *from = rank - 1;
    return true;
}

static void master_rest(void *self, struct idle *idle) {
    (void)self;
    idle_rest(idle, -1, CAP_US);
}

struct transport transport_mpi_master(transport_mpi *mpi) {
    return (struct transport){.self = mpi,
                              .workers = mpi->size - 1,
                              .first_rank = 1,
                              .name = mpi->version,
                              .send = master_send,
                              .receive = master_receive,
                              .rest = master_rest};
}

// ---- the other ranks ----

// One round; *busy: something was moved.
static void exchange(transport_mpi *mpi, station *w, double *heard, bool *busy) {
    struct message m;
    struct error err;
    int rank;
    *busy = false;
    while (take(mpi, 0, &rank, &m)) {
        *heard = clock_seconds();
        station_deliver(w, &m);
        *busy = true;
    }
    while (station_next(w, &m)) {
        if (post(mpi, 0, &m, &err) != STATUS_OK)
            fprintf(stderr, "gridfold: rank %d: %s\n", mpi->rank, err.message);
        *busy = true;
    }
}

int transport_mpi_serve(transport_mpi *mpi, const struct station_config *config, const volatile int *leave) {
    station *w;
    struct error err;
    if (station_create(config, &w, &err) != STATUS_OK) {
        fprintf(stderr, "gridfold: rank %d: %s\n", mpi->rank, err.message);
        MPI_Abort(MPI_COMM_WORLD, 1);
        return 1;
    }
    struct idle idle = {0};
    double heard = 0, began = clock_seconds();
    bool left = false, silent = false;
    // A worker that leaves by itself waits for the master's bye all the same: MPI_Finalize needs everyone.
    while (!(station_is_gone(w) && station_is_dismissed(w)) && !silent) {
        bool busy;
        if (*leave && !left) {
            station_leave(w);
            left = true;
        }
        exchange(mpi, w, &heard, &busy);
        double t = clock_seconds();
        silent = heard > 0 ? t - heard > SILENCE_SECONDS : t - began > FIRST_WORD_SECONDS;
        if (busy)
            idle_reset(&idle);
        else
            idle_rest(&idle, station_descriptor(w), CAP_US);
    }
    int code = station_exit_code(w);
    station_destroy(w);
    if (silent) {
        fprintf(stderr, "gridfold: rank %d: nothing heard of the master for %.0f s: leaving\n", mpi->rank,
                heard > 0 ? SILENCE_SECONDS : FIRST_WORD_SECONDS);
        _exit(EXIT_MASTER_SILENT);
    }
    return code;
}
