#include "orchestrator/transport.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/base/clock.h"

enum { LOCAL_CAP_US = 50000 };

static enum status local_send(void *self, int to, const struct message *m, struct error *err) {
    (void)to;
    (void)err;
    station_deliver(self, m);
    return STATUS_OK;
}

static bool local_receive(void *self, int *from, struct message *m) {
    *from = 0;
    return station_next(self, m);
}

static void local_rest(void *self, struct idle *idle) {
    idle_rest(idle, station_descriptor(self), LOCAL_CAP_US);
}

enum status transport_local_create(const struct station_config *config, struct transport *t, struct error *err) {
    station *w;
    TRY(station_create(config, &w, err));
    *t = (struct transport){
        .self = w, .workers = 1, .name = "none", .send = local_send, .receive = local_receive, .rest = local_rest};
    return STATUS_OK;
}

void transport_local_destroy(struct transport *t) {
    station_destroy(t->self);
    t->self = NULL;
}

bool transport_dismiss(struct transport *t, int code, bool *gone, const bool *absent, double seconds) {
    struct error err;
    struct message m = {.kind = MESSAGE_BYE, .code = code};
    int awaited = 0;
    bool all = true;
    for (int w = 0; w < t->workers; w++) {
        if (t->send(t->self, w, &m, &err) != STATUS_OK)
            fprintf(stderr, "gridfold: worker %d: %s\n", w + t->first_rank, err.message);
        bool lost = absent && absent[w];
        awaited += !lost && !(gone && gone[w]);
        all = all && (!lost || (t->is_dead && t->is_dead(t->self, w)));
    }
    struct idle idle = {0};
    double end = clock_seconds() + seconds;
    while (awaited > 0 && clock_seconds() < end) {
        int from;
        if (t->receive(t->self, &from, &m)) {
            awaited -= m.kind == MESSAGE_BYE && !(absent && absent[from]);
            if (gone && m.kind == MESSAGE_BYE)
                gone[from] = true;
            idle_reset(&idle);
        } else {
            t->rest(t->self, &idle);
        }
    }
    return all && awaited == 0;
}
