// The wall-clock limit of a job: when running trials must be asked to stop, and until when it makes sense to start one.
//
// Pure: times are seconds of any one clock. What a stop takes is measured: the longest time a trainer needed from one
// place where it can checkpoint to the next (a step and the writing of a checkpoint, or a validation pass), and the
// longest time from a trial's start to its first such place. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_TIME_LIMIT_H
#define GRIDFOLD_ORCHESTRATOR_TIME_LIMIT_H

struct time_limit {
    double began, end;     // end 0: there is no limit
    double pause, startup; // the longest measured so far
};

void time_limit_learn(double *longest, double seconds);
// Ask running trials to stop: twice the longest pause before the end, and a twentieth of the whole (2 to 30 s) for
// what comes after it.
double time_limit_stop(const struct time_limit *l);
// No trial is started later: it would be asked to stop before it can checkpoint.
double time_limit_last_start(const struct time_limit *l);

// Seconds from now to the end of the job as the environment says it: GRIDFOLD_END_TIME (gridfold launch) or
// SLURM_JOB_END_TIME, both in seconds since 1970, the nearer one. Infinite: it says nothing.
double time_limit_from_environment(void);

#define TIME_LIMIT_VARIABLE "GRIDFOLD_END_TIME"

#endif
