#include "orchestrator/plan_rungs.h"

#include "orchestrator/rungs.h"

void plan_rungs_print(const struct plan *plan, int grid, FILE *out) {
    if (plan->sweep->method != METHOD_ASHA)
        return;
    struct halving h = rungs_halving(plan->sweep);
    long long n = rungs_configurations(plan, grid), folds = plan->sweep->grids[grid].run_count, sum = 0;
    // A command that cannot go on is run anew.
    bool anew = plan->sweep->program.kind == TRAINER_COMMAND && !plan->sweep->program.resume;
    int before = 0;
    fprintf(out, "  rung  to epoch  configurations  trials  epochs trained\n");
    for (int rung = 0; rung < halving_rungs(&h, (int)n); rung++) {
        int to = halving_epochs(&h, (int)n, rung), size = halving_size(&h, (int)n, rung);
        long long trained = size * folds * (anew ? to : to - before);
        fprintf(out, "  %4d  %8d  %14d  %6lld  %14lld\n", rung + 1, to, size, size * folds, trained);
        before = to;
        sum += trained;
    }
    long long whole = n * folds * h.epochs;
    fprintf(out, "  at most %lld epochs, %.1f %% of the %lld of a whole search\n", sum,
            whole > 0 ? 100.0 * (double)sum / (double)whole : 0.0, whole);
}

int plan_rungs_first(const struct plan *plan) {
    const struct sweep *s = plan->sweep;
    int epochs = program_knows_epochs(&s->program) ? plan->trials[0].hp.epochs : 0, grid = plan->rows[0].grid;
    if (s->method != METHOD_ASHA || grid < 0)
        return epochs;
    struct halving h = rungs_halving(s);
    return halving_epochs(&h, rungs_configurations(plan, grid), 0);
}
