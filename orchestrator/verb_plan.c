// `gridfold plan`: the trials of a sweep and what they cost, without running any.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/plan_device.h"
#include "orchestrator/plan_gpu.h"
#include "orchestrator/plan_rungs.h"
#include "orchestrator/verbs.h"

static const struct option_spec specs[] = {
    {"gflops", "N", NULL, "rate of one worker in GFLOP/s, for estimated times"},
};
const struct verb_options verb_plan_options = {specs, sizeof specs / sizeof *specs};

static void format_seconds(double seconds, char out[32]) {
    if (seconds < 120)
        snprintf(out, 32, "%.0f s", seconds);
    else if (seconds < 120 * 60)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(out, 32, "%.1f h", seconds / 3600);
    else
        snprintf(out, 32, "%.1f days", seconds / 86400);
}

// "3.2 PFLOP", and the time it takes where the rate is known (GFLOP/s; 0: not).
static void format_work(double flop, double gflops, char out[64]) {
    char time[32];
    const char *unit = flop >= 1e15 ? "PFLOP" : flop >= 1e12 ? "TFLOP" : "GFLOP";
    double scaled = flop / (flop >= 1e15 ? 1e15 : flop >= 1e12 ? 1e12 : 1e9);
    int used = snprintf(out, 64, "%.3g %s", scaled, unit);
    if (scaled >= 100)
        used = snprintf(out, 64, "%.0f %s", scaled, unit);
    if (gflops <= 0)
        return;
    format_seconds(flop / (gflops * 1e9), time);
    snprintf(out + used, (size_t)(64 - used), ", %s", time);
}

static void print_folds(int count, const int *folds) {
    printf(" on fold%s ", count > 1 ? "s" : "");
    for (int i = 0; i < count; i++)
        printf("%s%d", i > 0 ? ", " : "", folds[i]);
}

// "65,011,712"
static void format_thousands(size_t value, char out[32]) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%zu", value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
}

static const char *place_name(const struct plan *p, const struct plan_row *row) {
    return row->grid >= 0 ? p->sweep->grids[row->grid].name : p->sweep->configs[row->config].name;
}

static int label_width(const struct plan *p) {
    int width = 6;
    for (int i = 0; i < p->row_count; i++) {
        int length = (int)strlen(p->rows[i].label);
        width = length > width ? length : width;
    }
    return width < 60 ? width : 60;
}

// How a plan is shown.
struct view {
    int width;     // of labels
    double gflops; // of one worker; 0: not known
    bool gpu;      // memory is that of a GPU
    struct gpu_room room;
};

static void print_row(const struct plan *p, int index, const struct view *v) {
    const struct plan_row *row = &p->rows[index];
    const struct plan_trial *t = &p->trials[row->trial];
    printf("  %s  %4d  %-*.*s", t->id, row->fold, v->width, v->width, row->label);
    int first = t->first_row;
    if (first < index) {
        printf("  same trial as in %s\n", place_name(p, &p->rows[first]));
        return;
    }
    if (t->cost.parameters == 0) {
        printf("  %s\n", *t->refused ? "refused" : t->withheld ? "left out by run-cap" : "");
        return;
    }
    char parameters[32], work[64];
    format_thousands(t->cost.parameters, parameters);
    format_work(t->work, v->gflops, work);
    double host = (double)(t->cost.arena_bytes + t->cost.activation_bytes);
    double gib = (v->gpu ? gpu_fit_need(t) : host) / (1024.0 * 1024 * 1024);
    printf("  %14s  %10.3f  %7.2f GiB  %s\n", parameters, t->cost.train_flops / 1e9, gib,
           *t->refused   ? "refused"
           : t->withheld ? "left out by run-cap"
                         : work);
}

static void print_rows(const struct plan *p, int grid, int config, const struct view *v) {
    for (int i = 0; i < p->row_count; i++)
        if (p->rows[i].grid == grid && p->rows[i].config == config)
            print_row(p, i, v);
}

static void print_grid(const struct plan *p, int index, const struct view *v) {
    const struct sweep_grid *g = &p->sweep->grids[index];
    printf("\n[%s %s]", g->points > 0 ? "random" : "grid", g->name);
    print_folds(g->run_count, g->run_folds);
    if (index < p->grids_expanded) {
        printf("\n");
        print_rows(p, index, -1, v);
        plan_rungs_print(p, index, stdout);
        return;
    }
    printf(": %d row%s, when it is known who wins", plan_grid_rows(g), plan_grid_rows(g) > 1 ? "s" : "");
    for (int i = 0; i < g->axis_count; i++)
        if (g->axes[i].reference >= 0)
            printf(" %s (%s)", p->sweep->grids[g->axes[i].reference].name,
                   program_hyper_key(&p->sweep->program, g->axes[i].hyper));
    printf("\n");
}

static void print_config(const struct plan *p, int index, const struct view *v) {
    const struct sweep_config *c = &p->sweep->configs[index];
    printf("\n[config %s]", c->name);
    print_folds(c->run_count, c->run_folds);
    if (p->config_expanded[index]) {
        printf("\n");
        print_rows(p, -1, index, v);
    } else {
        printf(": %d row%s, when it is known who wins the grids\n", c->run_count, c->run_count > 1 ? "s" : "");
    }
}

static void print_refusals(const struct plan *p) {
    bool head = false;
    for (int i = 0; i < p->trial_count; i++) {
        if (!*p->trials[i].refused)
            continue;
        printf("%s  %s  %s: %s\n", head ? "" : "\nrefused (rows with status failed, never run)\n", p->trials[i].id,
               p->trials[i].config, p->trials[i].refused);
        head = true;
    }
}

static int waiting_rows(const struct plan *p) {
    int rows = 0;
    for (int i = p->grids_expanded; i < p->sweep->grid_count; i++)
        rows += plan_grid_rows(&p->sweep->grids[i]);
    for (int i = 0; i < p->sweep->config_count; i++)
        rows += p->config_expanded[i] ? 0 : p->sweep->configs[i].run_count;
    return rows;
}

static void print_totals(const struct plan *p, int refused, double gflops) {
    double flop = 0;
    for (int i = 0; i < p->trial_count; i++)
        flop += p->trials[i].withheld ? 0 : p->trials[i].work;
    char work[64];
    format_work(flop, gflops, work);
    bool known = p->sweep->program.kind == TRAINER_EMBEDDED;
    printf("\n%d rows, %d trials: %d shared, %d refused", p->row_count, p->trial_count, p->row_count - p->trial_count,
           refused);
    if (waiting_rows(p) > 0)
        printf("; %d more rows wait for winners", waiting_rows(p));
    if (p->withheld > 0)
        printf("\nrun-cap = %d: %d trials are run, %d remain", p->sweep->run_cap, p->trial_count - p->withheld,
               p->withheld);
    if (known)
        printf("\n%s%s in all%s", work, gflops > 0 ? " of one worker" : "",
               p->sweep->method == METHOD_ASHA ? ", if none were stopped early" : "");
    printf("\n");
}

static void print_head(const struct sweep *s, const dataset *ds) {
    int samples = ds ? dataset_count(ds) : 0, held_out = 0;
    for (int i = 0; i < samples; i++)
        held_out += dataset_sample(ds, i)->test;
    if (ds)
        printf("%s: %s, %d samples in %d folds and %d held out; results go to %s\n", s->name, s->dataset,
               samples - held_out, s->folds, held_out, s->output);
    else
        printf("%s: trainer = %s, %d fold%s; results go to %s\n", s->name, sweep_trainer_name(s->program.kind),
               s->folds, s->folds > 1 ? "s" : "", s->output);
}

// What the first trial runs; the others differ in their values alone.
static enum status print_command(const struct plan *p, struct error *err) {
    const struct sweep *s = p->sweep;
    if (s->program.kind != TRAINER_COMMAND || p->trial_count == 0)
        return STATUS_OK;
    const struct plan_trial *t = &p->trials[0];
    char folder[PATH_SIZE + 64];
    snprintf(folder, sizeof folder, "%s/trials/%s", s->output, t->id);
    struct program_place place = {
        t->id, folder, t->fold, s->folds, s->threads > 0 ? s->threads : 1, s->seed, plan_rungs_first(p)};
    struct trial_program program;
    TRY(program_fill(&s->program, &t->hp, &place, &program, err));
    printf("\nthe first trial's command, an argument a line:\n");
    for (const char *at = program.arguments; *at; at += strcspn(at, "\n") + 1)
        printf("  %.*s\n", (int)strcspn(at, "\n"), at);
    return STATUS_OK;
}

static void print_all(const struct plan *p, const dataset *ds, const struct view *v) {
    const struct sweep *s = p->sweep;
    int refused = 0;
    for (int i = 0; i < p->trial_count; i++)
        refused += *p->trials[i].refused != '\0';
    print_head(s, ds);
    if (ds)
        printf("\n  %-16s  %4s  %-*s  %14s  %10s  %11s  work%s\n", "trial", "fold", v->width, "config", "parameters",
               "GFLOP/step", v->gpu ? "GPU memory" : "memory", v->gflops > 0 ? ", time" : "");
    else
        printf("\n  %-16s  %4s  config\n", "trial", "fold");
    for (int i = 0; i < s->grid_count; i++)
        print_grid(p, i, v);
    for (int i = 0; i < s->config_count; i++)
        print_config(p, i, v);
    print_refusals(p);
    print_totals(p, refused, v->gflops);
    if (v->gpu)
        plan_gpu_print(p, &v->room, stdout);
}

static enum status print_plan(const struct sweep *s, const dataset *ds, double gflops, struct error *err) {
    struct plan *p;
    TRY(plan_create(s, ds, &p, err));
    struct view v = {.width = label_width(p), .gflops = gflops};
    gpu_room_find(s, &v.room);
    v.gpu = plan_gpu_wanted(p, &v.room);
    print_all(p, ds, &v);
    enum status status = print_command(p, err);
    if (status == STATUS_OK)
        status = plan_check_runnable(p, err);
    if (status == STATUS_OK)
        status = plan_check_device(p, err);
    if (status == STATUS_OK)
        status = gpu_fit_check(p, &v.room, err);
    plan_destroy(p);
    return status;
}

enum status verb_plan(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    if (o.positional_count == 0)
        return error_set(err, STATUS_INVALID,
                         "gridfold plan needs SWEEP.ini [key=value ...]; see gridfold plan --help");
    double gflops = 0;
    const char *rate = options_text(&o, "gflops");
    if (rate) {
        char *end;
        gflops = strtod(rate, &end);
        if (end == rate || *end || !(gflops > 0 && isfinite(gflops)))
            return error_set(err, STATUS_INVALID, "--gflops %s: a positive number is needed", rate);
    }
    struct sweep *s;
    dataset *ds = NULL;
    TRY(sweep_parse(o.positional[0], o.positional + 1, o.positional_count - 1, &s, err));
    enum status status = STATUS_OK;
    if (s->program.kind == TRAINER_EMBEDDED)
        status = dataset_open(s->dataset, &ds, err);
    if (status == STATUS_OK)
        status = print_plan(s, ds, gflops, err);
    dataset_close(ds);
    sweep_destroy(s);
    return status;
}
