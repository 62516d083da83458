// Trials by worker over time.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/figures.h"
#include "results/plots.h"

enum { MOST_WORKERS = 64, LABELLED_BARS = 200 };

// One attempt of a trial on a worker.
struct bar {
    const char *trial, *label;
    char worker[48];
    double begin, end; // seconds since the first event
    char outcome;      // d: done, f: failed or lost, s: stopped or still under way
};

struct timeline {
    struct bar *bar;
    size_t bars;
    size_t *open; // bars that have not ended: as many as trials are under way
    size_t opened;
    char worker[MOST_WORKERS][48]; // by rank
    size_t workers;
    bool all_workers; // no more than MOST_WORKERS
    double length;    // s
};

// Seconds since 1970 of "2026-01-14T09:00:00Z"; NaN: no such time.
static double time_of(const char *text) {
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return NAN;
    double fraction = *rest == '.' ? strtod(rest, NULL) : 0;
    return (double)timegm(&tm) + fraction;
}

struct event_columns {
    int time, trial, event, host, worker, detail;
};

static bool find_columns(const struct csv_table *t, struct event_columns *c) {
    if (t->columns == 0)
        return false;
    *c = (struct event_columns){csv_table_column(t, "time"),   csv_table_column(t, "trial"),
                                csv_table_column(t, "event"),  csv_table_column(t, "host"),
                                csv_table_column(t, "worker"), csv_table_column(t, "detail")};
    return c->time >= 0 && c->trial >= 0 && c->event >= 0 && c->host >= 0 && c->worker >= 0 && c->detail >= 0;
}

// The bar of this trial that has not ended, which is taken for ended now; NULL: none.
static struct bar *take_open_bar(struct timeline *l, const char *trial) {
    for (size_t i = 0; i < l->opened; i++) {
        struct bar *bar = &l->bar[l->open[i]];
        if (strcmp(bar->trial, trial) != 0)
            continue;
        l->open[i] = l->open[--l->opened];
        return bar;
    }
    return NULL;
}

static void begin_bar(struct timeline *l, const struct csv_table *t, const struct event_columns *c, size_t row,
                      double now) {
    const char *worker = csv_table_cell(t, row, c->worker);
    if (!*worker)
        return;
    l->open[l->opened++] = l->bars;
    struct bar *bar = &l->bar[l->bars++];
    *bar = (struct bar){.trial = csv_table_cell(t, row, c->trial),
                        .label = csv_table_cell(t, row, c->detail),
                        .begin = now,
                        .end = now};
    snprintf(bar->worker, sizeof bar->worker, "%.6s (%.30s)", worker, csv_table_cell(t, row, c->host));
}

// What an event does to its trial's bar: 0 nothing, b begins one, else how it ends.
static char effect_of(const char *event) {
    static const struct {
        const char *event;
        char effect;
    } effects[] = {{"assigned", 'b'}, {"resumed", 'b'}, {"done", 'd'},    {"failed", 'f'},
                   {"diverged", 'f'}, {"lost", 'f'},    {"stopped", 's'}, {"paused", 's'}};
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if (strcmp(event, effects[i].event) == 0)
            return effects[i].effect;
    return 0;
}

static void take_event(struct timeline *l, const struct csv_table *t, const struct event_columns *c, size_t row,
                       double now) {
    char effect = effect_of(csv_table_cell(t, row, c->event));
    struct bar *bar = take_open_bar(l, csv_table_cell(t, row, c->trial));
    if (effect == 'b') {
        if (bar)
            bar->outcome = 's'; // its master died: what was last heard of it is its end
        begin_bar(l, t, c, row, now);
    } else if (bar) {
        bar->end = now;
        bar->outcome = effect;
        if (!effect) // it goes on
            l->open[l->opened++] = (size_t)(bar - l->bar);
    }
}

static int by_rank(const void *a, const void *b) {
    const char *x = a, *y = b;
    int p = atoi(x), q = atoi(y);
    return p != q ? (p > q) - (p < q) : strcmp(x, y);
}

static size_t worker_index(const struct timeline *l, const char *worker) {
    size_t i = 0;
    while (i < l->workers && strcmp(l->worker[i], worker) != 0)
        i++;
    return i;
}

static void list_workers(struct timeline *l) {
    l->all_workers = true;
    for (size_t i = 0; i < l->bars; i++) {
        if (worker_index(l, l->bar[i].worker) < l->workers)
            continue;
        l->all_workers = l->all_workers && l->workers < MOST_WORKERS;
        if (l->workers < MOST_WORKERS)
            strcpy(l->worker[l->workers++], l->bar[i].worker);
    }
    qsort(l->worker, l->workers, sizeof l->worker[0], by_rank);
}

// Free l->bar.
static bool read_timeline(const struct run_data *run, struct timeline *l) {
    const struct csv_table *t = &run->events;
    struct event_columns c;
    double first = NAN;
    *l = (struct timeline){0};
    if (!find_columns(t, &c))
        return false;
    l->bar = calloc(t->rows + 1, sizeof *l->bar);
    l->open = malloc((t->rows + 1) * sizeof *l->open);
    for (size_t row = 0; row < t->rows && l->bar && l->open; row++) {
        double now = time_of(csv_table_cell(t, row, c.time));
        if (isnan(now))
            continue;
        first = isnan(first) ? now : first;
        take_event(l, t, &c, row, now - first);
        l->length = fmax(l->length, now - first);
    }
    free(l->open);
    if (l->bars > 0) {
        list_workers(l);
        return true;
    }
    free(l->bar);
    return false;
}

bool plot_timeline_size(const struct run_data *run, int *width, int *height, bool *all_workers) {
    struct timeline l;
    if (!read_timeline(run, &l))
        return false;
    *width = 940;
    *all_workers = l.all_workers;
    *height = 100 + (int)l.workers * (l.workers > 16 ? 20 : 34);
    free(l.bar);
    return true;
}

struct unit {
    const char *name;
    double seconds;
};

static struct unit unit_of(double length) {
    if (length < 300)
        return (struct unit){"s", 1};
    if (length < 4 * 3600)
        return (struct unit){"min", 60};
    return (struct unit){"h", 3600};
}

// A bar as it is drawn, or several that follow each other so closely that no reader could tell.
struct stretch {
    double begin, end; // s
};

static void write_stretch(FILE *out, const struct timeline *l, const struct stretch *s, size_t worker, double unit) {
    double least = s->begin + 0.002 * l->length; // a bar is to be seen
    if (s->end >= s->begin)
        fprintf(out, "%.9g %.9g %zu\n", s->begin / unit, fmax(s->end, least) / unit, worker);
}

// $<outcome>: begin, end, worker. Many bars are joined where the picture has less than a pixel between them.
static void write_bars(FILE *out, const struct timeline *l, char outcome, double unit) {
    struct stretch last[MOST_WORKERS];
    bool joins = l->bars > LABELLED_BARS;
    for (size_t w = 0; w < l->workers; w++)
        last[w] = (struct stretch){0, -1};
    fprintf(out, "$%c << EOD\n", outcome);
    for (size_t i = 0; i < l->bars; i++) {
        const struct bar *bar = &l->bar[i];
        size_t worker = worker_index(l, bar->worker);
        if (worker == l->workers || (bar->outcome ? bar->outcome : 's') != outcome)
            continue;
        if (joins && last[worker].end >= 0 && bar->begin <= last[worker].end + l->length / 1000) {
            last[worker].end = fmax(last[worker].end, bar->end);
            continue;
        }
        write_stretch(out, l, &last[worker], worker, unit);
        last[worker] = (struct stretch){bar->begin, bar->end};
    }
    for (size_t w = 0; w < l->workers; w++)
        write_stretch(out, l, &last[w], w, unit);
    fputs("NaN NaN NaN\nEOD\n", out);
}

// "lr=0.003 optimizer=sgd" -> "0.003 sgd": a bar has little room.
static void shorten(const char *label, char *out, size_t size) {
    size_t used = 0;
    while (*label && used + 1 < size) {
        size_t word = strcspn(label, " ");
        const char *equals = memchr(label, '=', word);
        size_t skip = equals ? (size_t)(equals - label) + 1 : 0;
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? " " : "", (int)(word - skip), label + skip);
        label += word + strspn(label + word, " ");
    }
    out[used < size ? used : size - 1] = 0;
}

// A bar's label where the bar has room for it, or for enough of it to tell it from others.
static void write_bar_labels(FILE *out, const struct timeline *l, double unit) {
    enum { ENOUGH = 10 };
    double character = l->length / 128;
    for (size_t i = 0; i < l->bars && l->bars <= LABELLED_BARS; i++) {
        const struct bar *bar = &l->bar[i];
        size_t worker = worker_index(l, bar->worker);
        int room = (int)((bar->end - bar->begin) / character - 0.8);
        char text[RUN_NAME_SIZE];
        shorten(bar->label, text, sizeof text);
        if (worker == l->workers || (room < ENOUGH && room < (int)strlen(text)))
            continue;
        fputs("set label ", out);
        figures_quote_short(out, text, room);
        fprintf(out, " at first %.9g, first %zu left font small tc rgb '#fefefe' front\n",
                (bar->begin + 0.4 * character) / unit, worker);
    }
}

void plot_timeline(FILE *out, const struct run_data *run) {
    struct timeline l;
    if (!read_timeline(run, &l))
        return;
    struct unit unit = unit_of(l.length);
    write_bars(out, &l, 'd', unit.seconds);
    write_bars(out, &l, 'f', unit.seconds);
    write_bars(out, &l, 's', unit.seconds);
    write_bar_labels(out, &l, unit.seconds);
    fputs("set ytics (", out);
    for (size_t i = 0; i < l.workers; i++) {
        char text[64];
        snprintf(text, sizeof text, "rank %.48s", l.worker[i]);
        fputs(i ? ", " : "", out);
        figures_quote_short(out, text, 26);
        fprintf(out, " %zu", i);
    }
    fprintf(out, ") scale 0\nset yrange [%.1f:-0.6]\nset xrange [0:%.9g]\nset xlabel 'time since the start (%s)'\n",
            (double)l.workers - 0.4, fmax(l.length, 1) / unit.seconds, unit.name);
    fputs("unset grid\nset grid xtics lt 1 lw 0.6 lc rgb '#b0808080'\nset style fill solid 1 border lc rgb '#e0e0e0'\n"
          "set key at graph 0.5, screen 0.99 center top horizontal samplen 1.5\n"
          "bar = 0.4\n"
          "plot $d using 1:3:1:2:($3-bar):($3+bar) with boxxyerror lc rgb '#0072B2' title 'done', \\\n"
          "     $f using 1:3:1:2:($3-bar):($3+bar) with boxxyerror lc rgb '#D55E00' title 'failed or lost', \\\n"
          "     $s using 1:3:1:2:($3-bar):($3+bar) with boxxyerror lc rgb '#767676' title 'stopped or under way'\n",
          out);
    free(l.bar);
}
