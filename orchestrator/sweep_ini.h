// The lines of a sweep file before they mean anything: sections and entries with their line numbers, overrides applied.
// Internal to the sweep file's reader.
#ifndef GRIDFOLD_ORCHESTRATOR_SWEEP_INI_H
#define GRIDFOLD_ORCHESTRATOR_SWEEP_INI_H

#include "orchestrator/sweep_file.h"

enum { SWEEP_INI_LINE = 4096, SWEEP_INI_KEY = 64, SWEEP_INI_COMMAND_LINE = 0 };

// [kind] or [kind name].
struct sweep_ini_section {
    char kind[SWEEP_NAME_SIZE], name[SWEEP_NAME_SIZE];
    int line;
};

struct sweep_ini_entry {
    int section;
    char key[SWEEP_INI_KEY]; // with hyphens
    char *value;
    int line; // SWEEP_INI_COMMAND_LINE: an override
};

struct sweep_ini {
    const char *path; // for messages; the caller's
    int section_count, entry_count;
    struct sweep_ini_section *sections;
    struct sweep_ini_entry *entries;
};

// Sections and keys stand once each; what is not of the form is an error with its line.
NODISCARD enum status sweep_ini_parse(const char *text, const char *path, struct sweep_ini *ini, struct error *err);
void sweep_ini_free(struct sweep_ini *ini);

// Sets one entry of a section that is there or has no name.
NODISCARD enum status sweep_ini_set(struct sweep_ini *ini, const char *kind, const char *name, const char *key,
                                    const char *value, struct error *err);

int sweep_ini_section_find(const struct sweep_ini *ini, const char *kind, const char *name); // -1: absent
const struct sweep_ini_entry *sweep_ini_find(const struct sweep_ini *ini, int section, const char *key);

// STATUS_INVALID with "FILE:LINE: " or "command line: " before the message.
enum status sweep_ini_error(const struct sweep_ini *ini, int line, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// The same before a message that is already there.
enum status sweep_ini_error_prefix(const struct sweep_ini *ini, int line, struct error *err);

#endif
