// [sweep], [folds] and [compare] of a sweep file.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"
#include "model/base/nearest.h"
#include "orchestrator/sweep_read.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum status sweep_unknown_key(struct sweep_reader *r, const struct sweep_ini_entry *e, const char *const *keys,
                              size_t count) {
    const struct sweep_ini_section *s = &r->ini->sections[e->section];
    const char *gap = *s->name ? " " : "";
    int hyper = hyper_find(e->key);
    if (hyper >= 0 && r->sweep->program.kind == TRAINER_EMBEDDED)
        return sweep_ini_error(r->ini, e->line, r->err, "'%s' does not belong in [%s%s%s]; put it in [base]", e->key,
                               s->kind, gap, s->name);
    return sweep_ini_error(r->ini, e->line, r->err, "unknown key '%s' in [%s%s%s]; the nearest is '%s'", e->key,
                           s->kind, gap, s->name, text_nearest(e->key, keys, count));
}

enum status sweep_read_whole(struct sweep_reader *r, const struct sweep_ini_entry *e, unsigned long long lowest,
                             unsigned long long highest, unsigned long long *out) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(e->value, &end, 10);
    if (end == e->value || *end || errno || strchr(e->value, '-') || value < lowest || value > highest)
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: must be a whole number in %llu .. %llu", e->key,
                               e->value, lowest, highest);
    *out = value;
    return STATUS_OK;
}

// ---- [sweep] ----

static enum status read_text(struct sweep_reader *r, const struct sweep_ini_entry *e, char *out, size_t size) {
    if (!*e->value)
        return sweep_ini_error(r->ini, e->line, r->err, "%s is empty; give it a value or remove the line", e->key);
    if (strlen(e->value) >= size)
        return sweep_ini_error(r->ini, e->line, r->err, "%s is longer than %zu bytes; take a shorter one", e->key,
                               size - 1);
    snprintf(out, size, "%s", e->value);
    return STATUS_OK;
}

static enum status read_dataset(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    TRY(read_text(r, e, r->sweep->dataset, sizeof r->sweep->dataset));
    if (r->stored || file_exists(e->value))
        return STATUS_OK;
    (void)sweep_ini_error(r->ini, e->line, r->err,
                          "dataset %s does not exist; make it with gridfold import, or give the right path", e->value);
    return r->err->status = STATUS_NOT_FOUND;
}

static enum status read_seed(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long seed = 0;
    TRY(sweep_read_whole(r, e, 0, UINT64_MAX, &seed));
    r->sweep->seed = seed;
    return STATUS_OK;
}

static enum status read_backend(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    TRY(read_text(r, e, r->sweep->backend, sizeof r->sweep->backend));
    if (r->stored || strcmp(e->value, "auto") == 0 || strcmp(e->value, "cpu") == 0)
        return STATUS_OK;
    size_t length = strlen(e->value);
    for (const char *at = backend_list(); *at; at += strspn(at, ", ")) { // "reference, onednn"
        size_t word = strcspn(at, ", ");
        if (word == length && memcmp(at, e->value, word) == 0)
            return STATUS_OK;
        at += word;
    }
    return sweep_ini_error(r->ini, e->line, r->err, "%s = %s: this build has auto, cpu, %s", e->key, e->value,
                           backend_list());
}

// The same setting in plainer words: which backend computes there is left to the build.
static enum status read_device(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    if (strcmp(e->value, "auto") != 0 && strcmp(e->value, "cpu") != 0 && strcmp(e->value, "cuda") != 0)
        return sweep_ini_error(r->ini, e->line, r->err, "device = %.80s: must be auto, cuda or cpu", e->value);
    return read_backend(r, e);
}

static enum status read_threads(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long threads = 0;
    if (strcmp(e->value, "auto") != 0 && sweep_read_whole(r, e, 1, 4096, &threads) != STATUS_OK)
        return sweep_ini_error(r->ini, e->line, r->err, "threads = %.80s: must be auto or a whole number in 1 .. 4096",
                               e->value);
    r->sweep->threads = (int)threads;
    return STATUS_OK;
}

static enum status read_gpus_per_trial(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long members = 0;
    TRY(sweep_read_whole(r, e, 1, COLLECTIVES_MAX_MEMBERS, &members));
    r->sweep->members = (int)members;
    return STATUS_OK;
}

static enum status read_trainers_per_gpu(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long trainers = 0;
    TRY(sweep_read_whole(r, e, 1, SWEEP_MAX_TRAINERS_PER_GPU, &trainers));
    r->sweep->trainers_per_gpu = (int)trainers;
    return STATUS_OK;
}

static enum status read_device_memory(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    char *end = NULL;
    double gib = strtod(e->value, &end);
    if (end == e->value || *end || !(gib > 0 && gib <= 4096))
        return sweep_ini_error(r->ini, e->line, r->err,
                               "device-memory-gib = %.80s: must be a number above 0, at most 4096", e->value);
    r->sweep->device_memory_gib = gib;
    return STATUS_OK;
}

static enum status read_sync_batchnorm(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    r->sweep->sync_batchnorm = strcmp(e->value, "on") == 0;
    if (!r->sweep->sync_batchnorm && strcmp(e->value, "off") != 0)
        return sweep_ini_error(r->ini, e->line, r->err, "sync-batchnorm = %.80s: must be on or off", e->value);
    return STATUS_OK;
}

static enum status read_seconds(struct sweep_reader *r, const struct sweep_ini_entry *e, int lowest, double *out) {
    char *end = NULL;
    double seconds = strtod(e->value, &end);
    if (end == e->value || *end || !(seconds >= lowest && seconds <= 1e6))
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: must be a number in %d .. 1000000", e->key,
                               e->value, lowest);
    *out = seconds;
    return STATUS_OK;
}

static enum status read_checkpoint_seconds(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_seconds(r, e, 0, &r->sweep->checkpoint_seconds);
}

static enum status read_hang_seconds(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    r->sweep->hang_seconds = 0;
    return strcmp(e->value, "auto") == 0 ? STATUS_OK : read_seconds(r, e, 1, &r->sweep->hang_seconds);
}

static enum status read_worker_timeout(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_seconds(r, e, 4, &r->sweep->worker_timeout); // heartbeats come every second
}

static enum status read_master_timeout(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_seconds(r, e, 5, &r->sweep->master_timeout); // heartbeats come every two seconds
}

// "4h", "1h30m", "90s", "5400", "none".
static enum status read_time_limit(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    static const char units[] = "dhms";
    static const double seconds[] = {86400, 3600, 60, 1};
    double total = 0;
    const char *at = e->value;
    while (*at && strcmp(e->value, "none") != 0) {
        char *end = NULL;
        double value = strtod(at, &end);
        const char *unit = *end ? strchr(units, *end) : units + 3;
        if (end == at || !unit || !(value >= 0 && value <= 1e6))
            break;
        total += value * seconds[unit - units];
        at = end + (*end != 0);
    }
    bool none = strcmp(e->value, "none") == 0;
    if (!none && (*at || !(total >= 1 && total <= 1e9)))
        return sweep_ini_error(r->ini, e->line, r->err,
                               "time-limit = %.80s: must be none or a time like 4h, 1h30m, 90s", e->value);
    r->sweep->time_limit = total;
    return STATUS_OK;
}

static enum status read_max_attempts(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long attempts = 0;
    TRY(sweep_read_whole(r, e, 1, 1000, &attempts));
    r->sweep->max_attempts = (int)attempts;
    return STATUS_OK;
}

static enum status read_name(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    TRY(read_text(r, e, r->sweep->name, sizeof r->sweep->name));
    if (strpbrk(e->value, "/\\"))
        return sweep_ini_error(r->ini, e->line, r->err, "name = %s: holds a slash; take a plain name", e->value);
    return STATUS_OK;
}

static enum status read_output(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_text(r, e, r->sweep->output, sizeof r->sweep->output);
}

static const struct {
    const char *key;
    enum status (*read)(struct sweep_reader *r, const struct sweep_ini_entry *e);
} sweep_keys[] = {{"name", read_name},
                  {"dataset", read_dataset},
                  {"output", read_output},
                  {"seed", read_seed},
                  {"trainer", sweep_read_trainer},
                  {"command", sweep_read_command},
                  {"metrics", sweep_read_metrics},
                  {"metric", sweep_read_metric},
                  {"direction", sweep_read_direction},
                  {"resume", sweep_read_resume},
                  {"max-epochs", sweep_read_max_epochs},
                  {"method", sweep_read_method},
                  {"first-rung", sweep_read_first_rung},
                  {"reduction-factor", sweep_read_reduction_factor},
                  {"run-cap", sweep_read_run_cap},
                  {"retry-failed", sweep_read_retry_failed},
                  {"backend", read_backend},
                  {"device", read_device},
                  {"threads", read_threads},
                  {"gpus-per-trial", read_gpus_per_trial},
                  {"trainers-per-gpu", read_trainers_per_gpu},
                  {"device-memory-gib", read_device_memory},
                  {"sync-batchnorm", read_sync_batchnorm},
                  {"checkpoint-seconds", read_checkpoint_seconds},
                  {"max-attempts", read_max_attempts},
                  {"hang-seconds", read_hang_seconds},
                  {"worker-timeout-seconds", read_worker_timeout},
                  {"master-timeout-seconds", read_master_timeout},
                  {"time-limit", read_time_limit}};

static enum status read_sweep_entry(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    const char *keys[COUNT(sweep_keys)];
    for (size_t i = 0; i < COUNT(sweep_keys); i++) {
        if (strcmp(e->key, sweep_keys[i].key) == 0)
            return sweep_keys[i].read(r, e);
        keys[i] = sweep_keys[i].key;
    }
    return sweep_unknown_key(r, e, keys, COUNT(keys));
}

bool sweep_is_sweep_key(const char *key) {
    for (size_t i = 0; i < COUNT(sweep_keys); i++)
        if (text_edit_distance(key, sweep_keys[i].key) == 0)
            return true;
    return false;
}

// "sweeps/phase1.ini" -> "phase1"
static void name_of_path(const char *path, char out[SWEEP_NAME_SIZE]) {
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strcspn(base, ".");
    snprintf(out, SWEEP_NAME_SIZE, "%.*s", (int)(length < SWEEP_NAME_SIZE ? length : SWEEP_NAME_SIZE - 1), base);
    if (!*out)
        snprintf(out, SWEEP_NAME_SIZE, "sweep");
}

bool sweep_may_use_cuda(const struct sweep *s) {
    return s->program.kind == TRAINER_EMBEDDED && (strcmp(s->backend, "auto") == 0 || strcmp(s->backend, "cuda") == 0);
}

static enum status check_sharing(struct sweep_reader *r, int section) {
    const struct sweep *s = r->sweep;
    const struct sweep_ini_entry *e = section < 0 ? NULL : sweep_ini_find(r->ini, section, "trainers-per-gpu");
    if (s->trainers_per_gpu > 1 && s->members > 1)
        return sweep_ini_error(r->ini, e ? e->line : 1, r->err,
                               "trainers-per-gpu = %d with gpus-per-trial = %d: trials on several GPUs do not share "
                               "them; take 1 for one of the two",
                               s->trainers_per_gpu, s->members);
    return STATUS_OK;
}

enum status sweep_read_sweep(struct sweep_reader *r) {
    struct sweep *s = r->sweep;
    int section = sweep_ini_section_find(r->ini, "sweep", "");
    for (int i = 0; i < r->ini->entry_count; i++)
        if (section >= 0 && r->ini->entries[i].section == section)
            TRY(read_sweep_entry(r, &r->ini->entries[i]));
    TRY(sweep_check_trainer(r));
    TRY(check_sharing(r, section));
    if (!*s->dataset && s->program.kind == TRAINER_EMBEDDED)
        return sweep_ini_error(r->ini, section >= 0 ? r->ini->sections[section].line : 1, r->err,
                               "no dataset; add dataset = FILE.safetensors to [sweep]");
    if (!*s->name)
        name_of_path(s->path, s->name);
    if (!*s->output)
        snprintf(s->output, sizeof s->output, "runs/%s", s->name);
    return STATUS_OK;
}

// ---- [folds] ----

enum status sweep_read_fold_list(struct sweep_reader *r, const struct sweep_ini_entry *e, int *count, int *folds) {
    bool wanted[SWEEP_MAX_FOLDS] = {false};
    bool all = strcmp(e->value, "all") == 0;
    const char *at = e->value;
    while (!all) {
        char *end = NULL;
        long fold = strtol(at, &end, 10);
        bool empty = end == at;
        end += strspn(end, " \t");
        if (empty || (*end && *end != ','))
            return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: must be all or a list like 0, 2", e->key,
                                   e->value);
        if (fold < 0 || fold >= r->sweep->folds)
            return sweep_ini_error(r->ini, e->line, r->err,
                                   "%s = %.80s: fold %ld is not in 0 .. %d; folds count from 0", e->key, e->value, fold,
                                   r->sweep->folds - 1);
        if (wanted[fold])
            return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: fold %ld stands twice; name it once", e->key,
                                   e->value, fold);
        wanted[fold] = true;
        if (!*end)
            break;
        at = end + 1;
    }
    *count = 0;
    for (int fold = 0; fold < r->sweep->folds; fold++)
        if (all || wanted[fold])
            folds[(*count)++] = fold;
    return STATUS_OK;
}

enum status sweep_read_folds(struct sweep_reader *r) {
    static const char *const keys[] = {"count", "run"};
    struct sweep *s = r->sweep;
    int section = sweep_ini_section_find(r->ini, "folds", "");
    const struct sweep_ini_entry *count = section < 0 ? NULL : sweep_ini_find(r->ini, section, "count");
    bool whole = s->program.kind != TRAINER_EMBEDDED; // another program need not know of folds
    s->folds = whole ? 1 : s->folds;
    if (count) {
        unsigned long long folds = 0;
        TRY(sweep_read_whole(r, count, whole ? 1 : 2, SWEEP_MAX_FOLDS, &folds));
        s->folds = (int)folds;
    }
    for (s->run_count = 0; s->run_count < s->folds; s->run_count++)
        s->run_folds[s->run_count] = s->run_count;
    for (int i = 0; i < r->ini->entry_count; i++) {
        const struct sweep_ini_entry *e = &r->ini->entries[i];
        if (section < 0 || e->section != section || e == count)
            continue;
        if (strcmp(e->key, "run") != 0)
            return sweep_unknown_key(r, e, keys, COUNT(keys));
        TRY(sweep_read_fold_list(r, e, &s->run_count, s->run_folds));
    }
    return STATUS_OK;
}

// ---- [compare] ----

static enum status find_config(struct sweep_reader *r, const struct sweep_ini_entry *e, int *out) {
    const char *names[SWEEP_MAX_CONFIGS];
    for (int i = 0; i < r->sweep->config_count; i++) {
        names[i] = r->sweep->configs[i].name;
        if (strcmp(names[i], e->value) == 0) {
            *out = i;
            return STATUS_OK;
        }
    }
    if (r->sweep->config_count == 0)
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.64s: the file has no [config %.64s]; add it", e->key,
                               e->value, e->value);
    return sweep_ini_error(r->ini, e->line, r->err,
                           "%s = %.64s: there is no [config %.64s]; the nearest is [config %s]", e->key, e->value,
                           e->value, text_nearest(e->value, names, (size_t)r->sweep->config_count));
}

enum status sweep_read_compare(struct sweep_reader *r) {
    static const char *const keys[] = {"baseline", "candidate"};
    struct sweep *s = r->sweep;
    int section = sweep_ini_section_find(r->ini, "compare", "");
    if (section < 0)
        return STATUS_OK;
    for (int i = 0; i < r->ini->entry_count; i++) {
        const struct sweep_ini_entry *e = &r->ini->entries[i];
        if (e->section != section)
            continue;
        if (strcmp(e->key, keys[0]) == 0)
            TRY(find_config(r, e, &s->compare_baseline));
        else if (strcmp(e->key, keys[1]) == 0)
            TRY(find_config(r, e, &s->compare_candidate));
        else
            return sweep_unknown_key(r, e, keys, COUNT(keys));
    }
    int line = r->ini->sections[section].line;
    if (s->compare_baseline < 0 || s->compare_candidate < 0)
        return sweep_ini_error(r->ini, line, r->err, "[compare] has no %s; name a config in it",
                               s->compare_baseline < 0 ? keys[0] : keys[1]);
    if (s->compare_baseline == s->compare_candidate)
        return sweep_ini_error(r->ini, line, r->err, "baseline and candidate are both %s; name two configs",
                               s->configs[s->compare_baseline].name);
    return STATUS_OK;
}
