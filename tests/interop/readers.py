"""What gridfold leaves behind, read by the programs that it is for.

    python readers.py run RUN TENSORBOARD_DIR JOURNAL     tensorboard, pandas, safetensors, optuna
    python readers.py command RUN TENSORBOARD_DIR JOURNAL the metrics of another program: tensorboard, optuna
    python readers.py model CHECKPOINT                    segmentation-models-pytorch (nearest decoder, encoder width 64)

Each prints a line a reader and exits with 1 at the first difference. Not part of the product.
"""
import csv
import glob
import json
import math
import os
import sys
import wsgiref.util


def rows_of(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def read_tensorboard(run, folder):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    epochs, trials = rows_of(f"{run}/epochs.csv"), {t["trial"]: t for t in rows_of(f"{run}/trials.csv")}
    tags = {"iou/val": "val_iou", "loss/train": "train_loss", "lr": "lr", "recall/val": "val_recall", "grad_norm": "grad_norm"}
    folders = sorted(glob.glob(f"{glob.escape(folder)}/*"))
    check(len(folders) == len({e["trial"] for e in epochs}), "an event folder a trial")
    for path in folders:
        accumulator = event_accumulator.EventAccumulator(path, size_guidance={event_accumulator.SCALARS: 0})
        accumulator.Reload()
        trial = path[-16:]
        mine = sorted((int(e["epoch"]), e) for e in epochs if e["trial"] == trial)
        for tag, column in tags.items():
            wanted = [(n, float(e[column])) for n, e in mine if e[column]]
            there = [(s.step, s.value) for s in accumulator.Scalars(tag)]
            check(len(there) == len(wanted), f"{path}: {tag}: {len(there)} points, not {len(wanted)}")
            check(all(a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(there, wanted)), f"{path}: {tag}")
        content = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        content = accumulator.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
        check(start.hparams["lr"].number_value == float(trials[trial]["lr"]), f"{path}: lr in HParams")
        check(int(start.hparams["fold"].number_value) == int(trials[trial]["fold"]), f"{path}: fold in HParams")
        check(end.status == 1, f"{path}: status of the session")
        check(start.group_name == os.path.basename(path), f"{path}: a trial is a row of its own")
    import tensorboard
    print(f"tensorboard {tensorboard.__version__}: {len(folders)} event files")


def read_pandas(run):
    import pandas

    epochs, trials = pandas.read_csv(f"{run}/epochs.csv"), pandas.read_csv(f"{run}/trials.csv")
    check(epochs["val_iou"].dtype == float and epochs["epoch"].dtype == "int64", "dtypes of epochs.csv")
    check(trials["best_iou"].dtype == float and trials["fold"].dtype == "int64", "dtypes of trials.csv")
    best = epochs.groupby("trial")["val_iou"].max()
    done = trials[trials["status"] == "done"].drop_duplicates("trial").set_index("trial")["best_iou"]
    check((best.loc[done.index] == done).all(), "best_iou of trials.csv is the highest val_iou of epochs.csv, to the last digit")
    for table in glob.glob(f"{run}/report/**/*.csv", recursive=True):
        check(len(pandas.read_csv(table).columns) > 1, table)
    print(f"pandas {pandas.__version__}: {len(epochs)} epochs, {len(trials)} rows of trials")


def read_safetensors(run):
    import numpy
    import safetensors
    import safetensors.numpy

    files = sorted(glob.glob(f"{run}/trials/*/*.safetensors"))
    for path in files:
        with safetensors.safe_open(path, framework="numpy") as f:
            check(f.metadata()["trial"] == os.path.basename(os.path.dirname(path)), f"{path}: trial")
        tensors = safetensors.numpy.load_file(path)
        check(all(numpy.isfinite(t).all() for t in tensors.values()), f"{path}: finite")
    check(files, "checkpoints")
    print(f"safetensors {safetensors.__version__}: {len(files)} checkpoints")


def read_optuna(run, journal):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(journal)))
    trials = {t["trial"]: t for t in rows_of(f"{run}/trials.csv")}
    epochs = rows_of(f"{run}/epochs.csv")
    check(len(study.trials) == len(trials), "a trial of the study a trial of the run")
    check(study.direction == optuna.study.StudyDirection.MAXIMIZE, "direction")
    for t in study.trials:
        row = trials[t.user_attrs["trial"]]
        check((t.state == optuna.trial.TrialState.COMPLETE) == (row["status"] == "done"), f"state of {row['trial']}")
        check(t.value is None or t.value == float(row["best_iou"]), f"value of {row['trial']}")
        check(float(t.params["lr"]) == float(row["lr"]), f"lr of {row['trial']}")
        wanted = {int(e["epoch"]): float(e["val_iou"]) for e in epochs if e["trial"] == row["trial"]}
        check(t.intermediate_values == wanted, f"epochs of {row['trial']}")
    best = max((float(t["best_iou"]) for t in trials.values() if t["status"] == "done"))
    check(study.best_value == best, "best value")
    try:
        import optuna_dashboard
        app = optuna_dashboard.wsgi(JournalStorage(JournalFileBackend(journal)))
        environment = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies/0"}
        wsgiref.util.setup_testing_defaults(environment)
        body = b"".join(app(environment, lambda status, headers, *rest: check(status.startswith("200"), f"dashboard: {status}")))
        check(len(json.loads(body)["trials"]) == len(trials), "trials in optuna-dashboard")
        print(f"optuna-dashboard {optuna_dashboard.__version__}: /api/studies/0 answers with {len(trials)} trials")
    except ImportError:
        print("optuna-dashboard: not installed, not checked")
    print(f"optuna {optuna.__version__}: a study of {len(trials)} trials")


def read_command(run, folder, journal):
    """Metrics of another program: scalars of their own names, intermediate values and user attributes of the study."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from tensorboard.backend.event_processing import event_accumulator

    epochs, trials = rows_of(f"{run}/epochs.csv"), {t["trial"]: t for t in rows_of(f"{run}/trials.csv")}
    for path in glob.glob(f"{glob.escape(folder)}/*"):
        accumulator = event_accumulator.EventAccumulator(path, size_guidance={event_accumulator.SCALARS: 0})
        accumulator.Reload()
        check(sorted(accumulator.Tags()["scalars"]) == ["loss/val", "mae", "rmse"], f"{path}: tags {accumulator.Tags()['scalars']}")
        for tag, column in (("rmse", "rmse"), ("mae", "mae"), ("loss/val", "val_loss")):
            wanted = sorted((int(e["epoch"]), float(e[column])) for e in epochs if e["trial"] == path[-16:])
            there = [(s.step, s.value) for s in accumulator.Scalars(tag)]
            check(len(there) == len(wanted) > 0, f"{path}: {tag}")
            check(all(a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(there, wanted)), f"{path}: {tag}")
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(journal)))
    check(study.direction == optuna.study.StudyDirection.MINIMIZE and study.metric_names == ["rmse"], "direction and name of the metric")
    check(len(study.trials) == len(trials) == 4, "trials")
    for t in study.trials:
        row = trials[t.user_attrs["trial"]]
        mine = {int(e["epoch"]): e for e in epochs if e["trial"] == row["trial"]}
        best = mine[int(row["best_epoch"])]
        check(t.value == float(row["best_rmse"]) == float(best["rmse"]), f"value of {row['trial']}")
        check(t.intermediate_values == {n: float(e["rmse"]) for n, e in mine.items()}, f"epochs of {row['trial']}")
        check(all(t.user_attrs[k] == float(best[k]) for k in ("rmse", "mae", "val_loss")), f"metrics at the best epoch of {row['trial']}")
    print(f"another program's metrics: {len(trials)} trials in tensorboard and optuna")


def read_model(path):
    """The parts of segmentation-models-pytorch that the published model is made of take the checkpoint's tensors, key by key."""
    import inspect
    import struct

    import numpy
    import segmentation_models_pytorch as smp
    import torch
    from segmentation_models_pytorch.base import SegmentationHead
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        blob = f.read()
    meta = header.pop("__metadata__")
    dtype = {"F32": numpy.float32, "I64": numpy.int64}
    state = {k: torch.from_numpy(numpy.frombuffer(blob[v["data_offsets"][0]:v["data_offsets"][1]], dtype[v["dtype"]]).reshape(v["shape"]).copy()) for k, v in header.items()}
    channels = tuple(int(c) for c in meta["decoder_channels"].split(","))
    bands, hidden = state["encoder.conv1.weight"].shape[1], int(meta["lstm_hidden_dim"])
    encoder = smp.encoders.get_encoder("resnet50", in_channels=bands, depth=5, weights=None)
    options = {"encoder_channels": (bands, 64, 256, 512, 1024, hidden), "decoder_channels": channels, "n_blocks": 5}
    known = inspect.signature(UnetDecoder.__init__).parameters
    if "use_batchnorm" in known:
        options["use_batchnorm"] = True
    decoder = UnetDecoder(**options)
    head = SegmentationHead(in_channels=channels[-1], out_channels=1, kernel_size=3)
    parts = {"encoder.": encoder, "decoder.": decoder, "segmentation_head.": head}
    for prefix, part in parts.items():
        mine = {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}
        missing = set(part.state_dict()) - set(mine)
        check(not missing, f"{prefix}: the checkpoint lacks {sorted(missing)[:5]}")
        part.load_state_dict(mine, strict=True)
    rest = {k for k in state if not k.startswith(tuple(parts))}
    check(rest and all(k.startswith("convlstm.cell_list.") for k in rest), f"other keys: {sorted(rest)[:5]}")
    with torch.no_grad():
        for part in parts.values():
            part.eval()
        features = encoder(torch.zeros(1, bands, 64, 64))
        features = [*features[:-1], torch.zeros(1, hidden, 2, 2)]
        try:
            logits = head(decoder(features))
        except TypeError:
            logits = head(decoder(*features))
    check(logits.shape == (1, 1, 64, 64) and bool(torch.isfinite(logits).all()), "logits")
    print(f"segmentation-models-pytorch {smp.__version__}, torch {torch.__version__}: {len(state)} tensors, strict, {len(rest)} of them the ConvLSTM's")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "run":
        read_pandas(sys.argv[2])
        read_safetensors(sys.argv[2])
        read_tensorboard(sys.argv[2], sys.argv[3])
        read_optuna(sys.argv[2], sys.argv[4])
    elif len(sys.argv) == 5 and sys.argv[1] == "command":
        read_command(*sys.argv[2:])
    elif len(sys.argv) == 3 and sys.argv[1] == "model":
        read_model(sys.argv[2])
    else:
        sys.exit(__doc__)
