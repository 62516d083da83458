#include "orchestrator/verbs.h"
#include "results/report.h"

static const struct option_spec specs[] = {
    {"out", "DIR", NULL, "where the report goes (default: report/ in the first run folder)"},
    {"baseline", "NAME", NULL, "configuration to compare with (default: what [compare] names)"},
    {"candidate", "NAME", NULL, "configuration to be compared"},
};
const struct verb_options verb_report_options = {specs, sizeof specs / sizeof *specs};

enum status verb_report(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    if (o.positional_count == 0)
        return error_set(err, STATUS_INVALID,
                         "gridfold report needs RUN_DIR... or RESULTS.csv...; see gridfold report --help");
    struct report_config config = {
        .run = o.positional,
        .runs = o.positional_count,
        .out_dir = options_text(&o, "out"),
        .baseline = options_text(&o, "baseline"),
        .candidate = options_text(&o, "candidate"),
        .terminal = stdout,
    };
    if (!config.baseline != !config.candidate)
        return error_set(err, STATUS_INVALID, "--%s NAME is missing", config.baseline ? "candidate" : "baseline");
    return report_write(&config, err);
}
