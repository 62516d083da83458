// A sweep of many ranks without ranks: the scheduler, driven by simulated workers, hosts and messages in simulated
// time.
//
// Messages take time and never overtake each other on one way; a silent worker goes on training, and its words arrive
// when it is back; trainers crash, run out of device memory, are slow; workers die, leave, come late; the master is
// killed, and starts again from what its CSV files would hold. With rungs the master decides as the real one does, by
// orchestrator/rungs.h on a plan. Everything follows from the seed.
//
// The master's side of every rule is kept and checked beside the scheduler: see `violation`.
#ifndef TESTS_ORCHESTRATOR_SIMULATION_H
#define TESTS_ORCHESTRATOR_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

struct simulation_config {
    uint64_t seed;
    int ranks, trials;
    int workers_per_host, workers_per_device;
    int epochs; // of a trial
    // Successive halving of trials / folds configurations (what is left over is trained to its end); 0: none.
    int first_rung, reduction_factor, folds;
    double seconds, sigma;    // a trial's length: log-normal with this median and this deviation of the logarithm
    double estimate_sigma;    // the same for how far its estimated work is off
    double heartbeat_seconds; // of a worker
    // What goes wrong: probabilities, or shares.
    double crash;       // an attempt crashes, at a random moment
    double poison;      // a trial crashes always, before its first epoch
    double hungry;      // a trial that needs more than half of its device's memory
    double bad_workers; // a worker whose trainers all crash at once
    double bad_hosts;   // a host with none but such workers
    double silence;     // a worker falls silent after an epoch, for up to three times worker_timeout
    double death;       // a worker dies after an epoch
    double told;        // the transport knows of a death, seconds later
    double leaves;      // a worker says goodbye after a trial
    double late;        // a worker that joins late
    double stragglers;  // a worker that is four times slower
    int restarts;       // how often the master and all ranks are killed and started again
    int stops;          // how often it is asked to stop, and started again
    int *outcome; // by trial, out: 0 done, -1 given up, else the epochs after which it was stopped; NULL: not asked
};

struct simulation_report {
    char violation[256]; // "": every rule was kept
    double makespan;     // simulated seconds
    double total;        // of all trials' lengths
    double longest;
    double spent;        // simulated seconds that workers trained, lost work included
    double tail;         // from the last assignment to the end
    double cut;          // seconds that workers were cut off, or dead and not missed yet
    double unusable;     // seconds that workers were not there, or in quarantine
    int runs;            // of the master
    int paused, stopped; // at rungs
    int done, given_up, assigned, lost, retried_alone, quarantined, readmitted;
    int hopeless;             // trials that crash always, or need more memory than there is
    long events;              // of the scheduler
    double scheduler_seconds; // real ones
};

// Runs until every trial has its result; a run that ends earlier (stopped, no workers, all in quarantine) is started
// again; after two runs more than restarts and stops call for nothing goes wrong from outside any more.
void simulate(const struct simulation_config *config, struct simulation_report *report);

#endif
