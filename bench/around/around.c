// What surrounds the training step of the full model: one trial (batch 4, T 7, 64x64, AdamW), and where its time goes.
//
//     bench_around DATASET FOLDER [--hidden 256] [--threads 2] [--epochs 4] [--checkpoint-seconds 1e9]
//
// Prints lines of a name and a number, for run.sh. The linker puts the functions below that begin with __wrap_ in front
// of the trainer's own calls, so that what is measured is the trainer as it stands. FOLDER is the trial's, and new.
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/around/usage.h"
#include "model/base/clock.h"
#include "worker/checkpoint.h"
#include "worker/trial_folder.h"

enum { MOST = 4096 };

// Times of the monotonic clock.
struct interval {
    double began, ended;
};

static struct {
    double started, ready;           // the process; its first step
    double in_step, in_evaluation;   // of the epoch under way
    double step_ended, epoch_ended;  // 0: none in this epoch; none yet
    struct interval step[MOST];      // from the end of the one before, where that is of the same epoch
    struct usage used[MOST], before; // in each step; so far
    struct interval
        written[MOST]; // checkpoints: from the making of memory, or from when the state is left, to the last rename
    double overhead[MOST], epoch[MOST]; // overhead: what is neither steps nor evaluation
    double evaluation_seconds;
    int evaluated; // samples
    int steps, epochs;
    atomic_int checkpoints; // that have been begun
    atomic_bool writing;
} seen;

static void note_step(double began, double ended) {
    struct usage now = usage_now(), then = seen.before;
    seen.before = now;
    if (seen.steps == 0)
        seen.ready = ended;
    if (seen.step_ended > 0 && seen.steps < MOST) {
        seen.used[seen.steps] =
            (struct usage){now.writer - then.writer, now.waited - then.waited, now.stolen - then.stolen};
        seen.step[seen.steps++] = (struct interval){seen.step_ended, ended};
    } else if (seen.steps == 0) {
        seen.steps = 1; // the first one, compiling and all, is no step like the others
    }
    seen.step_ended = ended;
    seen.in_step += ended - began;
}

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names

enum status __real_network_train_step(network *net, int batch, const float *image, const uint8_t *mask,
                                      const struct optimizer_config *config, double lr, struct step_result *result,
                                      struct error *err);
enum status __wrap_network_train_step(network *net, int batch, const float *image, const uint8_t *mask,
                                      const struct optimizer_config *config, double lr, struct step_result *result,
                                      struct error *err);
enum status __wrap_network_train_step(network *net, int batch, const float *image, const uint8_t *mask,
                                      const struct optimizer_config *config, double lr, struct step_result *result,
                                      struct error *err) {
    double began = clock_seconds();
    enum status status = __real_network_train_step(net, batch, image, mask, config, lr, result, err);
    note_step(began, clock_seconds());
    return status;
}

enum status __real_network_evaluate(network *net, int batch, const float *image, const uint8_t *mask,
                                    const struct focal_loss_config *focal, float *logits, struct loss_sums *sums,
                                    struct error *err);
enum status __wrap_network_evaluate(network *net, int batch, const float *image, const uint8_t *mask,
                                    const struct focal_loss_config *focal, float *logits, struct loss_sums *sums,
                                    struct error *err);
enum status __wrap_network_evaluate(network *net, int batch, const float *image, const uint8_t *mask,
                                    const struct focal_loss_config *focal, float *logits, struct loss_sums *sums,
                                    struct error *err) {
    double began = clock_seconds();
    enum status status = __real_network_evaluate(net, batch, image, mask, focal, logits, sums, err);
    double seconds = clock_seconds() - began;
    seen.in_evaluation += seconds;
    if (seen.epochs > 0) { // the first epoch compiles
        seen.evaluation_seconds += seconds;
        seen.evaluated += batch;
    }
    return status;
}

static void note_checkpoint(void) {
    if (!atomic_exchange(&seen.writing, true) && seen.checkpoints < MOST)
        seen.written[seen.checkpoints++].began = clock_seconds();
}

enum status __real_network_frozen_create(network *net, enum optimizer_kind optimizer, network_frozen **frozen,
                                         struct error *err);
enum status __wrap_network_frozen_create(network *net, enum optimizer_kind optimizer, network_frozen **frozen,
                                         struct error *err);
enum status __wrap_network_frozen_create(network *net, enum optimizer_kind optimizer, network_frozen **frozen,
                                         struct error *err) {
    note_checkpoint();
    return __real_network_frozen_create(net, optimizer, frozen, err);
}

void __real_network_freeze(network *net, bool best, network_frozen *frozen);
void __wrap_network_freeze(network *net, bool best, network_frozen *frozen);
void __wrap_network_freeze(network *net, bool best, network_frozen *frozen) {
    note_checkpoint();
    __real_network_freeze(net, best, frozen);
}

enum status __real_file_replace_begin(struct file_replace *f, const char *path, struct error *err);
enum status __wrap_file_replace_begin(struct file_replace *f, const char *path, struct error *err);
enum status __wrap_file_replace_begin(struct file_replace *f, const char *path, struct error *err) {
    if (strstr(path, ".safetensors"))
        note_checkpoint();
    return __real_file_replace_begin(f, path, err);
}

enum status __real_trial_folder_commit(const struct trial_folder *folder, struct file_replace *f, const char *keep,
                                       struct error *err);
enum status __wrap_trial_folder_commit(const struct trial_folder *folder, struct file_replace *f, const char *keep,
                                       struct error *err);
enum status __wrap_trial_folder_commit(const struct trial_folder *folder, struct file_replace *f, const char *keep,
                                       struct error *err) {
    enum status status = __real_trial_folder_commit(folder, f, keep, err);
    if (strstr(f->path, "last.safetensors")) {
        seen.written[seen.checkpoints - 1].ended = clock_seconds();
        atomic_store(&seen.writing, false);
    }
    return status;
}

// NOLINTEND(bugprone-reserved-identifier)

static void on_epoch(void *context, const struct trial *trial, const struct epoch_metrics *metrics, bool replayed,
                     double seconds) {
    (void)context, (void)trial, (void)metrics, (void)replayed, (void)seconds;
    double now = clock_seconds();
    if (seen.epoch_ended > 0 && seen.epochs < MOST) {
        seen.epoch[seen.epochs] = now - seen.epoch_ended;
        seen.overhead[seen.epochs] = seen.epoch[seen.epochs] - seen.in_step - seen.in_evaluation;
    }
    seen.epochs++;
    seen.epoch_ended = now;
    seen.step_ended = seen.in_step = seen.in_evaluation = 0;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int count) {
    qsort(x, (size_t)count, sizeof *x, ascending);
    return count ? x[count / 2] : 0;
}

static bool meets(struct interval a, struct interval b) {
    return a.began < b.ended && b.began < a.ended;
}

static bool undisturbed(struct interval s) {
    for (int k = 0; k < seen.checkpoints; k++)
        if (meets(s, seen.written[k]))
            return false;
    return true;
}

// Of the steps that were disturbed, or of the others: how many, the longest, what threads waited for a processor, what
// the hypervisor took, and the most that the writer ran.
static void print_steps(const char *name, bool disturbed) {
    double longest = 0, waited = 0, most_waited = 0, writer = 0, stolen = 0;
    int count = 0;
    for (int i = 1; i < seen.steps; i++) {
        double seconds = seen.step[i].ended - seen.step[i].began, wait = seen.used[i].waited;
        if (undisturbed(seen.step[i]) == disturbed)
            continue;
        count++;
        longest = seconds > longest ? seconds : longest;
        waited += wait;
        most_waited = wait > most_waited ? wait : most_waited;
        writer = seen.used[i].writer > writer ? seen.used[i].writer : writer;
        stolen += seen.used[i].stolen;
    }
    if (count == 0)
        return;
    printf("%s_steps %d\n%s_longest_ms %.1f\n", name, count, name, 1e3 * longest);
    printf("%s_waited_ms %.1f\n%s_waited_most_ms %.1f\n", name, 1e3 * waited / count, name, 1e3 * most_waited);
    printf("%s_stolen_ms %.1f\n%s_writer_most_ms %.1f\n", name, 1e3 * stolen / count, name, 1e3 * writer);
}

// The longest step while a checkpoint was written, and how much longer all such steps took together, beside the median
// of the others. A checkpoint written at the end of the trial delays no step.
static void print_checkpoints(double quiet) {
    static double longest[MOST], together[MOST], took[MOST], disturbed[MOST];
    int count = 0, steps = 0;
    for (int i = 1; i < seen.steps; i++)
        if (!undisturbed(seen.step[i]))
            disturbed[steps++] = seen.step[i].ended - seen.step[i].began;
    for (int k = 0; k < seen.checkpoints; k++) {
        double most = 0, excess = 0;
        for (int i = 1; i < seen.steps; i++)
            if (meets(seen.step[i], seen.written[k])) {
                double seconds = seen.step[i].ended - seen.step[i].began;
                most = seconds > most ? seconds : most;
                excess += seconds - quiet;
            }
        if (most == 0)
            continue;
        longest[count] = most;
        together[count] = excess;
        took[count++] = seen.written[k].ended - seen.written[k].began;
    }
    if (count == 0)
        return;
    printf("checkpoint_seconds %.4f\n", median(took, count));
    printf("checkpoint_disturbed_step_ms %.1f\n", 1e3 * median(disturbed, steps));
    printf("checkpoint_longest_step_ms %.1f\n", 1e3 * median(longest, count));
    print_steps("checkpoint", true);
    printf("checkpoint_delay_ms %.1f\n", 1e3 * median(together, count));
    printf("checkpoints %d\n", count);
}

static void print_all(const struct trial *trial, double to_start) {
    static double quiet[MOST];
    struct rusage usage;
    int count = 0;
    printf("first_step_s %.3f\n", to_start + seen.ready - seen.started);
    for (int i = 1; i < seen.steps; i++)
        if (undisturbed(seen.step[i]))
            quiet[count++] = seen.step[i].ended - seen.step[i].began;
    double typical = median(quiet, count);
    printf("step_ms %.1f\n", 1e3 * typical);
    print_steps("quiet", false);
    int epochs = seen.epochs - 1;
    if (seen.checkpoints <= 1 && epochs > 0) { // one at the end
        printf("epoch_overhead_ms %.2f\n", 1e3 * median(seen.overhead + 1, epochs));
        printf("epoch_s %.3f\n", median(seen.epoch + 1, epochs));
    }
    double side = (double)trial->hp.image_size;
    if (seen.evaluation_seconds > 0)
        printf("evaluation_megapixels_s %.4f\n", 1e-6 * side * side * seen.evaluated / seen.evaluation_seconds);
    print_checkpoints(typical);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        printf("peak_mib %.0f\n", (double)usage.ru_maxrss / 1024);
}

static void usage(void) {
    fprintf(stderr,
            "usage: bench_around DATASET FOLDER [--hidden N] [--threads N] [--epochs N] [--checkpoint-seconds S]\n");
    exit(2);
}

static struct trial parse(int argc, char **argv) {
    static const struct option known[] = {{"hidden", required_argument, NULL, 'h'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"epochs", required_argument, NULL, 'e'},
                                          {"checkpoint-seconds", required_argument, NULL, 'c'},
                                          {0}};
    struct trial t = {.hp = hyperparameters_default(),
                      .folds = 5,
                      .fold = 3,
                      .seed = 42,
                      .backend = "cpu",
                      .threads = 2,
                      .checkpoint_seconds = 1e9};
    t.hp.optimizer = OPTIMIZER_ADAMW;
    t.hp.lstm_hidden_dim = 256;
    t.hp.epochs = 4;
    t.hp.lr = 1e-4;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 'h':
            t.hp.lstm_hidden_dim = (int)strtol(optarg, NULL, 10);
            break;
        case 't':
            t.threads = (int)strtol(optarg, NULL, 10);
            break;
        case 'e':
            t.hp.epochs = (int)strtol(optarg, NULL, 10);
            break;
        case 'c':
            t.checkpoint_seconds = strtod(optarg, NULL);
            break;
        default:
            usage();
        }
    if (argc - optind != 2)
        usage();
    snprintf(t.dataset, sizeof t.dataset, "%s", argv[optind]);
    snprintf(t.folder, sizeof t.folder, "%s", argv[optind + 1]);
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    return t;
}

// Seconds since the moment that BEGAN holds (date +%s.%N), which is when the program was called; 0 without it.
static double since_called(void) {
    const char *began = getenv("BEGAN");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return began ? (double)now.tv_sec + 1e-9 * (double)now.tv_nsec - strtod(began, NULL) : 0;
}

int main(int argc, char **argv) {
    struct trial trial = parse(argc, argv);
    struct trainer_hooks hooks = {.epoch = on_epoch};
    struct trial_result result;
    struct error err;
    trainer *t = NULL;
    double to_start = since_called();
    seen.started = clock_seconds();
    enum status status = trainer_create(&t, &err);
    if (status == STATUS_OK)
        status = trainer_run(t, &trial, &hooks, &result, &err);
    if (status == STATUS_OK && result.status != TRIAL_DONE)
        status = error_set(&err, STATUS_INVALID, "%s", result.error);
    trainer_destroy(t);
    if (status == STATUS_OK)
        print_all(&trial, to_start);
    else
        fprintf(stderr, "bench_around: %s\n", err.message);
    return status != STATUS_OK;
}
