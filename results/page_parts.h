// The parts of the HTML page that are always the same. Internal to results/.
#ifndef GRIDFOLD_RESULTS_PAGE_PARTS_H
#define GRIDFOLD_RESULTS_PAGE_PARTS_H

extern const char page_head[];   // from the doctype to the icon; <head> is left open
extern const char page_style[];  // CSS: light and dark, wide and narrow
extern const char page_script[]; // JavaScript: tables sorted by the column that is clicked

#endif
