"""Computes the tables of `gridfold evaluate RUN --split test` anew, from the checkpoints' logits, with NumPy and SciPy.

    python3 -m venv DIR && DIR/bin/pip install numpy scipy pandas safetensors
    DIR/bin/python bench/oracle/scores.py build/release/gridfold RUN

Every number of test_samples, test_folds, test_levels, test_threshold and test_calibration.csv, boundaries by a distance transform. Prints the
largest relative difference of each column; exits with 1 where one is over 1e-9 (a count that differs at all).
"""
import os
import subprocess
import sys
import tempfile

import numpy
import pandas
import safetensors.numpy
from scipy import ndimage

TOLERANCE = 2  # pixels
CROSS = ndimage.generate_binary_structure(2, 1)
COUNTS = ("tp", "fp", "fn", "tn", "pixels", "samples")


def ratio(over, under):
    return over / under if under else numpy.nan


def edge(positive, valid):
    """Positive pixels beside a negative one; neither the map's rim nor an ignored pixel bounds anything."""
    positive = positive & valid
    return positive & ndimage.binary_dilation(valid & ~positive, CROSS)


def near(pixels, others):
    """How many of `pixels` have one of `others` within the tolerance (Euclidean)."""
    if not others.any():
        return 0
    return int((ndimage.distance_transform_edt(~others)[pixels] <= TOLERANCE).sum())


def counts_of(probability, mask, threshold=0.5):
    valid, truth, said = mask != 255, mask == 1, probability > threshold
    c = {
        "tp": (said & truth & valid).sum(), "fp": (said & ~truth & valid).sum(),
        "fn": (~said & truth & valid).sum(), "tn": (~said & ~truth & valid).sum(),
    }
    mine, other = edge(said, valid), edge(truth, valid)
    c.update(edges=mine.sum(), true_edges=other.sum(), near=near(mine, other), true_near=near(other, mine))
    return {k: int(v) for k, v in c.items()}


def pooled(several):
    return {k: sum(c[k] for c in several) for k in several[0]}


def scores_of(c):
    tp, fp, fn = c["tp"], c["fp"], c["fn"]
    p, r = ratio(c["near"], c["edges"]), ratio(c["true_near"], c["true_edges"])
    boundary = 0.0 if bool(c["edges"]) != bool(c["true_edges"]) else ratio(2 * p * r, p + r) if c["edges"] and p + r else 0.0 if c["edges"] else numpy.nan
    return {"iou": ratio(tp, tp + fp + fn), "f1": ratio(2 * tp, 2 * tp + fp + fn), "precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "boundary_f1": boundary}


def macro_of(several):
    table = pandas.DataFrame([scores_of(c) for c in several])
    return {f"macro_{k}": v for k, v in table.mean().items()} | {"macro_samples": int(table["iou"].notna().sum())}


def calibration_of(probability, mask):
    p, y = probability[mask != 255], (mask[mask != 255] == 1).astype(float)
    at = numpy.minimum((p * 15).astype(int), 14)
    n = numpy.bincount(at, minlength=15)
    means, shares = numpy.bincount(at, p, 15) / numpy.maximum(n, 1), numpy.bincount(at, y, 15) / numpy.maximum(n, 1)
    bins = [{"pixels": n[i], "mean_probability": means[i] if n[i] else numpy.nan, "positive_share": shares[i] if n[i] else numpy.nan} for i in range(15)]
    return bins, (n * abs(means - shares)).sum() / n.sum(), ((p - y) ** 2).mean()


class Comparison:
    def __init__(self):
        self.worst, self.compared = {}, 0

    def row(self, table, row, wanted):
        for key, value in wanted.items():
            if key not in row.index:
                continue
            there = float(row[key])
            same = numpy.isnan(there) and numpy.isnan(value)
            exact = key in COUNTS or key == "macro_samples"
            distance = 0.0 if same else float(abs(there - value)) if exact else abs(there - value) / max(abs(value), 1e-300) if value else abs(there)
            self.worst[table, key] = max(self.worst.get((table, key), 0.0), numpy.inf if numpy.isnan(distance) else distance)
            self.compared += 1


def logits_of(gridfold, run, trial, dataset):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "logits.safetensors")
        checkpoint = f"{run}/trials/{trial}/best.safetensors"
        subprocess.run([gridfold, "evaluate", checkpoint, "--dataset", dataset, "--split", "test", "--logits", file], check=True, stdout=subprocess.DEVNULL)
        tensors = safetensors.numpy.load_file(file)
    return tensors["logits"][:, 0].astype(numpy.float64), tensors["mask"]


def compare_model(read, out, config, model, probability, masks):
    mine = {name: t[(t["config"] == config) & (t["model"] == model)] for name, t in read.items()}
    each = [counts_of(p, m) for p, m in zip(probability, masks)]
    samples = mine["samples"]
    assert len(samples) == len(each), f"{config}, {model}: {len(samples)} samples, not {len(each)}"
    for (_, row), c in zip(samples.iterrows(), each):
        out.row("samples", row, scores_of(c) | c)
    bins, ece, brier = calibration_of(probability, masks)
    folds = mine["folds"].iloc[0]
    out.row("folds", folds, scores_of(pooled(each)) | pooled(each) | macro_of(each) | {"ece": ece, "brier": brier, "samples": len(each)})
    for _, row in mine["levels"].iterrows():
        of_level = [c for c, level in zip(each, samples["level"]) if level == row["level"]]
        out.row("levels", row, scores_of(pooled(of_level)) | pooled(of_level) | macro_of(of_level) | {"samples": len(of_level)})
    for _, row in mine["threshold"].iterrows():
        c = pooled([counts_of(p, m, row["threshold"]) for p, m in zip(probability, masks)])
        out.row("threshold", row, scores_of(c) | c)
    for (_, row), wanted in zip(mine["calibration"].iterrows(), bins):
        out.row("calibration", row, wanted)


def main(gridfold, run):
    read = {name: pandas.read_csv(f"{run}/report/test/test_{name}.csv") for name in ("samples", "folds", "levels", "threshold", "calibration")}
    with open(f"{run}/sweep.ini", encoding="utf-8") as f:
        dataset = next(line.split("=", 1)[1].strip() for line in f if line.startswith("dataset"))
    out = Comparison()
    for config, rows in read["folds"].groupby("config"):
        members = []
        for _, row in rows[rows["model"] != "ensemble"].iterrows():
            logits, masks = logits_of(gridfold, run, row["trial"], dataset)
            members.append(1 / (1 + numpy.exp(-logits)))
            compare_model(read, out, config, row["model"], members[-1], masks)
        compare_model(read, out, config, "ensemble", numpy.mean(members, axis=0), masks)
    for (table, key), distance in out.worst.items():
        print(f"{table:12} {key:18} {distance:.1e}")
    worst = max(out.worst.values())
    boundary = max(d for (_, key), d in out.worst.items() if "boundary" in key)
    print(f"{out.compared} values, largest relative difference {worst:.1e}, of boundary F1 {boundary:.1e}")
    sys.exit(0 if worst <= 1e-9 else 1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
