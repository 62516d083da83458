"""Writes the golden files of tests/model/golden (README.md there tells the format).

    python3 bench/oracle/make_golden.py [OUT_DIR] [--draws N]

Each case is the quietest of N random draws: the one whose float32 arithmetic strays least from float64, so that no ReLU or maximum sits on its
kink. Deterministic for one version of PyTorch.
"""
import argparse
import json
import pathlib

import numpy
import torch

from lstm_unet import LSTMUNet, focal_loss

SIZE = dict(bands=3, width=2, hidden=3, layers=2, channels=(6, 5, 4, 3, 2))
BATCH, TIMESTEPS, PIXELS, STEPS, VECTOR = 3, 3, 32, 2, 257
ALPHA, GAMMA, CLIP, DECAY, MOMENTUM = 0.25, 2.0, 1.0, 5e-4, 0.9
SETTINGS = {
    "batch": BATCH, "timesteps": TIMESTEPS, "clip": CLIP, "weight_decay": DECAY, "momentum": MOMENTUM, "focal_alpha": ALPHA,
    "focal_gamma": GAMMA, "encoder_width": SIZE["width"], "lstm_hidden_dim": SIZE["hidden"], "lstm_layers": SIZE["layers"],
    "decoder_channels": ",".join(str(c) for c in SIZE["channels"]),
}


def write(path, tensors, settings):
    header = {"__metadata__": {name: str(value) for name, value in settings.items()}}
    body = b""
    for name, tensor in tensors.items():
        array = tensor.detach().numpy()
        kind = "I64" if array.dtype == numpy.int64 else "F32"
        data = array.astype("<i8" if kind == "I64" else "<f4").tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def random_batch():
    """Blurred noise that brightens, from the middle timestep on, where the mask is 1."""
    coarse = torch.randn(BATCH, TIMESTEPS * SIZE["bands"], PIXELS // 4, PIXELS // 4)
    image = torch.nn.functional.interpolate(coarse, scale_factor=4.0, mode="bicubic", align_corners=False)
    image = image.unflatten(1, (TIMESTEPS, SIZE["bands"])) + 0.3 * torch.randn(BATCH, TIMESTEPS, SIZE["bands"], PIXELS, PIXELS)
    row, column = torch.meshgrid(torch.arange(PIXELS), torch.arange(PIXELS), indexing="ij")
    centre = torch.randint(6, PIXELS - 6, (BATCH, 2, 1, 1))
    mask = ((row - centre[:, 0]).abs() + (column - centre[:, 1]).abs() < 9).float()
    image[:, TIMESTEPS // 2:] += 1.5 * mask[:, None, None]
    return image, mask


def random_model(upsample, skip):
    model = LSTMUNet(upsample=upsample, skip=skip, **SIZE)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # away from the identity, so that a mistake shows
            torch.nn.init.normal_(module.weight, 1, 0.1)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def tensors_of(model, prefix):
    return {prefix + k: v.detach().clone() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def copy_of(start, upsample, skip, dtype):
    model = LSTMUNet(upsample=upsample, skip=skip, **SIZE)
    model.load_state_dict({k[len("param/"):]: v for k, v in start.items()}, strict=False)
    return model.to(dtype)


def new_optimizer(parameters, name, lr):
    if name == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=MOMENTUM, weight_decay=DECAY)
    return torch.optim.AdamW(parameters, lr, weight_decay=DECAY)


def with_noise(compute):
    """compute(float64), and for each tensor how far float32 strays: the worse of PyTorch's two convolution paths."""
    expected = compute(torch.float64)
    rough = []
    for torch.backends.mkldnn.enabled in (False, True):
        rough.append(compute(torch.float32))
    noise = {f"noise/{k}": max((r[k].double() - x).norm() / (x.norm() + 1e-30) for r in rough).reshape(1)
             for k, x in expected.items()}
    return expected, noise


def model_case(upsample, skip):
    start, (image, mask) = tensors_of(random_model(upsample, skip), "param/"), random_batch()

    def compute(dtype):
        model, x, y = copy_of(start, upsample, skip, dtype), image.to(dtype), mask.to(dtype)
        with torch.no_grad():
            out = {"eval/logits": model.eval()(x)}
        out["train/logits"] = model.train()(x)
        out["train/loss"] = focal_loss(out["train/logits"], y, ALPHA, GAMMA).reshape(1)
        out["train/loss"].backward()
        grads = {f"grad/{k}": p.grad for k, p in model.named_parameters()}
        out["train/grad_norm"] = torch.cat([g.flatten() for g in grads.values()]).norm().reshape(1)
        running = {k: v for k, v in tensors_of(model, "buffer/").items() if ".running_" in k}
        return {**out, **grads, **running}

    expected, noise = with_noise(compute)
    said, truth = expected["eval/logits"][:, 0] > 0, mask > 0.5
    counts = [(said & truth).sum(), (said & ~truth).sum(), (~said & truth).sum(), (~said & ~truth).sum()]
    return {**start, "image": image, "mask": mask, **expected, **noise, "confusion": torch.stack(counts)}


def train_case(upsample, skip, opt, lr):
    start, batches = tensors_of(random_model(upsample, skip), "param/"), [random_batch() for _ in range(STEPS)]
    rates = [lr, lr / 2]

    def compute(dtype):
        model, out = copy_of(start, upsample, skip, dtype), {}
        optimizer = new_optimizer(model.parameters(), opt, lr)
        for step, (image, mask) in enumerate(batches):
            optimizer.param_groups[0]["lr"] = rates[step]
            optimizer.zero_grad()
            loss = focal_loss(model(image.to(dtype)), mask.to(dtype), ALPHA, GAMMA)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            out[f"step{step}/loss"], out[f"step{step}/grad_norm"] = loss.reshape(1), norm.reshape(1)
        return {**out, **tensors_of(model, "after/")}

    expected, noise = with_noise(compute)
    inputs = {f"step{k}/{name}": t for k, batch in enumerate(batches)
              for name, t in zip(("image", "mask", "lr"), (*batch, torch.tensor([rates[k]])))}
    return {**start, **inputs, **expected, **noise}


def optimizer_case(opt, lr):
    start = torch.randn(VECTOR)
    out, parameter = {"param": start}, torch.nn.Parameter(start.double())
    optimizer = new_optimizer([parameter], opt, lr)
    for step, size in enumerate((2.0, 0.01, 0.5, 0.03)):
        grad, rate = size * torch.randn(VECTOR), lr / (1 + step)
        optimizer.param_groups[0]["lr"], parameter.grad = rate, grad.double()
        torch.nn.utils.clip_grad_norm_([parameter], CLIP)
        optimizer.step()
        out.update({f"grad{step}": grad, f"lr{step}": torch.tensor([rate]), f"after{step}": parameter.detach().clone()})
    return out


CASES = {
    "model_transposed_max": (model_case, dict(upsample="transposed", skip="max")),
    "model_transposed_last": (model_case, dict(upsample="transposed", skip="last")),
    "model_nearest_mean": (model_case, dict(upsample="nearest", skip="mean")),
    "train_sgd": (train_case, dict(upsample="nearest", skip="max", opt="sgd", lr=0.01)),
    "train_adamw": (train_case, dict(upsample="transposed", skip="mean", opt="adamw", lr=0.001)),
    "optimizer_sgd": (optimizer_case, dict(opt="sgd", lr=0.02)),
    "optimizer_adamw": (optimizer_case, dict(opt="adamw", lr=0.02)),
}


def loudest(tensors):
    return max((float(v) for k, v in tensors.items() if k.startswith("noise/")), default=0.0)


def draw(make, settings, seed):
    torch.manual_seed(seed)
    return make(**settings)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=root / "tests/model/golden")
    parser.add_argument("--draws", type=int, default=24)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, (make, settings) in CASES.items():
        draws = args.draws if name[:9] != "optimizer" else 1
        tensors = min((draw(make, settings, seed) for seed in range(draws)), key=loudest)
        write(args.out / f"{name}.safetensors", tensors, {**SETTINGS, **settings})
        print(f"{name}: float32 strays by {loudest(tensors):.1e} at most")


if __name__ == "__main__":
    main()
