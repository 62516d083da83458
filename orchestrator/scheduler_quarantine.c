// Whose fault a loss is: the trial's, when it is lost where others get on; a worker's or host's, when it loses one
// trial after the other.
#include "orchestrator/scheduler_state.h"

static bool is_trusted(const struct suspect *suspect) {
    return suspect->proven && suspect->charges == 0;
}

static bool host_is_bad(const scheduler *s, int host) {
    int present = 0, charged = 0;
    for (int i = 0; i < s->config.workers; i++) {
        const struct worker_entry *w = &s->workers[i];
        if (w->host != host || !worker_is_present(w))
            continue;
        present++;
        charged += w->suspect.charges > 0;
    }
    return present > 1 && charged == present && s->hosts[host].suspect.charges >= s->config.quarantine_after;
}

static void judge_host(scheduler *s, int host) {
    if (s->config.quarantine_after <= 0)
        return;
    bool bad = host_is_bad(s, host);
    for (int i = 0; i < s->config.workers; i++) {
        struct worker_entry *w = &s->workers[i];
        bool quarantined = bad || w->suspect.charges >= s->config.quarantine_after;
        bool last = w->usable && s->usable == 1;
        if (w->host != host || w->quarantined == quarantined || (quarantined && last && !s->concluded))
            continue;
        w->quarantined = quarantined;
        worker_update(s, i);
        scheduler_act(s, quarantined ? SCHEDULER_QUARANTINE : SCHEDULER_READMIT, i, NONE, 0);
    }
}

static struct suspect *host_suspect(scheduler *s, int worker) {
    return &s->hosts[s->workers[worker].host].suspect;
}

static void blame_worker(scheduler *s, struct trial_entry *t) {
    struct loss *last = &t->lost[t->lost_count - 1];
    struct suspect *suspect = &s->workers[last->worker].suspect;
    bool elsewhere = false, already = false;
    for (int i = 0; i < t->lost_count - 1; i++) {
        const struct loss *loss = &t->lost[i];
        elsewhere = elsewhere || (loss->worker != last->worker && !loss->silent);
        already = already || (loss->worker == last->worker && loss->charges_worker &&
                              loss->worker_generation == suspect->generation);
    }
    if (elsewhere && is_trusted(suspect))
        t->acquits_worker = true;
    last->worker_generation = suspect->generation;
    last->charges_worker = !t->acquits_worker && !already;
    suspect->charges += last->charges_worker;
    for (int i = 0; t->acquits_worker && i < t->lost_count; i++) {
        struct loss *loss = &t->lost[i];
        struct suspect *charged = &s->workers[loss->worker].suspect;
        charged->charges -= loss->charges_worker && loss->worker_generation == charged->generation;
        loss->charges_worker = false;
        worker_update(s, loss->worker);
    }
    worker_update(s, last->worker);
}

// The same one floor up.
static void blame_host(scheduler *s, struct trial_entry *t) {
    struct loss *last = &t->lost[t->lost_count - 1];
    struct suspect *suspect = host_suspect(s, last->worker);
    bool elsewhere = false, already = false;
    for (int i = 0; i < t->lost_count - 1; i++) {
        const struct loss *loss = &t->lost[i];
        bool same = host_suspect(s, loss->worker) == suspect;
        elsewhere = elsewhere || (!same && !loss->silent);
        already = already || (same && loss->charges_host && loss->host_generation == suspect->generation);
    }
    if (elsewhere && is_trusted(suspect))
        t->acquits_host = true;
    last->host_generation = suspect->generation;
    last->charges_host = !t->acquits_host && !already;
    suspect->charges += last->charges_host;
    for (int i = 0; t->acquits_host && i < t->lost_count; i++) {
        struct loss *loss = &t->lost[i];
        struct suspect *charged = host_suspect(s, loss->worker);
        charged->charges -= loss->charges_host && loss->host_generation == charged->generation;
        loss->charges_host = false;
    }
}

void blame(scheduler *s, int trial) {
    struct trial_entry *t = &s->trials[trial];
    blame_worker(s, t);
    blame_host(s, t);
    for (int i = 0; i < t->lost_count; i++)
        judge_host(s, s->workers[t->lost[i].worker].host);
}

static bool absolve(struct suspect *suspect, bool proven) {
    bool charged = suspect->charges > 0;
    *suspect = (struct suspect){.generation = suspect->generation + 1, .proven = proven};
    return charged;
}

void forget_blame(scheduler *s, int worker) {
    if (absolve(&s->workers[worker].suspect, false) || s->workers[worker].quarantined) {
        worker_update(s, worker);
        judge_host(s, s->workers[worker].host);
    }
}

void clear_of_blame(scheduler *s, int trial, int worker) {
    struct trial_entry *t = &s->trials[trial];
    struct worker_entry *w = &s->workers[worker];
    t->acquits_worker = t->acquits_host = false;
    bool charged = absolve(&w->suspect, true), host_charged = absolve(&s->hosts[w->host].suspect, true);
    if (charged || host_charged || w->quarantined) {
        worker_update(s, worker);
        judge_host(s, w->host);
    }
}
