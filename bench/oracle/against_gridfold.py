"""Lay gridfold beside PyTorch on a dataset file: logits of a checkpoint that PyTorch wrote, and a whole training run.

    python3 against_gridfold.py logits   GRIDFOLD DATASET [key=value ...]
    python3 against_gridfold.py training GRIDFOLD DATASET [key=value ...]

`logits`: a model with random weights and running statistics goes to a safetensors file, `gridfold evaluate --logits` and PyTorch both compute the
validation split; prints the largest difference over the largest magnitude.
`training`: both start from that file, without augmentation and shuffling, and train on fold 0; prints both losses of every epoch and the time.
Keys: width=64 hidden=256 upsample=transposed skip=max sampling=annual decoder=256,128,64,32,16 optimizer=adamw scheduler=cosine lr=0.001 epochs=3
batch=4 folds=5 seed=42 threads=2. Needs numpy and torch only. Not part of the product.
"""
import csv
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lstm_unet  # noqa: E402

SIZE = 64
NUMPY = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}


def read_safetensors(path):
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        blob = f.read()
    meta = header.pop("__metadata__", {})
    return {k: np.frombuffer(blob[v["data_offsets"][0]:v["data_offsets"][1]], NUMPY[v["dtype"]]).reshape(v["shape"]) for k, v in header.items()}, meta


def write_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for k, t in tensors.items():
        a = np.ascontiguousarray(t.detach().numpy()).reshape(t.shape)
        header[k] = {"dtype": {"float32": "F32", "int64": "I64"}[str(a.dtype)], "shape": list(a.shape), "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
        blobs.append(a.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def annual(x):
    """(14,C,H,W) -> (7,C,H,W): mean of the two quarters, the cleaner alone where one misses over half and the other under a fifth."""
    out = []
    for q2, q3 in zip(x[0::2], x[1::2]):
        m2, m3 = np.isnan(q2).mean(), np.isnan(q3).mean()
        out.append(q2 if m3 > 0.5 and m2 < 0.2 else q3 if m2 > 0.5 and m3 < 0.2 else (q2 + q3) / 2)
    return np.stack(out)


def centre(a):
    y, x = (a.shape[-2] - SIZE) // 2, (a.shape[-1] - SIZE) // 2
    return a[..., y:y + SIZE, x:x + SIZE]


def load_split(dataset, folds_csv, sampling):
    """Normalized centre crops of fold 0's training and validation samples, in the order of ids."""
    tensors, _ = read_safetensors(dataset)
    fold = {row["sample"]: row["fold"] for row in csv.DictReader(open(folds_csv))}
    pick = {"annual": annual, "bi_temporal": lambda x: x[[0, -1]]}.get(sampling, lambda x: x)
    images = {s: pick(tensors[f"{s}/image"]) for s in sorted(fold)}
    train = [s for s in sorted(fold) if fold[s] not in ("0", "test")]
    val = [s for s in sorted(fold) if fold[s] == "0"]
    pixels = np.concatenate([images[s].transpose(1, 0, 2, 3).reshape(images[s].shape[1], -1) for s in train], 1).astype(np.float64)
    mean, std = np.nanmean(pixels, 1), np.nanstd(pixels, 1)

    def batch(ids):
        x = np.stack([centre((images[s] - mean[:, None, None]) / std[:, None, None]) for s in ids])
        return torch.from_numpy(np.nan_to_num(x, nan=0.0).astype(np.float32)), torch.from_numpy(np.stack([centre(tensors[f"{s}/mask"]) for s in ids]).astype(np.float32))
    return batch(train), batch(val)


def random_model(o, bands):
    torch.manual_seed(int(o["seed"]))
    model = lstm_unet.LSTMUNet(bands=bands, width=int(o["width"]), hidden=int(o["hidden"]), layers=2, upsample=o["upsample"], skip=o["skip"],
                               channels=tuple(int(c) for c in o["decoder"].split(",")))
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if name.endswith("running_mean"):
                t.normal_(0, 0.1)
            elif name.endswith("running_var"):
                t.uniform_(0.5, 1.5)
    return model


def flags(o):
    return [f"--{k}={v}" for k, v in {"encoder-width": o["width"], "lstm-hidden-dim": o["hidden"], "decoder-upsample": o["upsample"], "skip-aggregation": o["skip"],
                                     "temporal-sampling": o["sampling"], "decoder-channels": o["decoder"], "optimizer": o["optimizer"], "scheduler": o["scheduler"],
                                     "lr": o["lr"], "epochs": o["epochs"], "batch-size": o["batch"]}.items()]


def gridfold_train(binary, dataset, run, init, o):
    subprocess.run([binary, "train", "--dataset", dataset, "--output", run, "--fold", "0", "--folds", o["folds"], "--seed", o["seed"], "--threads", o["threads"], "--augment", "off",
                    "--shuffle", "off", "--init-checkpoint", init, *flags(o)], check=True, stdout=subprocess.DEVNULL)
    return list(csv.DictReader(open(f"{run}/epochs.csv")))


def epoch_lr(schedule, lr, epoch, epochs):
    if schedule == "linear":
        return lr * (1 - 0.99 * epoch / epochs)
    return lr * 0.01 + lr * 0.99 * (1 + math.cos(math.pi * epoch / epochs)) / 2


def compare_training(binary, dataset, o, folder):
    bands = len(read_safetensors(dataset)[1]["bands"].split(","))
    model, init = random_model(o, bands), f"{folder}/init.safetensors"
    write_safetensors(init, model.state_dict())
    began = time.perf_counter()
    rows = gridfold_train(binary, dataset, f"{folder}/run", init, o)
    ours_seconds = time.perf_counter() - began
    (x, y), (vx, vy) = load_split(dataset, f"{folder}/run/folds.csv", o["sampling"])
    optimizer = (torch.optim.AdamW(model.parameters(), lr=float(o["lr"]), weight_decay=5e-4) if o["optimizer"] == "adamw" else
                 torch.optim.SGD(model.parameters(), lr=float(o["lr"]), momentum=0.9, weight_decay=5e-4))
    began = time.perf_counter()
    print("epoch  train loss: gridfold  PyTorch  ratio-1   val loss: gridfold  PyTorch  ratio-1   val IoU: gridfold")
    for epoch, row in enumerate(rows):
        optimizer.param_groups[0]["lr"] = epoch_lr(o["scheduler"], float(o["lr"]), epoch, int(o["epochs"]))
        losses = []
        for i in range(0, len(x), int(o["batch"])):
            model.train()
            xb, yb = x[i:i + int(o["batch"])], y[i:i + int(o["batch"])]
            loss = lstm_unet.focal_loss(model(xb), yb, 0.25, 2.0)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()) * len(xb))
        model.eval()
        with torch.no_grad():
            val = sum(float(lstm_unet.focal_loss(model(vx[i:i + 1]), vy[i:i + 1], 0.25, 2.0)) for i in range(len(vx))) / len(vx)
        train = sum(losses) / len(x)
        ours, ours_val = float(row["train_loss"]), float(row["val_loss"])
        print(f"{epoch:5d}  {ours:21.8f} {train:10.8f} {ours / train - 1:9.1e} {ours_val:19.8f} {val:10.8f} {ours_val / val - 1:9.1e} {float(row['val_iou']):18.4f}")
    print(f"seconds: gridfold {ours_seconds:.1f} (the whole process), PyTorch {torch.__version__} {time.perf_counter() - began:.1f} (training and validation alone)")


def compare_logits(binary, dataset, o, folder):
    bands = len(read_safetensors(dataset)[1]["bands"].split(","))
    model, init = random_model(o, bands), f"{folder}/init.safetensors"
    write_safetensors(init, model.state_dict())
    gridfold_train(binary, dataset, f"{folder}/folds", init, {**o, "epochs": "1", "width": "4", "hidden": "4", "decoder": "4,4,4,4,4"})  # leaves folds.csv, whatever becomes of the trial
    subprocess.run([binary, "evaluate", init, "--dataset", dataset, "--split", "val", "--fold", "0", "--folds", o["folds"], "--seed", o["seed"], "--threads", o["threads"],
                    "--temporal-sampling", o["sampling"], "--skip-aggregation", o["skip"], "--logits", f"{folder}/logits.safetensors"], check=True)
    ours = read_safetensors(f"{folder}/logits.safetensors")[0]["logits"]
    _, (x, _) = load_split(dataset, f"{folder}/folds/folds.csv", o["sampling"])
    model.eval()
    with torch.no_grad():
        theirs = torch.cat([model(x[i:i + 1]) for i in range(len(x))]).numpy()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(x)} samples: largest difference {np.abs(ours - theirs).max():.3g}, largest magnitude "
          f"{np.abs(theirs).max():.3g}, ratio {np.abs(ours - theirs).max() / np.abs(theirs).max():.2g}")


if __name__ == "__main__":
    options = dict(width="64", hidden="256", upsample="transposed", skip="max", sampling="annual", decoder="256,128,64,32,16", optimizer="adamw", scheduler="cosine", lr="0.001",
                   epochs="3", batch="4", folds="5", seed="42", threads="2")
    options.update(a.split("=", 1) for a in sys.argv[4:])
    torch.set_num_threads(int(options["threads"]))
    with tempfile.TemporaryDirectory() as scratch:
        {"logits": compare_logits, "training": compare_training}[sys.argv[1]](sys.argv[2], sys.argv[3], options, scratch)
