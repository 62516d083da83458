// The launcher's parts that need no mpirun: hosts, command line, status files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "orchestrator/launch_command.h"
#include "orchestrator/launch_probe.h"
#include "orchestrator/launch_process.h"
#include "orchestrator/launch_try.h"
#include "orchestrator/verdict.h"

static void expect_hosts(struct launch_hosts *hosts, const char *wanted, int slots) {
    char *text = launch_hosts_format(hosts);
    assert_string_equal(text, wanted);
    assert_int_equal(launch_hosts_slots(hosts), slots);
    free(text);
}

static void test_host_list(void **state) {
    (void)state;
    struct launch_hosts hosts = {0};
    struct error err;
    assert_int_equal(launch_hosts_parse("a,b:4,10.0.0.3:2", &hosts, &err), STATUS_OK);
    expect_hosts(&hosts, "a:2,b:4,10.0.0.3:2", 7);
    hosts.at[0].answers = false; // the next one takes the master
    expect_hosts(&hosts, "b:5,10.0.0.3:2", 6);
    launch_hosts_free(&hosts);
    static const char *const bad[] = {"", "a:", "a:0", "a:x", "a:2x", ",a", "-oProxyCommand=x", "a,,b", "a:9999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(launch_hosts_parse(bad[i], &hosts, &err), STATUS_INVALID);
        launch_hosts_free(&hosts);
    }
}

static void write_text(char path[], const char *text) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_hostfile(void **state) {
    (void)state;
    char path[] = "/tmp/gridfold-hosts-XXXXXX";
    struct launch_hosts hosts = {0};
    struct error err;
    write_text(path, "# nodes\nn1 slots=3 # big\n\n  n2\tslots=1 max_slots=2\nn3");
    assert_int_equal(launch_hosts_read(path, &hosts, &err), STATUS_OK);
    expect_hosts(&hosts, "n1:4,n2:1,n3:1", 5);
    launch_hosts_free(&hosts);
    unlink(path);
    assert_int_equal(launch_hosts_read(path, &hosts, &err), STATUS_NOT_FOUND);
}

static void test_slurm(void **state) {
    (void)state;
    static const struct {
        const char *names, *tasks, *wanted;
        int slots;
    } cases[] = {{"a\n", "4", "a:5", 4},
                 {"a\nb\nc\n", "4(x2),3", "a:5,b:4,c:3", 11},
                 {"a\nb\nc\nd\n", "1,2(x2),8", "a:2,b:2,c:2,d:8", 13},
                 {"a\nb\n", "2", "a:3,b:2", 4}}; // fewer than nodes: the last one stays
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct launch_hosts hosts = {0};
        struct error err;
        assert_int_equal(launch_hosts_from_slurm(cases[i].names, cases[i].tasks, &hosts, &err), STATUS_OK);
        expect_hosts(&hosts, cases[i].wanted, cases[i].slots);
        launch_hosts_free(&hosts);
    }
}

// What a remote shell says last stands behind its host; one that says nothing in time, or nothing at all, gets nothing.
static void test_probe(void **state) {
    (void)state;
    char folder[] = "/tmp/gridfold-probe-XXXXXX", shell[PATH_SIZE], path[PATH_SIZE];
    struct launch_hosts hosts = {0};
    struct error err;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(path_join(shell, folder, "shell", &err), STATUS_OK);
    FILE *f = fopen(shell, "w");
    assert_non_null(f);
    fputs("#!/bin/sh\n"
          "[ \"$2\" = true ] || exit 3\n"
          "case $1 in\n"
          "good) echo a banner >&2 ;;\n"
          "refused) echo not this; printf 'a page\\nof text\\nrefused\\033[2J: (key).\\r\\n\\n' >&2; exit 255 ;;\n"
          "slow) echo waiting >&2; exec sleep 30 ;;\n"
          "tty) (: </dev/tty) 2>/dev/null && exit 0; echo no terminal >&2; exit 1 ;;\n"
          "*) exit 1 ;;\n"
          "esac\n",
          f);
    fclose(f);
    assert_int_equal(chmod(shell, 0700), 0);
    assert_int_equal(launch_hosts_parse("localhost,good,refused,slow,silent,tty", &hosts, &err), STATUS_OK);
    static const char *const why[] = {"", "", "refused [2J: (key)", "", "", "no terminal"};
    static const bool answers[] = {true, true, false, false, false, false};
    launch_begin();
    for (int round = 0; round < 2; round++) { // a second one over the first one's files
        launch_hosts_probe(&hosts, shell, 3, folder);
        for (int i = 0; i < hosts.count; i++) {
            assert_int_equal(hosts.at[i].answers, answers[i]);
            assert_string_equal(hosts.at[i].why, why[i]);
        }
    }
    for (int i = 1; i < hosts.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "probe-%d", i);
        assert_int_equal(path_join(path, folder, name, &err), STATUS_OK);
        assert_int_equal(unlink(path), 0);
    }
    unlink(shell);
    assert_int_equal(rmdir(folder), 0);
    launch_hosts_free(&hosts);
}

static bool holds(const struct launch_command *c, const char *word) {
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->argv[i], word) == 0)
            return true;
    return false;
}

static void test_command(void **state) {
    (void)state;
    static const char *const words[] = {"s.ini", "lr=0.1, 0.2"}, *const more[] = {"--report-bindings"};
    struct launch_hosts hosts = {0};
    struct error err;
    struct launch_command c;
    assert_int_equal(launch_hosts_parse("a,b:4", &hosts, &err), STATUS_OK);
    struct launch_config config = {.words = words,
                                   .word_count = 2,
                                   .hosts = &hosts,
                                   .remote_shell = "ssh -q",
                                   .mpirun = "/opt/mpirun",
                                   .mpirun_words = more,
                                   .mpirun_word_count = 1};
    assert_int_equal(launch_command_create(&config, "/opt/gridfold", &c, &err), STATUS_OK);
    assert_string_equal(c.argv[0], "/opt/mpirun");
    assert_true(holds(&c, "a:2,b:4") && holds(&c, "ssh -q") && holds(&c, "6"));
    const char *const end[] = {"--report-bindings", "/opt/gridfold", "run", "s.ini", "lr=0.1, 0.2"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(c.argv[c.count - 5 + i], end[i]);
    assert_null(c.argv[c.count]);
    launch_command_free(&c);
    launch_hosts_free(&hosts);
    config.ranks = 3;
    assert_int_equal(launch_command_create(&config, "/opt/gridfold", &c, &err), STATUS_OK);
    assert_true(holds(&c, "3") && !holds(&c, "--host"));
    launch_command_free(&c);
}

static void test_verdict(void **state) {
    (void)state;
    char path[] = "/tmp/gridfold-verdict-XXXXXX";
    struct error err;
    struct verdict v = verdict_here(VERDICT_STOPPED, 75, "3 of 8 trials done, 1 failed"), back;
    write_text(path, "");
    assert_int_equal(verdict_read(path, &back, &err), STATUS_FORMAT);
    assert_int_equal(verdict_write(path, &v, &err), STATUS_OK);
    assert_int_equal(verdict_read(path, &back, &err), STATUS_OK);
    assert_memory_equal(&v, &back, sizeof v);
    assert_true(verdict_is_final(back.state));
    assert_false(verdict_is_final(VERDICT_RUNNING) || verdict_is_final(VERDICT_FINISHING));
    unlink(path);
    assert_int_equal(verdict_read(path, &back, &err), STATUS_NOT_FOUND);
}

// A rank 0 that has long work to do is waited for; stopped in the middle of it, it is not.
static void test_a_stopped_master_is_no_busy_one(void **state) {
    (void)state;
    char path[] = "/tmp/gridfold-verdict-XXXXXX", script[512], host[64] = "";
    const struct launch_patience patience = {
        .start = 20, .work = 20, .beat = 0.2, .stop = 20, .linger = 20, .kill = 20};
    struct launch_try t;
    struct error err;
    write_text(path, "");
    gethostname(host, sizeof host - 1);
    launch_begin();
    static const char *const then[] = {"sleep 1; say done", "kill -STOP $$"};
    for (int i = 0; i < 2; i++) {
        snprintf(
            script, sizeof script,
            "say() { printf \"state = $1\\nexit-code = 0\\nprocess = $$\\nhost = %s\\n\" >%s.new; mv %s.new %s; }; "
            "say finishing; %s",
            host, path, path, path, then[i]);
        char *argv[] = {"/bin/sh", "-c", script, NULL};
        assert_int_equal(launch_try_run(argv, path, &patience, &t, &err), STATUS_OK);
        assert_true(t.began);
        if (i == 0)
            assert_null(t.trouble);
        else
            assert_string_equal(t.trouble, "rank 0 was stopped");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_list),
        cmocka_unit_test(test_hostfile),
        cmocka_unit_test(test_slurm),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_a_stopped_master_is_no_busy_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
