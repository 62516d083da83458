// Sweeps of other programs: their keys, their commands, their ids.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/command_template.h"
#include "orchestrator/plan.h"

#define HEAD "[sweep]\nname = t\noutput = /tmp/none\ntrainer = command\ncommand = prog --lr {lr}\nmetric = acc\n"

// ---- the template ----

static bool look_up(const void *context, const char *name, char *value, size_t size) {
    (void)context;
    bool known = strcmp(name, "lr") == 0 || strcmp(name, "min-size") == 0;
    if (known)
        snprintf(value, size, "%s", *name == 'l' ? "0.1" : "a b");
    return known;
}

static void expect_words(const char *command, const char *words) {
    char out[256], unknown[64];
    struct error err;
    if (command_expand(command, look_up, NULL, out, sizeof out, unknown, &err) != STATUS_OK)
        fail_msg("%s: %s", command, err.message);
    assert_string_equal(out, words);
}

static void test_template(void **state) {
    (void)state;
    expect_words("prog --lr {lr}", "prog\n--lr\n0.1\n");
    expect_words("  prog\t--lr={lr}x{lr} ", "prog\n--lr=0.1x0.1\n");
    expect_words("prog {min-size} '{lr} y' \"a \\\"b\\\" {lr}\"",
                 "prog\na b\n0.1 y\na \"b\" 0.1\n"); // a value is one word
    expect_words("awk '{ print $1 }' '{{lr}}' \\{lr\\} '' {}", "awk\n{ print $1 }\n{lr}\n{lr}\n\n{}\n");
}

static void test_template_mistakes(void **state) {
    (void)state;
    char out[64], unknown[64];
    struct error err;
    assert_int_equal(command_expand("prog {rate}", look_up, NULL, out, sizeof out, unknown, &err), STATUS_INVALID);
    assert_string_equal(unknown, "rate");
    assert_int_equal(command_expand("prog 'x", look_up, NULL, out, sizeof out, unknown, &err), STATUS_INVALID);
    assert_string_equal(err.message, "command: a ' has no end");
    assert_int_equal(command_expand("  ", look_up, NULL, out, sizeof out, unknown, &err), STATUS_INVALID);
    assert_int_equal(command_expand("'' x", look_up, NULL, out, sizeof out, unknown, &err), STATUS_INVALID);
    assert_int_equal(
        command_expand("prog {lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}{lr}",
                       look_up, NULL, out, sizeof out, unknown, &err),
        STATUS_INVALID);
}

// ---- the sweep file ----

static struct sweep *parse(const char *text) {
    struct sweep *s;
    struct error err;
    if (sweep_parse_text(text, "s.ini", NULL, 0, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return s;
}

static void expect_error(const char *text, const char *message) {
    struct sweep *s;
    struct error err = {0};
    assert_int_not_equal(sweep_parse_text(text, "s.ini", NULL, 0, &s, &err), STATUS_OK);
    assert_string_equal(err.message, message);
}

static void test_mistakes(void **state) {
    (void)state;
    expect_error("[sweep]\ntrainer = comand\n", "s.ini:2: trainer = comand: must be embedded, command or none; the "
                                                "nearest is command");
    expect_error("[sweep]\ntrainer = command\nmetric = a\n[grid g]\nx = 1\n",
                 "s.ini:2: no command; add command = PROGRAM ARGUMENTS... to [sweep]");
    expect_error("[sweep]\ntrainer = command\ncommand = p\n[grid g]\nx = 1\n",
                 "s.ini:2: no metric; add metric = NAME (a column that the command prints) to [sweep]");
    expect_error(HEAD "dataset = /dev/null\n[grid g]\nlr = 1\n",
                 "s.ini:7: dataset has no meaning with trainer = command; remove it");
    expect_error(HEAD "metricz = x\n[grid g]\nlr = 1\n",
                 "s.ini:7: unknown key 'metricz' in [sweep]; the nearest is 'metrics'");
    expect_error(HEAD "metrics = loss, epoch\n[grid g]\nlr = 1\n",
                 "s.ini:7: metrics: the column 'epoch' is read by itself; remove it from the list");
    expect_error(HEAD "metrics = loss, auc\n[grid g]\nlr = 1\n",
                 "s.ini:6: metric = acc is not among metrics; add it there");
    expect_error(HEAD "direction = up\n[grid g]\nlr = 1\n", "s.ini:7: direction = up: must be max or min");
    expect_error(HEAD "[grid g]\nl-r = 1\n",
                 "s.ini:5: command: there is no {lr}; the nearest is {l-r} (braces that mean themselves are written {{ "
                 "and }})");
    expect_error(HEAD "[grid g]\nlr = 1\nfold = 2\n",
                 "s.ini:9: 'fold' is given to every trial and cannot be swept; take another name");
    expect_error(HEAD "[base]\nlr = 1\n[config a]\nlrr = 2\n",
                 "s.ini:10: unknown key 'lrr' in [config a]; the nearest is 'lr'");
    expect_error(HEAD "[grid g]\nlr = 1\n[grid h]\ndepth = 1\n",
                 "s.ini:9: [grid h] has no lr; give it a value in [base]");
    expect_error(HEAD "[base]\nlr =\n[grid g]\nx = 1\n", "s.ini:8: lr is empty; give it a value");
    expect_error(HEAD "method = asha\nfirst-rung = 1\n[grid g]\nlr = 1\n",
                 "s.ini:7: method = asha needs max-epochs = EPOCHS of a whole training by the command");
    expect_error(HEAD "method = asha\nfirst-rung = 5\nmax-epochs = 5\n[grid g]\nlr = 1\n",
                 "s.ini:8: first-rung = 5: must be less than the 5 epochs of a training");
    expect_error("[sweep]\ntrainer = command\nmetric = a\ncommand = p {until}\n[grid g]\nx = 1\n",
                 "s.ini:4: command: {until} needs max-epochs = N in [sweep]");
    expect_error("[sweep]\ndataset = /dev/null\ncommand = x\n[grid g]\nlr = 1\n",
                 "s.ini:3: command has no meaning with trainer = embedded; remove it");
}

static void test_trials(void **state) {
    (void)state;
    struct sweep *s =
        parse(HEAD "metrics = loss, acc\n[folds]\ncount = 2\n[base]\nmin_size = 3\n[grid g]\nlr = 0.1, 1e-1, x y\n"
                   "[config c]\nlr = @g\n");
    struct plan *p;
    struct error err;
    assert_int_equal(plan_create(s, NULL, &p, &err), STATUS_OK);
    assert_int_equal(p->trial_count, 6); // 0.1 and 1e-1 are texts, and two
    assert_string_equal(p->rows[4].label, "lr=x y");
    struct program_place place = {"id", "/f", 1, 2, 3, 42, 0};
    struct trial_program program = {0};
    assert_int_equal(program_fill(&s->program, &p->trials[4].hp, &place, &program, &err), STATUS_OK);
    assert_string_equal(program.arguments, "prog\n--lr\nx y\n");
    assert_string_equal(program.variables,
                        "GRIDFOLD_TRIAL=id\nGRIDFOLD_FOLDER=/f\nGRIDFOLD_FOLD=1\nGRIDFOLD_FOLDS=2\n"
                        "GRIDFOLD_SEED=42\nGRIDFOLD_THREADS=3\nGRIDFOLD_MIN_SIZE=3\nGRIDFOLD_LR=x y\n");
    assert_string_equal(program.metrics, "loss,acc");
    assert_int_equal(program.metric, 1);
    // What the run's own sweep.ini says is the same sweep.
    struct sweep *again = parse(s->text);
    assert_string_equal(again->text, s->text);
    plan_destroy(p);
    sweep_destroy(s);
    sweep_destroy(again);
}

// How far a trial is to go is told, and is no part of what it is.
static void test_until(void **state) {
    (void)state;
    struct sweep *s = parse("[sweep]\ntrainer = command\ncommand = p {until} {lr}\nmetric = a\nmethod = asha\n"
                            "first-rung = 2\nmax-epochs = 9\n[grid g]\nlr = 1, 2\n");
    struct sweep *again = parse(s->text);
    struct error err;
    struct program_place place = {.trial = "id", .folder = "/f", .until = 2};
    struct trial_program program = {0};
    assert_int_equal(s->base.epochs, 9);
    assert_string_equal(again->text, s->text);
    assert_int_equal(own_value_set(s->base.own, 0, "1", &err), STATUS_OK);
    assert_int_equal(program_fill(&s->program, &s->base, &place, &program, &err), STATUS_OK);
    assert_string_equal(program.arguments, "p\n2\n1\n");
    assert_non_null(strstr(program.variables, "GRIDFOLD_UNTIL=2\n"));
    assert_int_equal(program.epochs, 9);
    sweep_destroy(s);
    sweep_destroy(again);
}

// The order of declaration does not matter, the program and every value do.
static void test_ids(void **state) {
    (void)state;
    struct own_keys keys = {0}, swapped = {0};
    char own[OWN_TEXT_SIZE] = "", other[OWN_TEXT_SIZE] = "", a[17], b[17];
    struct error err;
    int at;
    assert_int_equal(own_key_declare(&keys, "lr", &at, &err), STATUS_OK);
    assert_int_equal(own_key_declare(&keys, "min_size", &at, &err), STATUS_OK);
    assert_int_equal(own_key_declare(&swapped, "min-size", &at, &err), STATUS_OK);
    assert_int_equal(own_key_declare(&swapped, "lr", &at, &err), STATUS_OK);
    assert_int_equal(own_key_find(&keys, "min_size"), 1);
    assert_int_equal(own_value_set(own, 1, "7", &err), STATUS_OK); // before the first has a value
    assert_int_equal(own_value_set(own, 0, "0.1", &err), STATUS_OK);
    assert_int_equal(own_value_set(other, 0, "7", &err), STATUS_OK);
    assert_int_equal(own_value_set(other, 1, "0.1", &err), STATUS_OK);
    own_trial_id(&keys, own, "prog", 2, 1, 42, a);
    own_trial_id(&swapped, other, "prog", 2, 1, 42, b);
    assert_string_equal(a, b);
    own_trial_id(&keys, own, "prog2", 2, 1, 42, b);
    assert_string_not_equal(a, b);
    assert_int_equal(own_value_set(own, 1, "8", &err), STATUS_OK);
    own_trial_id(&keys, own, "prog", 2, 1, 42, b);
    assert_string_not_equal(a, b);
    char longest[OWN_VALUE_SIZE + 1];
    memset(longest, 'x', sizeof longest);
    longest[OWN_VALUE_SIZE] = 0;
    assert_int_equal(own_value_set(own, 0, longest, &err), STATUS_INVALID);
    longest[OWN_VALUE_SIZE - 1] = 0;
    for (int i = 0; i < OWN_MAX; i++)
        assert_int_equal(own_value_set(own, i, longest, &err), STATUS_OK);
    char value[OWN_VALUE_SIZE];
    own_value(own, OWN_MAX - 1, value, sizeof value);
    assert_string_equal(value, longest);
}

// ---- finding trials ----

static void test_index(void **state) {
    (void)state;
    enum { COUNT = 5000 };
    static struct {
        int pad;
        char id[17];
    } all[COUNT];
    struct id_index index = {0};
    struct error err;
    for (int i = 0; i < COUNT; i++) {
        snprintf(all[i].id, sizeof all[i].id, "%016x", (unsigned)i * 2654435761u);
        assert_int_equal(id_index_find(&index, all[0].id, sizeof all[0], all[i].id), -1);
        assert_int_equal(id_index_add(&index, all[0].id, sizeof all[0], i, &err), STATUS_OK);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(id_index_find(&index, all[0].id, sizeof all[0], all[i].id), i);
    id_index_free(&index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template), cmocka_unit_test(test_template_mistakes),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_trials),
        cmocka_unit_test(test_until),    cmocka_unit_test(test_ids),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
