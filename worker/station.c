#include "worker/station.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"

struct station {
    struct message next; // an assignment that waits for the running trial to end: of kind MESSAGE_ASSIGN when there
    bool next_stopped;   // and that is to be reported as stopped
    struct station_config config;
    agent *agent;
    bool greeted, dismissed, leaving, gone;
    int exit_code;
    double spoke;
};

enum status station_create(const struct station_config *config, station **out, struct error *err) {
    station *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, "worker");
    s->config = *config;
    if (s->config.heartbeat_seconds <= 0)
        s->config.heartbeat_seconds = 1;
    enum status status = agent_create(&config->agent, &s->agent, err);
    if (status != STATUS_OK) {
        free(s);
        return status;
    }
    *out = s;
    return STATUS_OK;
}

void station_destroy(station *s) {
    if (!s)
        return;
    agent_destroy(s->agent);
    free(s);
}

void station_deliver(station *s, const struct message *m) {
    struct error err;
    switch (m->kind) {
    case MESSAGE_ASSIGN:
        if (s->leaving || s->dismissed)
            break;
        if (agent_trial(s->agent)[0]) { // lost to the master, who has given it to another: it makes way
            s->next = *m;
            agent_stop(s->agent);
        } else {
            (void)!agent_assign(s->agent, m, &err);
        }
        break;
    case MESSAGE_STOP:
        agent_stop(s->agent);
        agent_release(s->agent);
        s->next_stopped = s->next.kind == MESSAGE_ASSIGN;
        break;
    case MESSAGE_BYE:
        agent_kill(s->agent);
        s->dismissed = true;
        s->exit_code = m->code;
        break;
    default:
        break;
    }
}

static bool spoken(station *s) {
    s->spoke = clock_seconds();
    return true;
}

// The assignment that had to wait begins, or is reported as stopped before it did.
static bool take_next(station *s, struct message *m) {
    struct error err;
    bool stopped = s->next_stopped || s->leaving || s->dismissed;
    if (stopped) {
        *m = (struct message){.kind = MESSAGE_STOPPED, .attempt = s->next.attempt};
        memcpy(m->trial, s->next.trial, sizeof m->trial);
    } else {
        (void)!agent_assign(s->agent, &s->next, &err);
    }
    s->next.kind = MESSAGE_HELLO; // none
    s->next_stopped = false;
    return stopped;
}

bool station_next(station *s, struct message *m) {
    if (s->gone)
        return false;
    if (!s->greeted) {
        s->greeted = true;
        *m = (struct message){.kind = MESSAGE_HELLO};
        agent_describe_host(&m->hello);
        agent_describe_gpus(s->config.rank, &m->hello);
        return spoken(s);
    }
    if (agent_poll(s->agent, m))
        return spoken(s);
    bool idle = !agent_trial(s->agent)[0];
    if (idle && s->next.kind == MESSAGE_ASSIGN && take_next(s, m))
        return spoken(s);
    if (s->dismissed || (s->leaving && idle)) {
        s->gone = true;
        *m = (struct message){.kind = MESSAGE_BYE, .code = s->exit_code};
        return spoken(s);
    }
    if (clock_seconds() - s->spoke < s->config.heartbeat_seconds)
        return false;
    *m = (struct message){.kind = MESSAGE_HEARTBEAT, .attempt = agent_attempt(s->agent)};
    m->heartbeat.pause = agent_pause(s->agent);
    snprintf(m->trial, sizeof m->trial, "%s", agent_trial(s->agent));
    return spoken(s);
}

void station_leave(station *s) {
    s->leaving = true;
    agent_stop(s->agent);
}

bool station_is_gone(const station *s) {
    return s->gone;
}

bool station_is_dismissed(const station *s) {
    return s->dismissed;
}

int station_exit_code(const station *s) {
    return s->exit_code;
}

int station_descriptor(const station *s) {
    return agent_descriptor(s->agent);
}
