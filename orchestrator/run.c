#include "orchestrator/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/master.h"
#include "orchestrator/transport_mpi.h"
#include "results/report.h"
#include "worker/trainer_process.h"

static const double GOODBYE_SECONDS = 10;

static volatile int stop_signals;

static void on_signal(int number) {
    (void)number;
    stop_signals++;
}

static void install(const int *signals, size_t count, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < count; i++)
        sigaction(signals[i], &action, NULL);
}

// The master is asked to stop by any of these. A worker is told by the master, but for TERM: then the launcher is about
// to kill it, and there is no time to ask.
static void install_signals(bool master) {
    static const int stops[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}, others[] = {SIGINT, SIGUSR1, SIGUSR2};
    static const int terminate[] = {SIGTERM}, pipe[] = {SIGPIPE};
    if (master) {
        install(stops, sizeof stops / sizeof *stops, on_signal);
    } else {
        install(others, sizeof others / sizeof *others, SIG_IGN);
        install(terminate, 1, on_signal);
    }
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
    bool *gone;
    int terminal;
};

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
static enum status open_dataset(struct job *j, struct error *err) {
    char *absolute = realpath(j->sweep->dataset, NULL);
    enum status status = dataset_open(absolute ? absolute : j->sweep->dataset, &j->ds, err);
    free(absolute);
    return status;
}

static enum status job_open(struct job *j, struct error *err) {
    TRY(open_dataset(j, err));
    TRY(plan_create(j->sweep, j->ds, &j->plan, err));
    TRY(plan_check_runnable(j->plan, err));
    TRY(run_folder_open(j->sweep, j->ds, &j->folder, err));
    j->terminal = progress_find_terminal(j->transport->first_rank > 0);
    return progress_create(stdout, j->terminal, j->transport->workers, j->transport->first_rank, &j->progress, err);
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
        .stops = &stop_signals,
        .gone = j->gone,
    };
    return master_run(&config, ending, err);
}

static void count_trials(const struct job *j, int *done, int *failed, int *total) {
    *total = j->plan->trial_count;
    *done = *failed = 0;
    for (int i = 0; i < *total; i++) {
        const struct trial_result *r = run_folder_result(j->folder, j->plan, i);
        *done += r && r->status == TRIAL_DONE;
        *failed += r && r->status != TRIAL_DONE;
    }
}

static int conclude(struct job *j, enum scheduler_ending ending) {
    int done, failed, total;
    char failures[64] = "";
    count_trials(j, &done, &failed, &total);
    if (failed > 0)
        snprintf(failures, sizeof failures, ", %d failed or diverged", failed);
    progress_destroy(j->progress);
    j->progress = NULL;
    if (ending != SCHEDULER_ALL_DONE) {
        printf("%s: %d of %d trials done%s; the same command goes on\n",
               ending == SCHEDULER_STOPPED ? "stopped" : "no workers are left", done, total, failures);
        return RUN_STOPPED;
    }
    const char *path = run_folder_path(j->folder);
    struct error err;
    if (report_write(&path, 1, NULL, stdout, &err) != STATUS_OK) {
        error_prefix(&err, "the sweep is complete, but its report cannot be written");
        complain(&err);
    }
    printf("%d of %d trials done%s; results in %s\n", done, total, failures, path);
    return failed == total && total > 0 ? RUN_ERROR : RUN_OK;
}

typedef enum status load_function(int argc, char **argv, struct sweep **sweep, struct error *err);

static int run_master(int argc, char **argv, load_function *load, struct transport *t, bool *gone) {
    struct job j = {.transport = t, .gone = gone, .terminal = -1};
    struct error err = {0};
    enum scheduler_ending ending = SCHEDULER_RUNNING;
    enum status status = load(argc, argv, &j.sweep, &err);
    if (status == STATUS_OK)
        status = job_open(&j, &err);
    if (status == STATUS_OK)
        status = job_run(&j, &ending, &err);
    int code = RUN_ERROR;
    if (status == STATUS_OK) {
        code = conclude(&j, ending);
    } else {
        progress_destroy(j.progress);
        j.progress = NULL;
        complain(&err);
    }
    job_free(&j);
    fflush(stdout);
    return code;
}

// Masters over `t` to the end and sends the workers home; *together: all have answered.
static int run_and_dismiss(int argc, char **argv, load_function *load, struct transport *t, bool *together) {
    bool *gone = calloc((size_t)t->workers + 1, sizeof *gone);
    int code = RUN_ERROR;
    if (gone)
        code = run_master(argc, argv, load, t, gone);
    *together = transport_dismiss(t, code, gone, GOODBYE_SECONDS);
    free(gone);
    return code;
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
        struct station_config config = {0};
        install_signals(false);
        stop_signals = 0; // what came before was for the master
        code = transport_mpi_serve(mpi, &config, &stop_signals);
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
