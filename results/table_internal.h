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

enum block_kind { BLOCK_HEADING, BLOCK_PARAGRAPH, BLOCK_TABLE };

struct block {
    enum block_kind kind;
    int level;  // of a heading
    char *text; // of a heading or paragraph
    table *table;
};

struct document {
    struct block *block;
    size_t blocks;
    bool failed;
    table spare; // takes what is built where no table could be allocated
};

#endif
