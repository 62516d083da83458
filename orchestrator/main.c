// gridfold: the table of verbs, and the only place that prints usage and leaves the process.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/nearest.h"
#include "model/base/file.h"
#include "orchestrator/verbs.h"
#include "worker/agent_spawn.h"

static const struct verb {
    const char *name;
    verb_function *run;
    const char *words;   // what stands behind the verb
    const char *summary; // NULL: not for people, and not listed
    const char *more;    // the rest of its help
    const struct verb_options *options;
} verbs[] = {
    {"synth", verb_synth, "DIR [options]", "write a synthetic dataset as a GeoTIFF tree", "", &verb_synth_options},
    {"import", verb_import, "DIR OUT.safetensors", "make a dataset file from a GeoTIFF tree and show its quality", "",
     NULL},
    {"plan", verb_plan, "SWEEP.ini [key=value ...] [options]",
     "show the trials of a sweep and what they cost, without running them",
     "key=value sets a hyperparameter of [base] or a key of [sweep]; SECTION.key=value any other "
     "(folds.run=all, \"grid learning-rate.lr=0.1, 0.2\").\n"
     "trainers-per-gpu=N puts N trials on a GPU at a time, where they fit; device-memory-gib=N says what a GPU has, where\n"
     "there is none to be asked.\n"
     "method=asha stops the worst configurations early and shows its rungs; run-cap=N runs N trials at most.\n",
     &verb_plan_options},
    {"run", verb_run, "SWEEP.ini [key=value ...]", "run a sweep, or go on with it; under mpirun on all its ranks",
     "key=value as for gridfold plan. The same command goes on where a stopped run stands; with retry-failed=yes it\n"
     "tries trials again that have failed.\n"
     "Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 lets every trial write its checkpoint and stops; a second Ctrl-C stops at "
     "once.\n"
     "Exit code: 0 when every trial has its row, 75 when stopped, 1 on an error or when every trial failed\n"
     "(under mpirun, Ctrl-C ends mpirun with a code of its own).\n",
     NULL},
    {"launch", verb_launch, "[options] SWEEP.ini [key=value ...] [-- mpirun options]",
     "run a sweep under mpirun, and again until it is done",
     "Starts gridfold run on every host, leaves out hosts that do not answer, and starts again when ranks, hosts or the\n"
     "master die. SIGTERM, SIGUSR1, SIGUSR2 or Ctrl-C checkpoints every trial and stops; a second Ctrl-C stops at once.\n"
     "Exit code: 0 when every trial has its row, 75 when stopped (the same command goes on), 1 on an error, when every\n"
     "trial failed, or when restarts bring nothing any more.\n",
     &verb_launch_options},
    {"status", verb_status, "RUN_DIR [options]", "show where a running or stopped sweep stands", "",
     &verb_status_options},
    {"trials", verb_trials, "RUN_DIR [options]", "list the trials of a run, filtered and sorted", "",
     &verb_trials_options},
    {"best", verb_best, "RUN_DIR [options]", "show the winner's hyperparameters and checkpoints",
     "Among the points done on the most folds, the best mean of the metric that decides (validation IoU) wins.\n",
     &verb_best_options},
    {"verify", verb_verify, "RUN_DIR", "check that the files of a run are whole and belong together",
     "One line a finding; exit code 1 when there is any.\n", NULL},
    {"report", verb_report, "RUN_DIR|RESULTS.csv... [options]", "write the tables and plots of one or more runs", "",
     &verb_report_options},
    {"compare", verb_compare, "A.csv B.csv | FOLDS.csv --baseline X --candidate Y", "compare two columns of folds", "",
     &verb_compare_options},
    {"train", verb_train, "--dataset FILE [options]", "train one trial",
     "Every hyperparameter is an option. The files are those of a run; the same command goes on where it stopped.\n",
     &verb_train_options},
    {"evaluate", verb_evaluate, "CHECKPOINT --dataset FILE [options] | RUN_DIR [options]",
     "measure a checkpoint, or the folds of a run and their ensemble, on a split",
     "Of a run every fold's best checkpoint; tables, threshold curve, calibration and pictures go to its report/.\n",
     &verb_evaluate_options},
    {"export", verb_export, "RUN_DIR --tensorboard DIR | --optuna FILE",
     "write a run in the forms of TensorBoard and Optuna", "", &verb_export_options},
    {"predict", verb_predict, "CHECKPOINT IN.tif OUT.tif [options] | --ensemble RUN_DIR IN.tif OUT.tif [options]",
     "write the land-take probability of a GeoTIFF of any size",
     "Float32 with the input's georeference; pixels without any value are NaN (nodata).\n", &verb_predict_options},
    {"info", verb_info, "", "show version, backends, libraries and this machine", "", NULL},
    {"trainer", verb_trainer, "", NULL, "Started by gridfold run for each worker; speaks on file descriptor 3.\n",
     NULL},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void print_usage(FILE *out) {
    fprintf(out, "gridfold " GRIDFOLD_VERSION ": hyperparameter sweeps with an embedded LSTM-UNet trainer\n\n"
                 "usage: gridfold VERB ...\n\n");
    for (int i = 0; i < VERBS; i++)
        if (verbs[i].summary)
            fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(out, "\ngridfold VERB --help says more.\n");
}

static void print_help(const struct verb *v) {
    printf("usage: gridfold %s%s%s\n", v->name, *v->words ? " " : "", v->words);
    if (v->summary)
        printf("\n%s.\n", v->summary);
    if (*v->more)
        printf("%s", v->more);
    if (v->options) {
        printf("\noptions:\n");
        options_print(stdout, v->options->specs, v->options->count);
    }
}

static const struct verb *find_verb(const char *name) {
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int unknown_verb(const char *name) {
    const char *names[VERBS];
    size_t count = 0;
    for (int i = 0; i < VERBS; i++)
        if (verbs[i].summary)
            names[count++] = verbs[i].name;
    fprintf(stderr, "gridfold: error: unknown verb '%s'; the nearest is '%s' (gridfold --help lists all)\n", name,
            text_nearest(name, names, count));
    return EXIT_FAILURE;
}

static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

// libgomp reads its settings before main begins: this process starts itself anew with them. Failing that, it is slower
// beside other work, and right all the same.
static void start_anew_without_spinning(char **argv) {
    char program[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0 || getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") ||
        setenv("GOMP_SPINCOUNT", SPAWN_SPINS, 1) != 0)
        return;
    program[length] = 0;
    execv(program, argv);
}

static int run_verb(const struct verb *v, int argc, char **argv) {
    struct error err = {0};
    int exit_code = EXIT_SUCCESS;
    if (v->run(argc, argv, &exit_code, &err) != STATUS_OK) {
        fflush(stdout);
        fprintf(stderr, "gridfold: error: %s\n", err.message);
        return EXIT_FAILURE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "gridfold: error: cannot write to the standard output\n");
        return EXIT_FAILURE;
    }
    return exit_code;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_FAILURE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2)) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(word, "--version") == 0) {
        printf("gridfold " GRIDFOLD_VERSION "\n");
        return EXIT_SUCCESS;
    }
    bool help = strcmp(word, "help") == 0;
    const struct verb *v = find_verb(help ? argv[2] : word);
    if (!v)
        return unknown_verb(help ? argv[2] : word);
    if (help || wants_help(argc - 1, argv + 1)) {
        print_help(v);
        return EXIT_SUCCESS;
    }
    if (v->run == verb_evaluate || v->run == verb_predict) // these compute in this very process
        start_anew_without_spinning(argv);
    return run_verb(v, argc - 1, argv + 1);
}
