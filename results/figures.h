// The pictures of a report, drawn by gnuplot: scripts are gathered while the report is built and drawn in one go.
//
// Every picture leaves FOLDER/plots/NAME.gp (its script with the data in it, to be restyled), NAME.svg and NAME.png.
// One thread a set of figures.
#ifndef GRIDFOLD_RESULTS_FIGURES_H
#define GRIDFOLD_RESULTS_FIGURES_H

#include <stdio.h>

#include "model/base/status.h"

typedef struct figures figures;

figures *figures_create(void); // NULL: out of memory
void figures_destroy(figures *f);

// Begins a picture of width x height pixels. The stream takes its gnuplot commands (no terminal, no output) and is good
// until the next call of a function of `f`. *path: what document_figure takes; good as long as `f`. NULL: out of
// memory, which figures_draw reports.
FILE *figures_begin(figures *f, const char *name, int width, int height, const char **path);

// A PNG file that is a picture of the report as it is: figures_draw copies it to FOLDER/plots/NAME.png. Returns the
// path for document_figure, or NULL: it cannot be read.
const char *figures_take(figures *f, const char *name, const char *png);

// A gnuplot string, quoted; what gnuplot could take for a command is replaced.
void figures_quote(FILE *out, const char *text);
// The same, at most `characters` long; what is cut ends in an ellipsis.
void figures_quote_short(FILE *out, const char *text, int characters);
// A number for a data block: "nan" where it is not finite.
void figures_number(FILE *out, double value);

// Samples and names at the top of a picture of width x height pixels, in as many rows as they need.
enum legend_kind { LEGEND_LINE, LEGEND_DASHES, LEGEND_POINT, LEGEND_THICK };
struct legend {
    const char *text, *colour;
    enum legend_kind kind;
};
void figures_legend(FILE *out, int width, int height, const struct legend *entry, size_t entries);

// Draws all. *notice (NULL: all drawn, else the caller's to free): one line that says why there are no pictures, when
// gnuplot is absent or fails.
NODISCARD enum status figures_draw(figures *f, const char *folder, char **notice, struct error *err);

// Okabe and Ito's colours, which people who see colours differently can tell apart too (without black and yellow, which
// one of a light and a dark ground would swallow).
enum { FIGURE_COLOURS = 6 };
extern const char *const figure_colour[FIGURE_COLOURS];

#endif
