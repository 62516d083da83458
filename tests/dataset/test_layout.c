// dataset.ini: the default layout, lists, continuation lines, and errors that name file, line and the nearest key.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "model/base/file.h"
#include "worker/dataset/layout.h"

static const char *write_ini(const char *text) {
    struct error err = {0};
    const char *path = fixture_path("dataset.ini");
    assert_int_equal(file_write(path, text, strlen(text), &err), STATUS_OK);
    return path;
}

static struct dataset_ini read_ok(const char *text) {
    struct dataset_ini ini;
    struct error err = {0};
    if (dataset_ini_read(write_ini(text), &ini, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return ini;
}

static void without_a_file_the_layout_of_the_report_holds(void **state) {
    (void)state;
    struct dataset_ini ini;
    struct error err = {0};
    char text[LAYOUT_TEXT_SIZE];
    assert_int_equal(dataset_ini_read("/nowhere/dataset.ini", &ini, &err), STATUS_OK);
    layout_bands_text(&ini.layout, text);
    assert_string_equal(text, "blue, green, red, rededge1, rededge2, rededge3, nir, swir1, swir2");
    layout_steps_text(&ini.layout, text);
    assert_string_equal(text, "2018-Q2, 2018-Q3, 2019-Q2, 2019-Q3, 2020-Q2, 2020-Q3, 2021-Q2, 2021-Q3, 2022-Q2, "
                              "2022-Q3, 2023-Q2, 2023-Q3, 2024-Q2, 2024-Q3");
    assert_false(ini.has_ignore);
    ini = read_ok("[dataset]\n");
    assert_int_equal(ini.layout.steps, 14);
}

static void lists_are_read(void **state) {
    (void)state;
    struct dataset_ini ini =
        read_ok("; comment\n[dataset]\nbands = a,b , c_1 ; more\nsteps = 2017, 2024-Q4\nignore=-1\n");
    char text[LAYOUT_TEXT_SIZE];
    layout_bands_text(&ini.layout, text);
    assert_string_equal(text, "a, b, c_1");
    layout_steps_text(&ini.layout, text);
    assert_string_equal(text, "2017, 2024-Q4");
    assert_true(ini.has_ignore);
    assert_float_equal(ini.ignore, -1, 0);
}

static void indented_lines_continue_a_list(void **state) {
    (void)state;
    struct dataset_ini ini = read_ok("[dataset]\nsteps = 2017,\n  2018\n  , 2019-Q2\n  2019-Q3\nbands = x\n");
    char text[LAYOUT_TEXT_SIZE];
    layout_steps_text(&ini.layout, text);
    assert_string_equal(text, "2017, 2018, 2019-Q2, 2019-Q3");
}

static void refuse(const char *text, int line, const char *needle) {
    struct dataset_ini ini;
    struct error err = {0};
    const char *path = write_ini(text);
    char where[256];
    snprintf(where, sizeof where, "%s, line %d: ", path, line);
    enum status status = dataset_ini_read(path, &ini, &err);
    if (status == STATUS_OK || strncmp(err.message, where, strlen(where)) != 0 || !strstr(err.message, needle))
        fail_msg("%s: got %s '%s', wanted '%s' at line %d", text, status_text(status), err.message, needle, line);
}

static void mistakes_are_named_with_their_line(void **state) {
    (void)state;
    refuse("[dataset]\n\nband = blue\n", 3, "unknown key 'band' (did you mean 'bands'?)");
    refuse("[dataset]\nbands = x\nstep = 2017\n", 3, "did you mean 'steps'?");
    refuse("[dataset]\nignored = 3\n", 2, "did you mean 'ignore'?");
    refuse("[data]\nbands = x\n", 2, "outside [dataset]");
    refuse("bands = x\n", 1, "outside [dataset]");
    refuse("[dataset]\nnonsense\n", 2, "neither");
    refuse("[dataset\n", 1, "neither");
    refuse("[dataset]\nbands = x\nbands = y\n", 3, "given twice");
    refuse("[dataset]\nbands = x, , y\n", 2, "band ''");
    refuse("[dataset]\nbands = x, y, x\n", 2, "'x' is named twice");
    refuse("[dataset]\nbands = x y\n", 2, "'x y' is not a name");
    refuse("[dataset]\nbands = abcdefghijklmnopqrstuvwxyz012345\n", 2, "is not a name");
    refuse("[dataset]\nsteps = 2018-Q5\n", 2, "'2018-Q5'");
    refuse("[dataset]\nsteps = 2018-q2\n", 2, "'2018-q2'");
    refuse("[dataset]\nsteps = 18\n", 2, "'18'");
    refuse("[dataset]\nsteps = 2019, 2018\n", 2, "'2018' does not follow");
    refuse("[dataset]\nsteps = 2019, 2019\n", 2, "'2019' does not follow");
    refuse("[dataset]\nignore = none\n", 2, "not a number");
}

static void lists_past_a_limit_are_refused(void **state) {
    (void)state;
    char text[8192] = "[dataset]\nbands = b0";
    for (int i = 1; i < 30; i++) // some 300 bytes on one line: more than inih takes
        snprintf(text + strlen(text), sizeof text - strlen(text), ", band-%04d", i);
    refuse(text, 2, "line too long");
    snprintf(text, sizeof text, "[dataset]\nbands = b0");
    for (int i = 1; i <= DATASET_MAX_BANDS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",\n b%d", i);
    refuse(text, 2, "more than 64 bands");
    snprintf(text, sizeof text, "[dataset]\nsteps = 1000");
    for (int i = 1; i <= DATASET_MAX_STEPS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",\n %d", 1000 + i);
    refuse(text, 2, "more than 128 steps");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_the_layout_of_the_report_holds),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(indented_lines_continue_a_list),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(lists_past_a_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, fixture_remove_folder);
}
