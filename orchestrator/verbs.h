// The verbs of the command line, one file each (verb_<name>.c). argv[0] is the verb. A verb returns STATUS_OK, or an
// error whose message main prints as one line; *exit_code (0 at the call) is the process's exit code when the status is
// STATUS_OK.
#ifndef GRIDFOLD_ORCHESTRATOR_VERBS_H
#define GRIDFOLD_ORCHESTRATOR_VERBS_H

#include "orchestrator/options.h"

typedef enum status verb_function(int argc, char **argv, int *exit_code, struct error *err);

verb_function verb_best, verb_compare, verb_evaluate, verb_export, verb_import, verb_info, verb_launch, verb_plan,
    verb_predict, verb_report, verb_run, verb_status, verb_synth, verb_train, verb_trainer, verb_trials, verb_verify;

// What `gridfold VERB --help` shows: options_print of the verb's own table, for the verbs that have one.
struct verb_options {
    const struct option_spec *specs;
    int count;
};
extern const struct verb_options verb_best_options, verb_compare_options, verb_evaluate_options, verb_export_options,
    verb_launch_options, verb_plan_options, verb_predict_options, verb_report_options, verb_status_options,
    verb_synth_options, verb_train_options, verb_trials_options;

#endif
