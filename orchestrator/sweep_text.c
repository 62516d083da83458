// The canonical text of a sweep: every setting spelt out, so that it means the same to a later version with other
// defaults.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/sweep_random.h"

static void write_folds(FILE *f, const char *key, int count, const int *folds) {
    fprintf(f, "%s = ", key);
    for (int i = 0; i < count; i++)
        fprintf(f, "%s%d", i > 0 ? ", " : "", folds[i]);
    fputc('\n', f);
}

static void write_own_folds(FILE *f, const struct sweep *s, int count, const int *folds) {
    if (count != s->run_count || memcmp(folds, s->run_folds, (size_t)count * sizeof *folds) != 0)
        write_folds(f, "folds", count, folds);
}

static void write_axis(FILE *f, const struct sweep *s, const struct sweep_axis *axis) {
    const char *separator = hyper_is_list(axis->hyper) ? " | " : ", ";
    fprintf(f, "%s = ", program_hyper_key(&s->program, axis->hyper));
    if (axis->reference >= 0)
        fprintf(f, "@%s", s->grids[axis->reference].name);
    if (axis->range.kind != RANGE_NONE)
        sweep_write_range(f, &axis->range);
    for (int i = 0; i < axis->value_count; i++)
        fprintf(f, "%s%s", i > 0 ? separator : "", axis->values[i]);
    fputc('\n', f);
}

static void write_embedded(FILE *f, const struct sweep *s) {
    fprintf(f, "dataset = %s\nmetric = val_iou\nbackend = %s\n", s->dataset, s->backend);
}

static void write_command(FILE *f, const struct sweep_program *p) {
    fprintf(f, "command = %s\nmetrics = ", p->command);
    for (int i = 0; i < p->metric_count; i++)
        fprintf(f, "%s%s", i > 0 ? ", " : "", p->metrics[i]);
    fprintf(f, "\nmetric = %s\ndirection = %s\nresume = %s\n", p->metric, p->minimize ? "min" : "max",
            p->resume ? "yes" : "no");
    if (p->max_epochs > 0)
        fprintf(f, "max-epochs = %d\n", p->max_epochs);
}

static void write_method(FILE *f, const struct sweep *s) {
    fprintf(f, "method = %s\n", sweep_method_name(s->method));
    if (s->method == METHOD_ASHA)
        fprintf(f, "first-rung = %d\nreduction-factor = %d\n", s->first_rung, s->reduction_factor);
    if (s->run_cap > 0)
        fprintf(f, "run-cap = %d\n", s->run_cap);
    else
        fprintf(f, "run-cap = none\n");
    fprintf(f, "retry-failed = %s\n", s->retry_failed ? "yes" : "no");
}

static void write_head(FILE *f, const struct sweep *s) {
    char number[32], gib[32];
    text_of_real(s->checkpoint_seconds, number, sizeof number);
    fprintf(f, "[sweep]\nname = %s\noutput = %s\nseed = %llu\ntrainer = %s\n", s->name, s->output,
            (unsigned long long)s->seed, sweep_trainer_name(s->program.kind));
    if (s->program.kind == TRAINER_EMBEDDED)
        write_embedded(f, s);
    else if (s->program.kind == TRAINER_COMMAND)
        write_command(f, &s->program);
    write_method(f, s);
    if (s->threads > 0)
        fprintf(f, "threads = %d\n", s->threads);
    else
        fprintf(f, "threads = auto\n");
    if (s->program.kind == TRAINER_EMBEDDED)
        fprintf(f, "gpus-per-trial = %d\nsync-batchnorm = %s\n", s->members, s->sync_batchnorm ? "on" : "off");
    if (s->trainers_per_gpu > 0)
        fprintf(f, "trainers-per-gpu = %d\n", s->trainers_per_gpu);
    text_of_real(s->device_memory_gib, gib, sizeof gib);
    if (s->device_memory_gib > 0)
        fprintf(f, "device-memory-gib = %s\n", gib);
    fprintf(f, "checkpoint-seconds = %s\nmax-attempts = %d\n", number, s->max_attempts);
    text_of_real(s->hang_seconds, number, sizeof number);
    fprintf(f, "hang-seconds = %s\n", s->hang_seconds > 0 ? number : "auto");
    text_of_real(s->worker_timeout, number, sizeof number);
    fprintf(f, "worker-timeout-seconds = %s\n", number);
    text_of_real(s->master_timeout, number, sizeof number);
    fprintf(f, "master-timeout-seconds = %s\n", number);
    text_of_real(s->time_limit, number, sizeof number);
    fprintf(f, "time-limit = %s%s\n", s->time_limit > 0 ? number : "none", s->time_limit > 0 ? "s" : "");
    fprintf(f, "\n[folds]\ncount = %d\n", s->folds);
    write_folds(f, "run", s->run_count, s->run_folds);
    fprintf(f, "\n[base]\n");
    for (int i = 0; i < program_hyper_count(&s->program); i++) {
        char value[HYPER_VALUE_SIZE];
        int hyper = program_hyper_first(&s->program) + i;
        hyper_format(&s->base, hyper, value);
        if (*value || hyper < HYPER_COUNT)
            fprintf(f, "%s =%s%s\n", program_hyper_key(&s->program, hyper), *value ? " " : "", value);
    }
}

char *sweep_write_text(const struct sweep *s) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    write_head(f, s);
    for (int i = 0; i < s->grid_count; i++) {
        const struct sweep_grid *g = &s->grids[i];
        fprintf(f, "\n[%s %s]\n", g->points > 0 ? "random" : "grid", g->name);
        if (g->points > 0)
            fprintf(f, "points = %d\n", g->points);
        write_own_folds(f, s, g->run_count, g->run_folds);
        for (int j = 0; j < g->axis_count; j++)
            write_axis(f, s, &g->axes[j]);
    }
    for (int i = 0; i < s->config_count; i++) {
        const struct sweep_config *c = &s->configs[i];
        fprintf(f, "\n[config %s]\n", c->name);
        if (strcmp(c->from, "@this") == 0)
            fprintf(f, "from = @this\n");
        else if (*c->from)
            fprintf(f, "; winners of %s\n", c->from);
        write_own_folds(f, s, c->run_count, c->run_folds);
        for (int j = 0; j < c->setting_count; j++)
            write_axis(f, s, &c->settings[j]);
    }
    if (s->compare_baseline >= 0)
        fprintf(f, "\n[compare]\nbaseline = %s\ncandidate = %s\n", s->configs[s->compare_baseline].name,
                s->configs[s->compare_candidate].name);
    bool written = !ferror(f);
    if (fclose(f) != 0 || !written) {
        free(text);
        return NULL;
    }
    return text;
}
