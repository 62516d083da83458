// Where the time of training steps went, from a network's profile: by part of the model, by kind of operation, by
// layer.
#ifndef GRIDFOLD_BENCH_STEP_REPORT_H
#define GRIDFOLD_BENCH_STEP_REPORT_H

#include "model/network.h"

// `steps` is how many the profile holds. Prints Markdown to stdout; milliseconds are of one step.
void report_parts(const graph *g, const struct network_profile *profile, int steps);
void report_kinds(const graph *g, const struct network_profile *profile, int steps);
void report_layers(const graph *g, const struct network_profile *profile, int steps, int count);

#endif
