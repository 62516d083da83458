#include "orchestrator/launch_try.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "orchestrator/launch_process.h"
#include "worker/agent.h"

enum stage { WATCHED, TERMINATED, KILLED };

struct watch {
    struct launch_try *t;
    const struct launch_patience *patience;
    const char *status_path;
    pid_t mpirun;
    enum stage stage;
    double staged;         // when it began
    struct timespec touch; // of the status file
    ino_t file;
    double heard; // when that last changed; at first the start
    double asked; // when a stop was first asked for; 0: not yet
    double ended; // when the verdict came; 0: not yet
};

static void take_verdict(struct watch *w) {
    struct stat s;
    struct error err;
    struct verdict v;
    if (stat(w->status_path, &s) != 0 ||
        (s.st_ino == w->file && s.st_mtim.tv_sec == w->touch.tv_sec && s.st_mtim.tv_nsec == w->touch.tv_nsec))
        return;
    if (verdict_read(w->status_path, &v, &err) != STATUS_OK)
        return;
    w->file = s.st_ino;
    w->touch = s.st_mtim;
    w->heard = clock_seconds();
    w->t->began = true;
    w->t->verdict = v;
    w->t->judged = verdict_is_final(v.state);
    if (w->t->judged && w->ended == 0)
        w->ended = w->heard;
}

static void signal_mpirun(struct watch *w, int number) {
    kill(w->mpirun, number);
    w->stage = number == SIGKILL ? KILLED : TERMINATED;
    w->staged = clock_seconds();
}

// TERM lets mpirun end its ranks, which takes it a while; without it they see for themselves that it is gone.
static void end(struct watch *w, const char *why, int number) {
    if (w->stage != WATCHED)
        return;
    if (!w->t->trouble && !w->t->judged)
        w->t->trouble = why;
    signal_mpirun(w, number);
}

// USR1 before the ranks are ready for it would kill them; nothing has begun then.
static void pass_on_stop(struct watch *w, struct launch_stops stops) {
    if (stops.insist)
        end(w, "stopped at once", SIGTERM);
    if (stops.asked == 0 || w->asked > 0)
        return;
    w->asked = clock_seconds();
    w->t->stopped = true;
    if (w->t->began)
        kill(w->mpirun, SIGUSR1);
    else
        end(w, "stopped before it began", SIGTERM);
}

// Rank 0 on this host: how it is can be asked.
static bool master_is_here(const struct watch *w) {
    char host[sizeof w->t->verdict.host] = "";
    gethostname(host, sizeof host - 1);
    return w->t->began && strcmp(host, w->t->verdict.host) == 0;
}

// mpirun with --enable-recovery does not mind rank 0's death, and hangs now and then without having taken note of it.
static bool master_is_gone(struct watch *w) {
    if (w->t->judged || !master_is_here(w) || !agent_has_ended(w->t->verdict.process))
        return false;
    take_verdict(w); // its last word may have come just now
    return !w->t->judged;
}

static void lose_patience(struct watch *w) {
    const struct launch_patience *p = w->patience;
    double t = clock_seconds(), silent = t - w->heard;
    enum verdict_state state = w->t->verdict.state;
    if (w->ended > 0) {
        if (t - w->ended > p->linger)
            end(w, "", SIGTERM);
    } else if (w->asked > 0 && t - w->asked > p->stop) {
        end(w, "it did not stop in time", SIGKILL);
    } else if (master_is_gone(w)) {
        end(w, "rank 0 died", SIGKILL);
    } else if (!w->t->began && silent > p->start) {
        end(w, "rank 0 never began", SIGKILL);
    } else if (silent > p->beat && master_is_here(w) && agent_is_stopped(w->t->verdict.process)) {
        end(w, "rank 0 was stopped", SIGKILL); // it has no long work to do while it is
    } else if (w->t->began && silent > (state == VERDICT_RUNNING ? p->beat : p->work)) {
        end(w, "rank 0 fell silent", SIGKILL);
    }
    // After the verdict nothing is left to be saved.
    if (w->stage == TERMINATED && t - w->staged > (w->t->judged ? 1 : p->kill))
        signal_mpirun(w, SIGKILL);
}

enum status launch_try_run(char *const *argv, const char *status_path, const struct launch_patience *patience,
                           struct launch_try *t, struct error *err) {
    *t = (struct launch_try){0};
    struct watch w = {.t = t, .patience = patience, .status_path = status_path, .heard = clock_seconds()};
    if (unlink(status_path) != 0 && errno != ENOENT)
        return error_set(err, STATUS_IO, "cannot remove %s: %s", status_path, strerror(errno));
    TRY(launch_spawn(argv, -1, &w.mpirun, err));
    while (!launch_has_ended(w.mpirun, &t->wait_status)) {
        struct launch_stops stops = launch_wait(0.1);
        take_verdict(&w);
        pass_on_stop(&w, stops);
        lose_patience(&w);
    }
    launch_end_children(patience->kill);
    take_verdict(&w);
    unlink(status_path);
    return STATUS_OK;
}
