// What control groups leave of the memory, over trees of files as the kernel lays them out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "worker/free_memory.h"

static char root[] = "/tmp/gridfold-groups-XXXXXX";

// Writes a file below the root, with the folders on its way.
static void put(const char *name, const char *text) {
    char path[PATH_SIZE];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0755);
    }
    assert_int_equal(file_write(path, text, strlen(text), &err), STATUS_OK);
}

static size_t leaves(const char *membership) {
    char path[PATH_SIZE];
    put("self", membership);
    snprintf(path, sizeof path, "%s/self", root);
    return control_groups_leave(path, root);
}

static void put_group(const char *folder, const char *limit, const char *used, const char *stat, int version) {
    char name[PATH_SIZE];
    snprintf(name, sizeof name, "%s/%s", folder, version == 1 ? "memory.limit_in_bytes" : "memory.max");
    put(name, limit);
    snprintf(name, sizeof name, "%s/%s", folder, version == 1 ? "memory.usage_in_bytes" : "memory.current");
    put(name, used);
    snprintf(name, sizeof name, "%s/memory.stat", folder);
    put(name, stat);
}

static int set_up(void **state) {
    (void)state;
    strcpy(strrchr(root, '-'), "-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[PATH_SIZE];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void nothing_limits(void **state) {
    (void)state;
    assert_true(leaves("0::/user/one\n") == SIZE_MAX);
    assert_true(leaves("") == SIZE_MAX);
    assert_true(leaves("no line of that file\n") == SIZE_MAX);
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/none", root);
    assert_true(control_groups_leave(path, root) == SIZE_MAX);
}

static void version_2(void **state) {
    (void)state;
    put_group("job/step", "1000\n", "400\n", "anon 300\nfile 100\ninactive_file 70\nactive_file 30\n", 2);
    assert_int_equal(leaves("0::/job/step\n"), 670);
    put_group("job/step", "max\n", "400\n", "inactive_file 70\n", 2);
    assert_true(leaves("0::/job/step\n") == SIZE_MAX);
    put_group("job", "900\n", "800\n", "inactive_file 0\n", 2); // a parent holds for its children
    assert_int_equal(leaves("0::/job/step\n"), 100);
    put_group("job", "900\n", "950\n", "inactive_file 0\n", 2);
    assert_int_equal(leaves("0::/job/step\n"), 0);
}

// As Slurm lays them out on a system of version 1, one line a controller.
static void version_1(void **state) {
    (void)state;
    const char *membership = "5:devices:/slurm/job_1\n4:cpu,memory:/slurm/job_1\n3:cpuset:/other\n0::/\n";
    put_group("memory/slurm/job_1", "2000\n", "1500\n", "inactive_file 5\ntotal_inactive_file 600\n",
              1); // the total is that of the children too
    assert_int_equal(leaves(membership), 1100);
    put_group("memory/slurm", "1700\n", "1650\n", "total_inactive_file 0\n", 1);
    assert_int_equal(leaves(membership), 50);
    put_group("memory/other", "10\n", "9\n", "", 1); // of a controller that is not the memory's
    assert_int_equal(leaves(membership), 50);
    assert_true(leaves("4:memory_like:/slurm/job_1\n") == SIZE_MAX);
}

// In a container without a namespace of its own for groups the path is the host's, and only the mount is there.
static void a_container_sees_its_own_group_at_the_mount(void **state) {
    (void)state;
    put_group("memory", "3000\n", "1000\n", "total_inactive_file 1000\n", 1);
    assert_int_equal(leaves("4:memory:/docker/0123456789abcdef\n"), 3000);
    put_group(".", "500\n", "100\n", "", 2);
    assert_int_equal(leaves("0::/docker/0123456789abcdef\n"), 400);
    assert_int_equal(leaves("4:memory:/a\n0::/\n"), 400);
}

static void free_memory_is_a_part_of_the_hosts(void **state) {
    (void)state;
    size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE), left = free_memory_bytes();
    assert_true(left > 0 && left < all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_1, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_at_the_mount, set_up, tear_down),
        cmocka_unit_test(free_memory_is_a_part_of_the_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
