#include "orchestrator/verbs.h"
#include "results/report.h"

static const struct option_spec specs[] = {
    {"out", "DIR", NULL, "where the report goes (default: report/ in the first run folder)"},
};
const struct verb_options verb_report_options = {specs, sizeof specs / sizeof *specs};

enum status verb_report(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    if (o.positional_count == 0)
        return error_set(err, STATUS_INVALID, "gridfold report needs RUN_DIR...; see gridfold report --help");
    return report_write(o.positional, o.positional_count, options_text(&o, "out"), stdout, err);
}
