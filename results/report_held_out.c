#include <string.h>

#include "results/report_parts.h"

enum status report_add_held_out(struct report *r, struct error *err) {
    (void)err;
    document_heading(r->doc, 2, "Held-out test samples");
    document_paragraph(r->doc, "Not evaluated.");
    return STATUS_OK;
}
