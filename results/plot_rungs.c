// Successive halving: every configuration from rung to rung, until it is stopped.
#include <math.h>

#include "results/figures.h"
#include "results/plots.h"

static double shown(const struct run_data *run, double value) {
    return (metric_is_share(&run->metric) ? 100 : 1) * value;
}

static bool is_drawn(const struct rung_record *r, size_t point) {
    return point < RUNGS_MOST || r->point[point].rungs > 1;
}

// Places of rungs and means, a block a configuration: those that were stopped, or the others.
static void write_points(FILE *out, const struct run_data *run, const struct rung_record *r, const char *name,
                         bool stopped) {
    fprintf(out, "$%s << EOD\n", name);
    for (size_t i = 0; i < r->points; i++) {
        const struct rung_point *p = &r->point[i];
        if (p->stopped != stopped || !is_drawn(r, i))
            continue;
        for (int k = 0; k < p->rungs; k++)
            if (isfinite(p->score[k]))
                fprintf(out, "%d %.6g\n", k, shown(run, p->score[k]));
        fputc('\n', out);
    }
    fputs("nan nan\nEOD\n", out);
}

// Where what goes on ends, a bar a rung.
static void write_cuts(FILE *out, const struct run_data *run, const struct rung_record *r) {
    fputs("$cut << EOD\n", out);
    for (int k = 0; k + 1 < r->rungs; k++)
        if (isfinite(r->rung[k].cut))
            fprintf(out, "%d %.6g\n", k, shown(run, r->rung[k].cut));
    fputs("nan nan\nEOD\n", out);
}

bool plot_rungs_have(const struct rung_record *r) {
    return !*r->why && r->rungs > 1 && r->rung[0].there > 1;
}

void plot_rungs(FILE *out, const struct run_data *run, const struct rung_record *r) {
    static const struct legend legend[] = {{"not stopped", "#0072B2", LEGEND_LINE},
                                           {"stopped", "#909090", LEGEND_LINE},
                                           {"the last that goes on, at the cut", "#D55E00", LEGEND_THICK}};
    char label[96];
    figures_legend(out, RUNGS_WIDTH, RUNGS_HEIGHT, legend, 3);
    write_points(out, run, r, "stopped", true);
    write_points(out, run, r, "on", false);
    write_cuts(out, run, r);
    fputs("set tmargin 2.5\nset xtics (", out);
    for (int k = 0; k < r->rungs; k++)
        fprintf(out, "%s'rung %d, epoch %d' %d", k ? ", " : "", k + 1, r->rung[k].epochs, k);
    snprintf(label, sizeof label, "best %s so far%s, mean of folds", metric_name(&run->metric),
             metric_is_share(&run->metric) ? " (%)" : "");
    fprintf(out, ") scale 0\nset xrange [-0.3:%.1f]\nset ylabel ", r->rungs - 0.7);
    figures_quote(out, label);
    fputs("\nset errorbars 0\n"
          "plot $stopped using 1:2 with linespoints pt 7 ps 0.5 lw 1 lc rgb '#60909090', \\\n"
          "     $on using 1:2 with linespoints pt 7 ps 0.6 lw 1.6 lc rgb '#0072B2', \\\n"
          "     $cut using 1:2:(0.13) with xerrorbars pt 0 lw 3 lc rgb '#D55E00'\n",
          out);
}
