// Parallel coordinates of many points: what is drawn when, how faintly, and what stands before the lines.
#include <stdio.h>

#include "results/plots.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

enum { POINTS = 100 };
static struct error err;

// Point i has the result i / 1000. lr is a scale, the width has three values and the scheduler two.
static void write_results(void) {
    static const char *const schedulers[] = {"linear", "cosine"};
    FILE *f = fopen(temporary_path("r.csv"), "w");
    fputs("grid,config,fold,lr,lstm_hidden_dim,scheduler,best_iou,status\n", f);
    for (int i = 0; i < POINTS; i++)
        fprintf(f, "g,p%d,0,%.6g,%d,%s,%.3f,done\n", i, 0.001 * (i + 1), 64 << i % 3, schedulers[i % 2], i / 1000.0);
    fclose(f);
}

static char *drawn(bool minimize) {
    struct run_data run;
    struct grid g;
    char *text = NULL;
    size_t bytes;
    if (run_data_read_external(temporary_path("r.csv"), &run, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (minimize)
        run.metric = (struct metric){.name = "rmse", .minimize = true};
    assert_int_equal(grid_read(&run, "g", &g, &err), STATUS_OK);
    FILE *out = open_memstream(&text, &bytes);
    plot_parallel(out, &run, &g);
    fclose(out);
    grid_free(&g);
    run_data_free(&run);
    return text;
}

struct line {
    double at[4]; // lr, width, scheduler, result: 0 to 1 of each axis, and a little aside
    unsigned colour;
};

// The lines of a data block; how many.
static int lines_of(const char *text, const char *block, struct line *lines) {
    char begin[32];
    int count = 0, axis, used;
    double at;
    unsigned colour;
    snprintf(begin, sizeof begin, "$%s << EOD\n", block);
    assert_has(text, begin);
    for (const char *c = strstr(text, begin) + strlen(begin); sscanf(c, "%d %lf %u%n", &axis, &at, &colour, &used) == 3;
         c += used) {
        lines[count].at[axis] = at;
        lines[count].colour = colour;
        count += axis == 3;
    }
    return count;
}

static void the_best_are_drawn_last(void **state) {
    (void)state;
    struct line rest[POINTS] = {{{0}, 0}}, top[POINTS] = {{{0}, 0}}, best[POINTS] = {{{0}, 0}};
    write_results();
    for (int minimize = 0; minimize < 2; minimize++) {
        char *text = drawn(minimize);
        assert_int_equal(lines_of(text, "rest", rest), 90);
        assert_int_equal(lines_of(text, "top", top), 9);
        assert_int_equal(lines_of(text, "best", best), 1);
        assert_near(best[0].at[3], minimize ? 0 : 1, 1e-4);
        for (int i = 1; i < 90; i++) // from the worst on
            assert_true(minimize ? rest[i].at[3] < rest[i - 1].at[3] : rest[i].at[3] > rest[i - 1].at[3]);
        for (int i = 1; i < 9; i++)
            assert_true(minimize ? top[i].at[3] < top[i - 1].at[3] : top[i].at[3] > top[i - 1].at[3]);
        for (int i = 0; i < 90; i++)
            assert_int_equal(rest[i].colour >> 24, 129); // 255 (1 - 50 / 101): of gnuplot's transparency
        for (int i = 0; i < 9; i++)
            assert_int_equal(top[i].colour >> 24, 0);
        assert_int_equal(rest[0].colour & 0xffffff, 0x6a4c9c); // the worst
        assert_int_equal(best[0].colour & 0xffffff, 0x8db61f); // the best
        free(text);
    }
}

static void lines_of_one_value_run_side_by_side(void **state) {
    (void)state;
    struct line line[POINTS] = {{{0}, 0}};
    write_results();
    char *text = drawn(false);
    int count = lines_of(text, "rest", line);
    count += lines_of(text, "top", line + count);
    count += lines_of(text, "best", line + count);
    assert_int_equal(count, POINTS);
    for (int i = 0; i < POINTS; i++) { // from point 0 on: the worst first
        assert_near(line[i].at[1], i % 3 / 2.0, 0.0451);
        assert_near(line[i].at[2], i % 2, 0.0451);
        assert_true(i < 3 || line[i].at[1] > line[i - 3].at[1]); // a better result above
        assert_true(i < 2 || line[i].at[2] > line[i - 2].at[2]);
    }
    free(text);
}

static void texts_stand_before_the_lines(void **state) {
    (void)state;
    write_results();
    char *text = drawn(false);
    assert_has(text, "set style textbox opaque");
    assert_has(text, "set label '128' at 0.97,0.5 right boxed front\n"); // an inner axis
    assert_has(text, "set label '64' at 1,-0.095 center\n");             // outside of the lines
    assert_has(text, "set label '0.051' at -0.03,0.5 right\n");          // lines go to its other side
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_drawn_last),
        cmocka_unit_test(lines_of_one_value_run_side_by_side),
        cmocka_unit_test(texts_stand_before_the_lines),
    };
    return cmocka_run_group_tests(tests, temporary_folder_setup, temporary_folder_teardown);
}
