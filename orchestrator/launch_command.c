#include "orchestrator/launch_command.h"

#include <ifaddrs.h>
#include <mpi.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "orchestrator/time_limit.h"
#include "orchestrator/verdict.h"

static void add(struct launch_command *c, const char *word) {
    if (c->count + 1 >= c->capacity) {
        int capacity = 2 * c->capacity + 64;
        char **larger = realloc(c->argv, (size_t)capacity * sizeof *larger);
        if (!larger) {
            c->failed = true;
            return;
        }
        c->argv = larger;
        c->capacity = capacity;
    }
    char *copy = strdup(word);
    c->failed = c->failed || !copy;
    c->argv[c->count] = copy;
    c->count += copy != NULL;
    c->argv[c->count] = NULL;
}

static void add_all(struct launch_command *c, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        add(c, words[i]);
}

static void add_number(struct launch_command *c, int number) {
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    add(c, text);
}

#define ADD_EACH(c, words) add_all(c, words, (int)(sizeof(words) / sizeof *(words)))

// What keeps the job alive when a part of it dies.
static void add_survival(struct launch_command *c) {
#if defined OMPI_MAJOR_VERSION && OMPI_MAJOR_VERSION >= 5
    // Open MPI 5 has another runtime (PRRTE), and ULFM, by which the master learns of a dead rank at once.
    static const char *const words[] = {"--with-ft", "ulfm", "--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"};
#else
    // A dead rank does not take the others along.
    static const char *const words[] = {"--enable-recovery", "--oversubscribe", "--bind-to", "none"};
#endif
    ADD_EACH(c, words);
}

// Whether this host has an address that others could reach.
static bool has_network(void) {
    struct ifaddrs *all;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return true;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
                !(i->ifa_flags & IFF_LOOPBACK);
    freeifaddrs(all);
    return found;
}

enum status launch_command_prepare_environment(const char *temporary, struct error *err) {
    static const char *const settings[][2] = {
        {"HOME", "/tmp"},
        // No dialog asks for a password either; there is no terminal to ask on.
        {"SSH_ASKPASS_REQUIRE", "never"},
        {"OMPI_MCA_mpi_yield_when_idle", "1"},
        // TCP survives a peer's death and leaves no shared memory behind; messages are few and small.
        {"OMPI_MCA_pml", "ob1"},
        {"OMPI_MCA_btl", "tcp,self"},
        // A host that is cut off is noticed in seconds; by default it takes minutes.
        {"OMPI_MCA_oob_tcp_keepalive_time", "3"},
        {"OMPI_MCA_oob_tcp_keepalive_intvl", "1"},
        {"OMPI_MCA_oob_tcp_keepalive_probes", "3"},
        // From mpirun's own TERM to that of its ranks, and from there to KILL: a training step and a checkpoint.
        {"OMPI_MCA_odls_base_sigkill_timeout", "5"},
    };
    bool set = setenv("TMPDIR", temporary, 1) == 0;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        set = set && setenv(settings[i][0], settings[i][1], 0) == 0;
    // Open MPI leaves the loopback interface out unless it is named. It is named only where there is no other, since
    // this setting and the one of interfaces to leave out, which a site may have made in its files, exclude each other.
    if (!has_network())
        set = set && setenv("OMPI_MCA_btl_tcp_if_include", "127.0.0.1/8", 0) == 0;
    return set ? STATUS_OK : error_memory(err, "environment");
}

static void add_hosts(struct launch_command *c, const struct launch_config *config) {
    if (config->hosts->count == 0)
        return;
    char *list = launch_hosts_format(config->hosts);
    c->failed = c->failed || !list;
    if (list) {
        add(c, "--host");
        add(c, list);
    }
    free(list);
    if (config->remote_shell) {
        add(c, "--mca");
        add(c, "plm_rsh_agent");
        add(c, config->remote_shell);
    }
}

enum status launch_command_create(const struct launch_config *config, const char *program,
                                  struct launch_command *command, struct error *err) {
    static const char *const exported[] = {"-x", VERDICT_VARIABLE}, *const limit[] = {"-x", TIME_LIMIT_VARIABLE};
    *command = (struct launch_command){0};
    add(command, config->mpirun);
    if (geteuid() == 0)
        add(command, "--allow-run-as-root");
    add_survival(command);
    add_hosts(command, config);
    ADD_EACH(command, exported);
    if (getenv(TIME_LIMIT_VARIABLE))
        ADD_EACH(command, limit);
    add(command, "-np");
    add_number(command, config->ranks > 0 ? config->ranks : launch_hosts_slots(config->hosts) + 1);
    add_all(command, config->mpirun_words, config->mpirun_word_count);
    add(command, program);
    add(command, "run");
    add_all(command, config->words, config->word_count);
    if (!command->failed)
        return STATUS_OK;
    launch_command_free(command);
    return error_memory(err, "mpirun's command line");
}

void launch_command_free(struct launch_command *c) {
    for (int i = 0; i < c->count; i++)
        free(c->argv[i]);
    free(c->argv);
    *c = (struct launch_command){0};
}
