// Pictures that several sections draw of trials. Internal to results/.
#ifndef GRIDFOLD_RESULTS_REPORT_PLOTS_H
#define GRIDFOLD_RESULTS_REPORT_PLOTS_H

#include "results/plots.h"
#include "results/report_parts.h"

// The curve of a trial; count 0 when it has no epochs.
struct curve report_curve(const struct run_data *run, const struct trial_row *trial, const char *label);

// Training and validation IoU and loss of these trials, folded away, CURVES_PER_FIGURE a picture; curves without epochs
// are left out. `what` heads them; `note` ("": none) says of how many they are a selection. Callers pass at most
// REPORT_MOST_CURVES.
enum { REPORT_MOST_CURVES = 96 };
void report_add_curves(struct report *r, const char *name, const char *what, const char *note, struct curve *curve,
                       size_t curves);

// The schedules of a run that differ, where any trial has epochs.
NODISCARD enum status report_add_schedules(struct report *r, const struct run_data *run, struct error *err);

#endif
