#include "orchestrator/verbs.h"
#include "results/report.h"

static const struct option_spec specs[] = {
    {"baseline", "NAME", NULL, "config of FOLDS.csv to compare with"},
    {"candidate", "NAME", NULL, "config of FOLDS.csv to be compared"},
};
const struct verb_options verb_compare_options = {specs, sizeof specs / sizeof *specs};

enum status verb_compare(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    const char *baseline = options_text(&o, "baseline"), *candidate = options_text(&o, "candidate");
    if (!baseline && !candidate) {
        TRY(options_expect(&o, 2, "A.csv B.csv, or FOLDS.csv --baseline X --candidate Y", err));
        return compare_files(o.positional[0], o.positional[1], stdout, err);
    }
    if (!baseline || !candidate)
        return error_set(err, STATUS_INVALID, "--%s NAME is missing", baseline ? "candidate" : "baseline");
    TRY(options_expect(&o, 1, "FOLDS.csv with --baseline X --candidate Y", err));
    return compare_folds(o.positional[0], baseline, candidate, stdout, err);
}
