#include "orchestrator/run.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "orchestrator/gpu_fit.h"
#include "orchestrator/master.h"
#include "orchestrator/plan_device.h"
#include "orchestrator/transport_mpi.h"
#include "orchestrator/verdict.h"
#include "results/report.h"
#include "worker/devices.h"
#include "worker/trainer_process.h"

static const double GOODBYE_SECONDS = 10;

// What signals have asked for. `stops` counts for the master: one asks, two insist, and only a repeated Ctrl-C insists:
// USR1, USR2 and TERM may reach a rank from the batch system and from mpirun at the same moment.
static volatile int stops, preempted, terminated;

static void on_signal(int number) {
    if (number == SIGINT || stops == 0)
        stops++;
    if (number == SIGUSR1 || number == SIGUSR2)
        preempted = 1;
    if (number == SIGTERM)
        terminated = 1;
}

static void install(const int *signals, size_t count, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < count; i++)
        sigaction(signals[i], &action, NULL);
}

// Any of these asks the master to stop the sweep. USR1 or USR2 on a worker does so too, through the master; TERM says
// that this rank is about to be killed, and is no word about the others: mpirun sends it when it gives a job up.
static void install_signals(bool master) {
    static const int handled[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}, interrupt[] = {SIGINT}, pipe[] = {SIGPIPE};
    install(handled, sizeof handled / sizeof *handled, on_signal);
    if (!master)
        install(interrupt, 1, SIG_IGN);
    install(pipe, 1, SIG_IGN);
}

static void complain(const struct error *err) {
    fflush(stdout);
    fprintf(stderr, "gridfold: error: %s\n", err->message);
}

// Everything that a sweep on rank 0 holds.
struct job {
    struct sweep *sweep;
    dataset *ds;
    struct plan *plan;
    run_folder *folder;
    progress *progress;
    struct transport *transport;
    bool *gone, *absent;
    long *neighbours;
    double began;
    int terminal;
};

// ---- the verdict ----

// Says how the run stands: to a launcher that watches, and in the run folder once it is ours.
static void tell(const struct job *j, enum verdict_state state, int code, const char *message) {
    struct verdict v = verdict_here(state, code, message);
    struct error err;
    char path[PATH_SIZE];
    const char *watched = getenv(VERDICT_VARIABLE);
    if (watched && verdict_write(watched, &v, &err) != STATUS_OK)
        complain(&err);
    if (j->folder && path_join(path, run_folder_path(j->folder), "status", &err) == STATUS_OK &&
        verdict_write(path, &v, &err) != STATUS_OK)
        complain(&err);
}

static void tell_alive(void) {
    const char *watched = getenv(VERDICT_VARIABLE);
    if (watched)
        utimensat(AT_FDCWD, watched, NULL, 0);
}

// ---- the job ----

static void job_free(struct job *j) {
    progress_destroy(j->progress);
    if (j->terminal >= 0)
        close(j->terminal);
    run_folder_close(j->folder);
    plan_destroy(j->plan);
    dataset_close(j->ds);
    sweep_destroy(j->sweep);
}

// Trainers may run elsewhere: they get the whole path.
static enum status open_dataset(const struct sweep *sweep, dataset **ds, struct error *err) {
    if (sweep->program.kind != TRAINER_EMBEDDED)
        return STATUS_OK;
    char *absolute = realpath(sweep->dataset, NULL);
    enum status status = dataset_open(absolute ? absolute : sweep->dataset, ds, err);
    free(absolute);
    return status;
}

static enum status open_plan(const struct sweep *sweep, dataset **ds, struct plan **plan, struct error *err) {
    TRY(open_dataset(sweep, ds, err));
    TRY(plan_create(sweep, *ds, plan, err));
    TRY(plan_check_runnable(*plan, err));
    TRY(plan_check_device(*plan, err));
    return gpu_fit_check_run(*plan, err);
}

enum status run_check(const struct sweep *sweep, struct error *err) {
    dataset *ds = NULL;
    struct plan *plan = NULL;
    enum status status = open_plan(sweep, &ds, &plan, err);
    plan_destroy(plan);
    dataset_close(ds);
    return status;
}

static enum status job_open(struct job *j, struct error *err) {
    TRY(open_plan(j->sweep, &j->ds, &j->plan, err));
    TRY(run_folder_open(j->sweep, j->ds, &j->folder, err));
    j->terminal = progress_find_terminal(j->transport->first_rank > 0);
    return progress_create(stdout, j->terminal, j->transport->workers, j->transport->first_rank, &j->sweep->program,
                           &j->progress, err);
}

// The sweep's own limit counts from here, and the nearer of the two ends holds; one that has passed is passed.
static void set_limit(const struct job *j, struct master_config *config) {
    double t = clock_seconds(), left = time_limit_from_environment();
    if (j->sweep->time_limit > 0 && !getenv(TIME_LIMIT_VARIABLE))
        left = fmin(left, j->sweep->time_limit - (t - j->began));
    config->began = j->began;
    if (isfinite(left))
        config->end = t + left;
}

static enum status job_run(struct job *j, enum scheduler_ending *ending, struct error *err) {
    const char *verb = run_folder_is_resumed(j->folder) ? "going on with" : "starting";
    progress_note(j->progress, "%s %s in %s", verb, j->sweep->name, run_folder_path(j->folder));
    struct master_config config = {
        .sweep = j->sweep,
        .ds = j->ds,
        .plan = j->plan,
        .folder = j->folder,
        .transport = j->transport,
        .progress = j->progress,
        .stops = &stops,
        .gone = j->gone,
        .absent = j->absent,
        .neighbours = j->neighbours,
        .alive = tell_alive,
    };
    set_limit(j, &config);
    tell(j, VERDICT_RUNNING, 0, "");
    return master_run(&config, ending, err);
}

static void count_trials(const struct job *j, int *done, int *failed, int *stopped, int *total) {
    *total = j->plan->trial_count;
    *done = *failed = *stopped = 0;
    for (int i = 0; i < *total; i++) {
        const struct trial_result *r = run_folder_result(j->folder, j->plan, i);
        *done += r && r->status == TRIAL_DONE;
        *stopped += r && r->status == TRIAL_STOPPED;
        *failed += r && r->status != TRIAL_DONE && r->status != TRIAL_STOPPED;
    }
}

static enum verdict_state judge(enum scheduler_ending ending, bool all_failed) {
    switch (ending) {
    case SCHEDULER_ALL_DONE:
        return all_failed ? VERDICT_ALL_FAILED : VERDICT_DONE;
    case SCHEDULER_NO_WORKERS:
    case SCHEDULER_QUARANTINED:
        return VERDICT_NO_WORKERS;
    default:
        return terminated ? VERDICT_TERMINATED : VERDICT_STOPPED;
    }
}

// Prints how it ended, and says it in *v.
static void conclude(struct job *j, enum scheduler_ending ending, struct verdict *v) {
    int done, failed, stopped, total;
    char early[48] = "", failures[48] = "", rest[96] = "";
    count_trials(j, &done, &failed, &stopped, &total);
    if (stopped > 0)
        snprintf(early, sizeof early, ", %d stopped early", stopped);
    if (failed > 0)
        snprintf(failures, sizeof failures, ", %d failed or diverged", failed);
    if (j->plan->withheld > 0)
        snprintf(rest, sizeof rest, ", %d left out by run-cap = %d", j->plan->withheld, j->sweep->run_cap);
    progress_destroy(j->progress);
    j->progress = NULL;
    v->state = judge(ending, failed > 0 && failed == total - j->plan->withheld);
    snprintf(v->message, sizeof v->message, "%d of %d trials done%s%s%s", done, total, early, failures, rest);
    if (ending != SCHEDULER_ALL_DONE) {
        static const char *const why[] = {
            [SCHEDULER_STOPPED] = "stopped",
            [SCHEDULER_NO_WORKERS] = "no workers are left",
            [SCHEDULER_QUARANTINED] =
                "no workers are left: the trainers of all keep failing (why: logs/ and events.csv)",
        };
        printf("%s: %s; the same command goes on\n", why[ending], v->message);
        v->exit_code = RUN_STOPPED;
        return;
    }
    const char *path = run_folder_path(j->folder);
    struct error err;
    tell(j, VERDICT_FINISHING, 0, v->message);
    bool report = j->sweep->program.kind != TRAINER_NONE; // there is nothing to be learnt from such results
    struct report_config config = {.run = &path, .runs = 1, .terminal = stdout};
    if (report && report_write(&config, &err) != STATUS_OK) {
        error_prefix(&err, "the sweep is complete, but its report cannot be written");
        complain(&err);
        *v = verdict_here(VERDICT_ERROR, RUN_ERROR, err.message);
        return;
    }
    printf("%s; results in %s\n", v->message, path);
    v->exit_code = v->state == VERDICT_ALL_FAILED ? RUN_ERROR : RUN_OK;
}

typedef enum status load_function(int argc, char **argv, struct sweep **sweep, struct error *err);

static void run_master(struct job *j, int argc, char **argv, load_function *load, struct verdict *v) {
    struct error err = {0};
    enum scheduler_ending ending = SCHEDULER_RUNNING;
    tell(j, VERDICT_STARTING, 0, "");
    enum status status = load(argc, argv, &j->sweep, &err);
    if (status == STATUS_OK)
        status = job_open(j, &err);
    bool busy = status == STATUS_LOST && !j->folder;
    if (status == STATUS_OK)
        status = job_run(j, &ending, &err);
    if (status == STATUS_OK) {
        conclude(j, ending, v);
    } else {
        progress_destroy(j->progress);
        j->progress = NULL;
        complain(&err);
        *v = verdict_here(busy ? VERDICT_BUSY : VERDICT_ERROR, RUN_ERROR, err.message);
    }
    fflush(stdout);
}

// A rank of this host that has not answered the goodbye is stopped or hangs, and mpirun would wait for it for ever. Its
// parent tells that the process is still the one that said hello.
static void end_silent_neighbours(const struct job *j) {
    for (int w = 0; w < j->transport->workers; w++)
        if (!j->gone[w] && j->neighbours[w] > 0 && j->neighbours[w] != getpid() &&
            agent_parent_of(j->neighbours[w]) == getppid())
            kill((pid_t)j->neighbours[w], SIGKILL);
}

// Masters over `t` to the end and sends the workers home; *together: all have answered.
static int run_and_dismiss(int argc, char **argv, load_function *load, struct transport *t, bool *together) {
    long *neighbours = calloc((size_t)t->workers + 1, sizeof *neighbours);
    bool *flags = calloc(2 * (size_t)t->workers + 1, sizeof *flags);
    struct job j = {.transport = t,
                    .gone = flags,
                    .absent = flags ? flags + t->workers : NULL,
                    .neighbours = neighbours,
                    .began = clock_seconds(),
                    .terminal = -1};
    struct verdict v = verdict_here(VERDICT_ERROR, RUN_ERROR, "out of memory");
    if (flags && neighbours)
        run_master(&j, argc, argv, load, &v);
    else
        complain(&(struct error){STATUS_MEMORY, "out of memory: one array a worker"});
    *together = transport_dismiss(t, v.exit_code, j.gone, j.absent, GOODBYE_SECONDS);
    if (flags && neighbours)
        end_silent_neighbours(&j);
    tell(&j, v.state, v.exit_code, v.message);
    job_free(&j);
    free(flags);
    free(neighbours);
    return v.exit_code;
}

static int run_local(int argc, char **argv, load_function *load) {
    struct transport t;
    struct error err;
    struct station_config config = {0};
    if (transport_local_create(&config, &t, &err) != STATUS_OK) {
        complain(&err);
        return RUN_ERROR;
    }
    bool together;
    int code = run_and_dismiss(argc, argv, load, &t, &together);
    transport_local_destroy(&t);
    return code;
}

static int run_under_mpi(int argc, char **argv, load_function *load) {
    transport_mpi *mpi;
    int rank, size;
    struct error err;
    if (transport_mpi_begin(&mpi, &rank, &size, &err) != STATUS_OK) {
        complain(&err);
        return RUN_ERROR;
    }
    bool together = true;
    int code;
    if (size == 1) {
        code = run_local(argc, argv, load);
    } else if (rank == 0) {
        struct transport t = transport_mpi_master(mpi);
        code = run_and_dismiss(argc, argv, load, &t, &together);
    } else {
        struct station_config config = {.rank = true};
        struct transport_mpi_orders orders = {.stop = &preempted, .leave = &terminated};
        install_signals(false);
        code = transport_mpi_serve(mpi, &config, &orders);
    }
    transport_mpi_end(mpi, together, code);
    return code;
}

int run_sweep(int argc, char **argv, load_function *load) {
    install_signals(true); // before MPI_Init, which takes its time
    agent_unbind();
    return transport_mpi_is_launched() ? run_under_mpi(argc, argv, load) : run_local(argc, argv, load);
}

int run_trainer_process(void) {
    return trainer_process_run(TRAINER_PROCESS_FD);
}

int run_trainer_devices(bool memory) {
    struct error err;
    if (devices_print(memory, stdout, &err) == STATUS_OK && fflush(stdout) == 0)
        return RUN_OK;
    complain(&err);
    return RUN_ERROR;
}

int run_trainer_member(void) {
    return trainer_process_run_member(TRAINER_PROCESS_FD);
}
