// `gridfold launch`: `gridfold run` under mpirun, again and again until it is done.
#include <stdlib.h>
#include <string.h>

#include "orchestrator/launch.h"
#include "orchestrator/run.h"
#include "orchestrator/verbs.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static const struct option_spec specs[] = {
    {"host", "A,B:4", NULL, "hosts and their slots, a worker each; Slurm's allocation where there is one"},
    {"hostfile", "FILE", NULL, "the same from a file: NAME slots=N a line"},
    {"np", "N", NULL, "ranks, the master among them; one more than slots where hosts are given, else 2"},
    {"max-restarts", "N", "5", "give up after so many restarts in a row that brought no new epoch or row"},
    {"remote-shell", "CMD", NULL, "how to get to a host, as plm_rsh_agent of Open MPI; ssh"},
    {"mpirun", "PATH", NULL, "the launcher to use instead of " GRIDFOLD_MPIRUN},
};

const struct verb_options verb_launch_options = {specs, COUNT(specs)};

static const char SSH[] = "ssh -o BatchMode=yes -o ConnectTimeout=5";
static const char SRUN[] = "srun --overlap --quiet --nodes=1 --ntasks=1 --nodelist";

static bool is_in_slurm(void) {
    return getenv("SLURM_JOB_NODELIST") != NULL;
}

static enum status read_allocation(struct launch_hosts *hosts, struct error *err) {
    FILE *f = popen("scontrol show hostnames", "re"); // of SLURM_JOB_NODELIST
    char names[65536];
    size_t n = f ? fread(names, 1, sizeof names - 1, f) : 0;
    if (!f || pclose(f) != 0 || n == 0)
        return error_set(err, STATUS_NOT_FOUND,
                         "SLURM_JOB_NODELIST is set, but scontrol show hostnames fails; give --host");
    names[n] = 0;
    const char *tasks = getenv("SLURM_TASKS_PER_NODE");
    return launch_hosts_from_slurm(names, tasks ? tasks : "1", hosts, err);
}

static enum status read_hosts(const struct options *o, struct launch_hosts *hosts, struct error *err) {
    if (options_given(o, "host") && options_given(o, "hostfile"))
        return error_set(err, STATUS_INVALID, "--host and --hostfile both name hosts; give one of them");
    if (options_given(o, "host"))
        return launch_hosts_parse(options_text(o, "host"), hosts, err);
    if (options_given(o, "hostfile"))
        return launch_hosts_read(options_text(o, "hostfile"), hosts, err);
    return is_in_slurm() ? read_allocation(hosts, err) : STATUS_OK;
}

static const char *find_mpirun(const struct options *o) {
    const char *given = options_text(o, "mpirun");
    return given ? given : file_exists(GRIDFOLD_MPIRUN) ? GRIDFOLD_MPIRUN : "mpirun";
}

static const char *find_probe(const struct options *o) {
    const char *shell = options_text(o, "remote-shell");
    if (!shell)
        shell = getenv("OMPI_MCA_plm_rsh_agent");
    return shell ? shell : is_in_slurm() ? SRUN : SSH;
}

static enum status launch(const struct options *o, struct launch_config *config, int *exit_code, struct error *err) {
    long long ranks = 0, restarts = 0;
    TRY(options_integer(o, "np", 2, 100000, &ranks, err));
    TRY(options_integer(o, "max-restarts", 0, 1000000, &restarts, err));
    TRY(read_hosts(o, config->hosts, err));
    struct sweep *sweep;
    TRY(sweep_parse(config->words[0], config->words + 1, config->word_count - 1, &sweep, err));
    enum status status = run_check(sweep, err); // bad input is told before anything starts
    config->sweep = sweep;
    config->ranks = ranks > 0 ? (int)ranks : config->hosts->count > 0 ? 0 : 2;
    config->max_restarts = (int)restarts;
    config->remote_shell = options_text(o, "remote-shell");
    config->probe = find_probe(o);
    config->mpirun = find_mpirun(o);
    if (status == STATUS_OK)
        *exit_code = launch_sweep(config);
    sweep_destroy(sweep);
    return status;
}

enum status verb_launch(int argc, char **argv, int *exit_code, struct error *err) {
    int own = 1; // words before --
    for (; own < argc && strcmp(argv[own], "--") != 0; own++)
        if (strcmp(argv[own], "-np") == 0)
            argv[own] = (char *)"--np";
    struct options o;
    TRY(options_parse(own, argv, specs, COUNT(specs), &o, err));
    if (o.positional_count == 0)
        return error_set(err, STATUS_INVALID,
                         "gridfold launch needs SWEEP.ini [key=value ...]; see gridfold launch --help");
    struct launch_hosts hosts = {0};
    struct launch_config config = {.words = o.positional,
                                   .word_count = o.positional_count,
                                   .hosts = &hosts,
                                   .mpirun_words = (const char *const *)argv + (own < argc ? own + 1 : own),
                                   .mpirun_word_count = own < argc ? argc - own - 1 : 0};
    enum status status = launch(&o, &config, exit_code, err);
    launch_hosts_free(&hosts);
    return status;
}
