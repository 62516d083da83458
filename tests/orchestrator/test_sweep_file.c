// Sweep files: what they mean, canonical text, overrides, and one clear line for everything that is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/sweep_file.h"
#include "tests/results/temporary_folder.h"

// Parsing asks only whether the dataset is there.
#define DATASET TEST_SOURCE_DIR "/CMakeLists.txt"
#define HEAD    "[sweep]\ndataset = " DATASET "\n"

static struct sweep *parse(const char *text, const char *const *overrides, int count) {
    struct sweep *s;
    struct error err = {0};
    if (sweep_parse_text(text, "s.ini", overrides, count, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return s;
}

static void expect_error(const char *text, const char *const *overrides, int count, const char *message) {
    struct sweep *s = NULL;
    struct error err = {0};
    assert_int_not_equal(sweep_parse_text(text, "s.ini", overrides, count, &s, &err), STATUS_OK);
    assert_null(s);
    assert_string_equal(err.message, message);
}

static void test_defaults(void **state) {
    (void)state;
    struct sweep *s = parse(HEAD "[config a]\n", NULL, 0);
    assert_string_equal(s->name, "s");
    assert_string_equal(s->output, "runs/s");
    assert_string_equal(s->backend, "auto");
    assert_int_equal(s->seed, 42);
    assert_int_equal(s->threads, 0);
    assert_int_equal(s->max_attempts, 3);
    assert_true(s->checkpoint_seconds == 60);
    assert_true(s->hang_seconds == 0 && s->worker_timeout == 60);
    assert_true(s->members == 1 && s->trainers_per_gpu == 0 && s->sync_batchnorm);
    assert_int_equal(s->folds, 5);
    assert_int_equal(s->run_count, 5);
    assert_int_equal(s->config_count, 1);
    assert_int_equal(s->configs[0].run_count, 5);
    assert_int_equal(s->swept_count, 0);
    assert_int_equal(s->compare_baseline, -1);
    sweep_destroy(s);
}

static const char everything[] =
    "\xEF\xBB\xBF; a comment\r\n" HEAD "name = all\noutput = out/x ; inline\nseed = "
    "18446744073709551615\nmetric = val_iou\n"
    "backend = reference\nthreads = 2\ncheckpoint_seconds = 0.1\nmax-attempts = 7\n"
    "hang-seconds = 90\nworker-timeout-seconds = 7.5\n"
    "gpus-per-trial = 2\ntrainers-per-gpu = 1\ndevice-memory-gib = 79.5\nsync-batchnorm = off\n"
    "[folds]\ncount = 4\nrun = 3, 1\n"
    "[base]\nbatch_size = 8\n  lr = 1e-2\n"
    "[grid first]\nlr = 0.0010, 0.01\noptimizer = sgd,adamw\nfolds = 0\n"
    "[grid second]\nlr = @first\ndecoder-channels = 8,8,8,8,8 | 16,16,8,8,8\nfolds = all\n"
    "[config base]\n"
    "[config best]\nfrom = @this\nepochs = 3\nlr = @second\n"
    "[compare]\nbaseline = base\ncandidate = best\n";

static void test_everything(void **state) {
    (void)state;
    struct sweep *s = parse(everything, NULL, 0);
    assert_string_equal(s->name, "all");
    assert_string_equal(s->output, "out/x");
    assert_true(s->seed == UINT64_MAX);
    assert_int_equal(s->threads, 2);
    assert_true(s->checkpoint_seconds == 0.1);
    assert_true(s->hang_seconds == 90 && s->worker_timeout == 7.5);
    assert_true(s->members == 2 && s->trainers_per_gpu == 1 && s->device_memory_gib == 79.5 && !s->sync_batchnorm);
    assert_int_equal(s->max_attempts, 7);
    assert_int_equal(s->folds, 4);
    assert_int_equal(s->run_count, 2);
    assert_int_equal(s->run_folds[0], 1);
    assert_int_equal(s->run_folds[1], 3);
    assert_int_equal(s->base.batch_size, 8);
    assert_true(s->base.lr == 0.01);
    assert_int_equal(s->grid_count, 2);
    const struct sweep_grid *first = &s->grids[0], *second = &s->grids[1];
    assert_int_equal(first->axis_count, 2);
    assert_int_equal(first->axes[0].hyper, HYPER_lr);
    assert_string_equal(first->axes[0].values[0], "0.001");
    assert_string_equal(first->axes[1].values[1], "adamw");
    assert_int_equal(first->run_count, 1);
    assert_int_equal(first->run_folds[0], 0);
    assert_int_equal(second->axes[0].reference, 0);
    assert_int_equal(second->axes[0].value_count, 0);
    assert_int_equal(second->axes[1].value_count, 2);
    assert_string_equal(second->axes[1].values[1], "16,16,8,8,8");
    assert_int_equal(second->run_count, 4);
    assert_int_equal(s->configs[0].run_count, 2);
    assert_string_equal(s->configs[1].from, "@this");
    assert_int_equal(s->configs[1].setting_count, 2);
    assert_int_equal(s->configs[1].settings[1].reference, 1);
    assert_int_equal(s->compare_baseline, 0);
    assert_int_equal(s->compare_candidate, 1);
    int swept[] = {HYPER_lr, HYPER_optimizer, HYPER_epochs, HYPER_decoder_channels};
    assert_int_equal(s->swept_count, 4);
    assert_memory_equal(s->swept, swept, sizeof swept);
    sweep_destroy(s);
}

static void test_canonical_text_is_a_sweep_of_the_same_text(void **state) {
    (void)state;
    struct sweep *s = parse(everything, NULL, 0), *again = parse(s->text, NULL, 0);
    assert_string_equal(s->text, again->text);
    assert_string_equal(again->name, "all");
    assert_memory_equal(&s->base, &again->base, sizeof s->base);
    assert_memory_equal(s->swept, again->swept, sizeof s->swept);
    assert_int_equal(again->grids[1].axes[0].reference, 0);
    assert_non_null(strstr(s->text, "seed = 18446744073709551615\n"));
    assert_non_null(strstr(s->text, "checkpoint-seconds = 0.1\n"));
    assert_non_null(strstr(s->text, "\n[grid second]\nfolds = 0, 1, 2, 3\nlr = @first\n"
                                    "decoder-channels = 8,8,8,8,8 | 16,16,8,8,8\n"));
    assert_non_null(strstr(s->text, "\n[config best]\nfrom = @this\nepochs = 3\nlr = @second\n"));
    sweep_destroy(again);
    sweep_destroy(s);
}

static void test_equal_sweeps_have_equal_texts(void **state) {
    (void)state;
    struct sweep *a = parse(HEAD "[base]\nlr = 0.010\n[grid x]\nlstm_hidden_dim = 256,512\n", NULL, 0);
    struct sweep *b = parse("# other\n" HEAD "[grid x]\n lstm-hidden-dim : 256 , 512\n[base]\nlr=1e-2\n", NULL, 0);
    assert_string_equal(a->text, b->text);
    sweep_destroy(a);
    sweep_destroy(b);
}

static void test_overrides(void **state) {
    (void)state;
    static const char *const words[] = {"lr=0.5",       "batch_size=2", "seed=7",      "sweep.threads=4",
                                        "folds.run= 2", "name=other",   "output=/o x", "grid first.lr=0.1, 0.2, 0.3"};
    struct sweep *s = parse(HEAD "[grid first]\nlr = 0.01\n", words, sizeof words / sizeof *words);
    assert_true(s->base.lr == 0.5);
    assert_int_equal(s->base.batch_size, 2);
    assert_int_equal(s->seed, 7);
    assert_int_equal(s->threads, 4);
    assert_int_equal(s->run_count, 1);
    assert_int_equal(s->run_folds[0], 2);
    assert_int_equal(s->grids[0].run_folds[0], 2);
    assert_string_equal(s->output, "/o x");
    assert_int_equal(s->grids[0].axes[0].value_count, 3);
    struct sweep *again = parse(s->text, NULL, 0);
    assert_string_equal(s->text, again->text);
    sweep_destroy(again);
    sweep_destroy(s);
}

static void test_override_errors(void **state) {
    (void)state;
    static const struct {
        const char *word, *message;
    } cases[] = {
        {"lr", "command line: 'lr' is not KEY=VALUE; write it like lr=0.01"},
        {"=1", "command line: '=1' is not KEY=VALUE; write it like lr=0.01"},
        {"lerning=1", "command line: unknown key 'lerning'; the nearest is 'lr' (other sections: SECTION.KEY=VALUE)"},
        {"lr=1e9", "command line: lr = 1e9: must lie in 1e-12 .. 1000"},
        {"grid x.lr=1", "command line: 'grid x': the file has no [grid x]; the nearest is [grid a]"},
        {"folds.runs=1", "command line: unknown key 'runs' in [folds]; the nearest is 'run'"},
        {"output=a ;b", "command line: 'output=a ;b': is too long or holds a line break or ' ;'; take another value"},
        {"dataset=/no/such", "command line: dataset /no/such does not exist; make it with gridfold import, or give the "
                             "right path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(HEAD "[grid a]\nlr = 1\n", &cases[i].word, 1, cases[i].message);
}

static const struct {
    const char *text, *message;
} errors[] = {
    // the form of the file
    {"x = 1\n", "s.ini:1: 'x' stands before the first section; put it under [sweep] or [base]"},
    {HEAD "what is this\n", "s.ini:3: is neither [section] nor key = value; mend or remove the line"},
    {HEAD "[grid a\n", "s.ini:3: is neither [section] nor key = value; mend or remove the line"},
    {HEAD "seed = 1\n\nseed = 2\n", "s.ini:5: 'seed' stands already in line 3; keep one of the two"},
    {HEAD "[base]\nbatch-size = 1\nbatch_size = 2\n",
     "s.ini:5: 'batch-size' stands already in line 4; keep one of the two"},
    {HEAD "[grid a]\nlr = 1\n[grid  a ]\n", "s.ini:5: section [grid a] stands already in line 3; join the two"},
    {HEAD "[swep]\n", "s.ini:3: unknown section [swep]; the nearest is [sweep]"},
    {HEAD "[configs x]\n", "s.ini:3: unknown section [configs x]; the nearest is [config]"},
    {HEAD "[base x]\n", "s.ini:3: [base x]: [base] has no name; write [base]"},
    // [sweep]
    {"[sweep]\nname = a\n[config a]\n", "s.ini:1: no dataset; add dataset = FILE.safetensors to [sweep]"},
    {"\n[base]\nlr = 1\n", "s.ini:1: no dataset; add dataset = FILE.safetensors to [sweep]"},
    {"[sweep]\ndataset = no/such.safetensors\n", "s.ini:2: dataset no/such.safetensors does not exist; make it with "
                                                 "gridfold import, or give the right path"},
    {HEAD "sead = 1\n", "s.ini:3: unknown key 'sead' in [sweep]; the nearest is 'seed'"},
    {HEAD "lr = 1\n", "s.ini:3: 'lr' does not belong in [sweep]; put it in [base]"},
    {HEAD "seed = -1\n", "s.ini:3: seed = -1: must be a whole number in 0 .. 18446744073709551615"},
    {HEAD "metric = val_f1\n", "s.ini:3: metric = val_f1: the only metric is val_iou; take that"},
    {HEAD "threads = 0\n", "s.ini:3: threads = 0: must be auto or a whole number in 1 .. 4096"},
    {HEAD "gpus-per-trial = 17\n", "s.ini:3: gpus-per-trial = 17: must be a whole number in 1 .. 16"},
    {HEAD "trainers-per-gpu = 0\n", "s.ini:3: trainers-per-gpu = 0: must be a whole number in 1 .. 64"},
    {HEAD "device-memory-gib = 0\n", "s.ini:3: device-memory-gib = 0: must be a number above 0, at most 4096"},
    {HEAD "gpus-per-trial = 2\ntrainers-per-gpu = 3\n",
     "s.ini:4: trainers-per-gpu = 3 with gpus-per-trial = 2: trials on several GPUs do not share them; take 1 for one "
     "of the two"},
    {"[sweep]\ntrainer = none\ntrainers-per-gpu = 2\n[grid a]\nx = 1\n",
     "s.ini:3: trainers-per-gpu has no meaning with trainer = none; remove it"},
    {HEAD "sync-batchnorm = yes\n", "s.ini:3: sync-batchnorm = yes: must be on or off"},
    {HEAD "checkpoint-seconds = nan\n", "s.ini:3: checkpoint-seconds = nan: must be a number in 0 .. 1000000"},
    {HEAD "hang-seconds = 0\n", "s.ini:3: hang-seconds = 0: must be a number in 1 .. 1000000"},
    {HEAD "worker-timeout-seconds = 1\n", "s.ini:3: worker-timeout-seconds = 1: must be a number in 4 .. 1000000"},
    {HEAD "max-attempts = 0\n", "s.ini:3: max-attempts = 0: must be a whole number in 1 .. 1000"},
    {HEAD "name = a/b\n", "s.ini:3: name = a/b: holds a slash; take a plain name"},
    {HEAD "output =\n", "s.ini:3: output is empty; give it a value or remove the line"},
    {HEAD, "s.ini:1: nothing to run; add a [grid NAME] or a [config NAME]"},
    // [folds]
    {HEAD "[folds]\ncount = 1\n", "s.ini:4: count = 1: must be a whole number in 2 .. 64"},
    {HEAD "[folds]\nrun = 5\n", "s.ini:4: run = 5: fold 5 is not in 0 .. 4; folds count from 0"},
    {HEAD "[folds]\nrun = 0, 1, 0\n", "s.ini:4: run = 0, 1, 0: fold 0 stands twice; name it once"},
    {HEAD "[folds]\nrun = some\n", "s.ini:4: run = some: must be all or a list like 0, 2"},
    {HEAD "[folds]\nruns = 1\n", "s.ini:4: unknown key 'runs' in [folds]; the nearest is 'run'"},
    {HEAD "[grid a]\nfolds = 9\nlr = 1\n", "s.ini:4: folds = 9: fold 9 is not in 0 .. 4; folds count from 0"},
    // hyperparameters
    {HEAD "[base]\nlerning = 1\n", "s.ini:4: unknown key 'lerning' in [base]; the nearest is 'lr'"},
    {HEAD "[base]\nlr = 12000\n", "s.ini:4: lr = 12000: must lie in 1e-12 .. 1000"},
    {HEAD "[base]\nimage-size = 65\n", "s.ini:4: image-size = 65: must be a multiple of 32; take 64"},
    {HEAD "[base]\ninit-checkpoint = no.safetensors\n",
     "s.ini:4: init-checkpoint no.safetensors does not exist; give the right path"},
    // grids
    {HEAD "[grid]\nlr = 1\n", "s.ini:3: [grid] has no name; write [grid NAME]"},
    {HEAD "[grid a/b]\nlr = 1\n", "s.ini:3: [grid a/b]: a name is made of letters, digits and . _ - +; rename it"},
    {HEAD "[grid this]\nlr = 1\n", "s.ini:3: [grid this]: @this means all grids of this file; rename it"},
    {HEAD "[grid a]\n[grid b]\nlr = 1\n", "s.ini:3: [grid a] is empty; add a list such as lr = 0.001, 0.01"},
    {HEAD "[grid a]\nfolds = 1\n", "s.ini:3: [grid a] is empty; add a list such as lr = 0.001, 0.01"},
    {HEAD "[grid a]\nlr = 0.1, 1e-1\n", "s.ini:4: lr: 0.1 stands twice in the list; name it once"},
    {HEAD "[grid a]\nlr = 0.1,, 0.2\n", "s.ini:4: lr: a value of the list is empty; write it as lr = A, B"},
    {HEAD "[grid a]\nlr =\n", "s.ini:4: lr: a value of the list is empty; write it as lr = A, B"},
    {HEAD "[grid a]\nlr = 0.1, x\n", "s.ini:4: lr = x: is not a number; write one like 0.001"},
    {HEAD "[grid a]\nimage-size = 64, 65\n", "s.ini:4: image-size = 65: must be a multiple of 32; take 64"},
    {HEAD "[grid a]\nlrs = 1\n", "s.ini:4: unknown key 'lrs' in [grid a]; the nearest is 'lr'"},
    // references
    {HEAD "[grid a]\nlr = 1, 2\n[grid bc]\nlr = @b\n", "s.ini:6: lr = @b: there is no [grid b]; the nearest is @a"},
    {HEAD "[grid a]\nlr = @b\n[grid b]\nlr = 1\n", "s.ini:4: lr = @b: [grid b] stands later, in line 5; move it up"},
    {HEAD "[grid a]\nlr = @a\n", "s.ini:4: lr = @a: a grid cannot take its own winner; name an earlier one"},
    {HEAD "[grid a]\nlr = @z\n", "s.ini:4: lr = @z: there is no grid before this line; add [grid z]"},
    {HEAD "[grid a]\nlr = 1, 2\n[grid b]\noptimizer = @a\n",
     "s.ini:6: optimizer = @a: [grid a] does not sweep optimizer, but lr"},
    {HEAD "[grid a]\nlr = 1, 2\n[grid b]\nlr = @a, 3\n",
     "s.ini:6: lr = @a, 3: a reference stands alone; take it out of the list"},
    // the method
    {HEAD "method = bohb\n[grid a]\nlr = 1\n",
     "s.ini:3: method = bohb: must be grid, random or asha; the nearest is asha"},
    {HEAD "method = asha\n[grid a]\nlr = 1\n",
     "s.ini:3: method = asha needs first-rung = EPOCHS, after which the first choice is made"},
    {HEAD "method = asha\nfirst-rung = 3\n[base]\nepochs = 3\n[grid a]\nlr = 1\n",
     "s.ini:4: first-rung = 3: must be less than the 3 epochs of a training"},
    {HEAD "method = asha\nfirst-rung = 3\n[config a]\nlr = 1\n",
     "s.ini:3: method = asha has nothing to choose among; add a [random NAME] or a [grid NAME]"},
    {HEAD "method = asha\nfirst-rung = 3\n[grid a]\nlr = 1\nepochs = 5, 6\n",
     "s.ini:7: [grid a] sweeps epochs: under method = asha all are compared after the same numbers of epochs; set epochs "
     "in [base]"},
    {HEAD "first-rung = 3\n[grid a]\nlr = 1\n",
     "s.ini:3: first-rung belongs to method = asha, which [sweep] does not say"},
    {HEAD "method = asha\nfirst-rung = 1\nreduction-factor = 1\n[grid a]\nlr = 1\n",
     "s.ini:5: reduction-factor = 1: must be a whole number in 2 .. 1000000"},
    {HEAD "run-cap = 0\n[grid a]\nlr = 1\n", "s.ini:3: run-cap = 0: must be a whole number in 1 .. 1000000"},
    {HEAD "retry-failed = maybe\n[grid a]\nlr = 1\n", "s.ini:3: retry-failed = maybe: must be yes or no"},
    {"[sweep]\ntrainer = none\nmethod = asha\nfirst-rung = 1\n[grid a]\nx = 1, 2\n",
     "s.ini:3: method = asha has nothing to compare with trainer = none, which trains no epochs"},
    // configs and compare
    {HEAD "[config a]\nlr = 0.1, 0.2\n", "s.ini:4: lr = 0.1, 0.2: is not a number; write one like 0.001"},
    {HEAD "[config a]\nfrom = @this\n", "s.ini:4: from = @this: the file has no grids to take winners of; add a [grid "
                                        "NAME] or name a run folder"},
    {HEAD "[config a]\nfrom = @b\n",
     "s.ini:4: from = @b: must be a run folder, or @this; the winner of one key is KEY = @b"},
    {HEAD "[config a]\nfrom = no/run\n", "s.ini:4: from = no/run: there is no no/run/trials.csv; run that sweep first"},
    {HEAD "[config a]\n[compare]\nbaseline = b\n",
     "s.ini:5: baseline = b: there is no [config b]; the nearest is [config a]"},
    {HEAD "[grid g]\nlr = 1\n[compare]\nbaseline = b\n", "s.ini:6: baseline = b: the file has no [config b]; add it"},
    {HEAD "[config a]\n[compare]\nbaseline = a\n", "s.ini:4: [compare] has no candidate; name a config in it"},
    {HEAD "[config a]\n[compare]\nbaseline = a\ncandidate = a\n",
     "s.ini:4: baseline and candidate are both a; name two configs"},
    {HEAD "[config a]\n[compare]\nbase = a\n", "s.ini:5: unknown key 'base' in [compare]; the nearest is 'baseline'"},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        expect_error(errors[i].text, NULL, 0, errors[i].message);
}

static void test_the_first_error_of_the_file_is_told(void **state) {
    (void)state;
    expect_error(HEAD "seed = 1\nseed = 2\nnonsense\n", NULL, 0,
                 "s.ini:4: 'seed' stands already in line 3; keep one of the two");
    expect_error(HEAD "nonsense\nseed = 1\nseed = 2\n", NULL, 0,
                 "s.ini:3: is neither [section] nor key = value; mend or remove the line");
}

static void test_backend_of_the_build(void **state) {
    (void)state;
    struct sweep *s;
    struct error err;
    assert_int_equal(sweep_parse_text(HEAD "backend = cuda\n[config a]\n", "s.ini", NULL, 0, &s, &err), STATUS_INVALID);
    assert_int_equal(strncmp(err.message, "s.ini:3: backend = cuda: this build has auto, cpu, reference", 60), 0);
}

static void test_long_lines(void **state) {
    (void)state;
    char text[8192], list[6000] = "", message[128];
    for (int i = 1; i <= 400; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d", i > 1 ? ", " : "", i);
    snprintf(text, sizeof text, HEAD "[grid a]\nepochs = %s\n", list);
    struct sweep *s = parse(text, NULL, 0); // far beyond inih's 200 bytes
    assert_int_equal(s->grids[0].axes[0].value_count, 400);
    struct sweep *again = parse(s->text, NULL, 0);
    assert_string_equal(s->text, again->text);
    sweep_destroy(again);
    sweep_destroy(s);
    memset(list, '1', 5000);
    list[5000] = '\0';
    snprintf(text, sizeof text, HEAD "[grid a]\nepochs = %s\nlr = 1\n", list);
    snprintf(message, sizeof message, "s.ini:4: line is longer than %d bytes; split it", 4096 - 2);
    expect_error(text, NULL, 0, message);
}

static void test_too_many_points(void **state) {
    (void)state;
    char text[4096] = HEAD "[grid a]\n";
    static const char *const keys[] = {"epochs", "batch-size", "lstm-hidden-dim"};
    for (int k = 0; k < 3; k++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s = 1", keys[k]);
        for (int i = 2; i <= 60; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), ", %d", i);
        strcat(text, "\n");
    }
    expect_error(text, NULL, 0, "s.ini:3: [grid a] has 216000 points, more than 100000; take fewer values");
}

// ---- from = RUN_DIR ----

static const char run_sweep_ini[] = "[sweep]\ndataset = gone.safetensors\n[folds]\nrun = 0, 1\n"
                                    "[grid lr]\nlr = 0.001, 0.01, 0.1\n"
                                    "[grid opt]\noptimizer = sgd, adamw\nlr = @lr\n"
                                    "[grid size]\nfolds = 0\nimage-size = 64, 128\n";
#define TRIALS_HEAD                                                                                                    \
    "trial,grid,config,fold,lr,optimizer,image_size,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,"       \
    "parameters,epochs_run,error\n"
#define LR_ROWS                                                                                                        \
    "a,lr,x,0,0.001,sgd,64,done,0.9,1,0,0,0,1,2,\na,lr,x,1,0.001,sgd,64,done,0.1,1,0,0,0,1,2,\n"                       \
    "b,lr,x,0,0.01,sgd,64,done,0.5,1,0,0,0,1,2,\nb,lr,x,1,0.01,sgd,64,done,0.6,1,0,0,0,1,2,\n"                         \
    "c,lr,x,0,0.1,sgd,64,diverged,,,,,,1,2,boom\nc,lr,x,1,0.1,sgd,64,done,0.55,1,0,0,0,1,2,\n"
#define OPT_ROWS                                                                                                       \
    "b,opt,x,0,0.01,sgd,64,done,0.5,1,0,0,0,1,2,\nb,opt,x,1,0.01,sgd,64,done,0.6,1,0,0,0,1,2,\n"                       \
    "d,opt,x,0,0.01,adamw,64,done,0.7,1,0,0,0,1,2,\nd,opt,x,1,0.01,adamw,64,done,0.8,1,0,0,0,1,2,\n"
#define SIZE_ROWS "b,size,x,0,0.01,sgd,64,done,0.5,1,0,0,0,1,2,\ne,size,x,0,0.01,sgd,128,failed,,,,,,1,0,small\n"

static void write_run(const char *sweep_ini, const char *trials) {
    const char *path = temporary_path("sweep.ini");
    remove(path);
    if (sweep_ini)
        temporary_write(path, sweep_ini);
    temporary_write(temporary_path("trials.csv"), trials);
}

static const char *setting(const struct sweep_config *c, int hyper) {
    for (int i = 0; i < c->setting_count; i++)
        if (c->settings[i].hyper == hyper)
            return c->settings[i].values[0];
    return NULL;
}

static void check_from(void) {
    char text[512];
    snprintf(text, sizeof text, HEAD "[config best]\nfrom = %s\nimage-size = 96\n", temporary_folder);
    struct sweep *s = parse(text, NULL, 0);
    assert_string_equal(s->configs[0].from, temporary_folder);
    assert_int_equal(s->configs[0].setting_count, 3);
    // Of equal means (0.55) the first in the file, of the mean over those that have a result.
    assert_string_equal(setting(&s->configs[0], HYPER_lr), "0.01");
    assert_string_equal(setting(&s->configs[0], HYPER_optimizer), "adamw");
    assert_string_equal(setting(&s->configs[0], HYPER_image_size), "96"); // what is written wins over what was won
    assert_int_equal(s->swept_count, 3);
    struct sweep *again = parse(s->text, NULL, 0); // needs the run no more
    assert_string_equal(again->configs[0].from, "");
    assert_int_equal(again->configs[0].setting_count, 3);
    sweep_destroy(again);
    sweep_destroy(s);
}

static void test_from_run(void **state) {
    (void)state;
    write_run(run_sweep_ini, TRIALS_HEAD LR_ROWS OPT_ROWS SIZE_ROWS);
    check_from();
    write_run(NULL, TRIALS_HEAD LR_ROWS OPT_ROWS SIZE_ROWS); // what varies in a grid was swept
    check_from();
}

static void expect_from_error(const char *reason) {
    char text[512], message[512];
    snprintf(text, sizeof text, HEAD "[config best]\nfrom = %s\n", temporary_folder);
    snprintf(message, sizeof message, "s.ini:4: from = %s: %s", temporary_folder, reason);
    expect_error(text, NULL, 0, message);
}

static void test_from_unfinished_run(void **state) {
    (void)state;
    write_run(run_sweep_ini, TRIALS_HEAD);
    expect_from_error("its grid lr has no finished trial; run that sweep first");
    write_run(run_sweep_ini, TRIALS_HEAD LR_ROWS);
    expect_from_error("its grid opt has no finished trial; run that sweep first");
    write_run(run_sweep_ini, TRIALS_HEAD LR_ROWS "d,opt,x,0,0.01,adamw,64,done,0.7,1,0,0,0,1,2,\n");
    expect_from_error("its grid opt has finished 1 of 4 trials; finish that run first");
    write_run("[sweep]\ndataset = gone\n[config a]\n", TRIALS_HEAD);
    expect_from_error("that run has no grids; name a run of a grid search");
    write_run(NULL, TRIALS_HEAD);
    expect_from_error("that run has no grids; name a run of a grid search");
}

static void test_stored_sweep_needs_nothing_else(void **state) {
    (void)state;
    struct sweep *s;
    struct error err;
    const char *path = temporary_path("stored.ini");
    temporary_write(path, "[sweep]\ndataset = gone\nbackend = cuda\n[base]\ninit-checkpoint = gone\n[config a]\n");
    assert_int_equal(sweep_parse(path, NULL, 0, &s, &err), STATUS_NOT_FOUND);
    assert_int_equal(sweep_parse_stored(path, &s, &err), STATUS_OK);
    assert_string_equal(s->name, "stored");
    sweep_destroy(s);
    assert_int_not_equal(sweep_parse(temporary_path("none.ini"), NULL, 0, &s, &err), STATUS_OK);
    assert_null(s);
    assert_non_null(strstr(err.message, "none.ini"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_canonical_text_is_a_sweep_of_the_same_text),
        cmocka_unit_test(test_equal_sweeps_have_equal_texts),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_override_errors),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_the_first_error_of_the_file_is_told),
        cmocka_unit_test(test_backend_of_the_build),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_too_many_points),
        cmocka_unit_test(test_from_run),
        cmocka_unit_test(test_from_unfinished_run),
        cmocka_unit_test(test_stored_sweep_needs_nothing_else),
    };
    return cmocka_run_group_tests(tests, temporary_folder_setup, temporary_folder_teardown);
}
