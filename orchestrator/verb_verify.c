#include "orchestrator/verbs.h"
#include "orchestrator/verify.h"

enum status verb_verify(int argc, char **argv, int *exit_code, struct error *err) {
    struct options o;
    struct verify_result r;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    TRY(verify_run(o.positional[0], stdout, &r, err));
    if (r.findings == 0)
        printf("%s is whole: %d trials with a result, %d epochs, %d checkpoints\n", o.positional[0], r.trials, r.epochs,
               r.checkpoints);
    else
        printf("%s: %d finding%s\n", o.positional[0], r.findings, r.findings == 1 ? "" : "s");
    *exit_code = r.findings > 0;
    return STATUS_OK;
}
