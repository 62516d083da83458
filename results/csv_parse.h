// Rows of CSV text, by libcsv: what csv_file.c reads tables and checks logs with. Internal to results/.
#ifndef GRIDFOLD_RESULTS_CSV_PARSE_H
#define GRIDFOLD_RESULTS_CSV_PARSE_H

#include <stdbool.h>

#include "results/csv_file.h"

// Parses `bytes` of CSV `text` (strict quoting, a UTF-8 byte order mark is skipped). A last line without a newline is
// dropped, or counts when `keep_last`. *complete (may be NULL): how many bytes the kept lines take. An empty text gives
// a table with no columns. `path` is for messages.
NODISCARD enum status csv_parse_text(const char *path, const char *text, size_t bytes, bool keep_last,
                                     struct csv_table *table, size_t *complete, struct error *err);

#endif
