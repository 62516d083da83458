// The rungs of successive halving in a report: a table and a picture a searched section.
#ifndef GRIDFOLD_RESULTS_RUNG_TABLES_H
#define GRIDFOLD_RESULTS_RUNG_TABLES_H

#include "results/rung_record.h"
#include "results/table.h"

// "rungs_<section>": a row a rung, with what came into it, what went on and what the means over the folds were at the
// cut. Where the files do not tell, a line that says why.
void rung_tables_add(document *doc, const struct run_data *run, const struct rung_record *r);

#endif
