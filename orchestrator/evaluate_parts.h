// What evaluate_run.c gathers, and the tables and pictures made of it. Internal to it.
#ifndef GRIDFOLD_ORCHESTRATOR_EVALUATE_PARTS_H
#define GRIDFOLD_ORCHESTRATOR_EVALUATE_PARTS_H

#include "orchestrator/run_best.h"
#include "results/table.h"
#include "worker/evaluate.h"
#include "worker/score.h"

// What one model made of the samples that it saw: a fold's checkpoint, or all folds together.
struct model_scores {
    char name[32];           // "fold 0", "ensemble", "out of fold"
    char trial[RUN_ID_SIZE]; // "": all folds
    int fold, epoch;         // -1: all folds
    double loss;             // focal, as in training; NaN: all folds
    size_t count;            // samples, in the order of ids; all arrays below have as many
    int side;                // maps are side x side
    int *sample;             // index in the dataset
    enum change_level *level;
    uint8_t *mask;
    double *probability;
    struct score *scores; // at 0.5
    struct score pooled;  // their sum
    struct curve curve;
    struct calibration calibration;
};

// A configuration's folds, and behind them the model of all of them.
struct config_scores {
    char config[RUN_NAME_SIZE];
    int folds;
    struct model_scores *models; // folds + 1
};

// The document and its tables: rows are added configuration by configuration.
struct evaluate_tables {
    document *doc; // the caller's to destroy
    table *folds, *summary, *levels, *samples, *threshold, *calibration;
};
NODISCARD enum status evaluate_tables_create(enum split split, struct evaluate_tables *tables, struct error *err);
NODISCARD enum status evaluate_tables_add(struct evaluate_tables *tables, const dataset *ds,
                                          const struct config_scores *scores, struct error *err);

// qualitative_best.png, _median.png, _worst.png: the samples with the highest, the median and the lowest IoU. Older
// ones are removed first. STATUS_UNSUPPORTED without GDAL.
NODISCARD enum status evaluate_pictures(const char *folder, const dataset *ds, enum temporal_sampling sampling,
                                        const struct model_scores *model, struct error *err);

#endif
