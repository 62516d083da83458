// What table.c builds and table_write.c writes.
#ifndef GRIDFOLD_RESULTS_TABLE_INTERNAL_H
#define GRIDFOLD_RESULTS_TABLE_INTERNAL_H

#include <stddef.h>

#include "results/table.h"

struct cell {
    char *text; // for readers
    char *csv;  // NULL: as text
};

struct column {
    char *key, *header; // header NULL: in the CSV file alone
    enum table_alignment alignment;
};

struct table {
    char *name, *title;
    struct column *column;
    struct cell *cell; // rows x columns
    int *flags;        // one a row
    char **note;
    size_t columns, rows, notes;
    size_t shown;  // columns for readers: the first ones
    size_t filled; // cells of the last row
    bool failed;   // an allocation failed
};

enum block_kind { BLOCK_HEADING, BLOCK_PARAGRAPH, BLOCK_TABLE, BLOCK_FIGURE, BLOCK_DETAILS, BLOCK_DETAILS_END };

struct block {
    enum block_kind kind;
    int level;  // of a heading
    char *text; // of a heading or paragraph; caption or summary
    table *table;
    char *path; // of a figure
};

struct document {
    struct block *block;
    size_t blocks;
    bool failed;
    table spare; // takes what is built where no table could be allocated
};

// STATUS_MEMORY when an allocation failed while the document was built.
NODISCARD enum status document_check(const document *doc, struct error *err);
// FOLDER/PATH.EXTENSION is there.
bool document_has_picture(const char *folder, const char *path, const char *extension);
// What readers see in a cell; "" where it is empty.
const char *table_text(const table *t, size_t row, size_t column);

#endif
