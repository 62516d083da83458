"""How long PyTorch takes for an epoch on the GPU: 9 training steps of batch 4 and the validation of 9 samples, T 7, 64x64, AdamW, clipping.

    python3 gpu_epoch.py [--hidden 256] [--modes fp32,tf32,bf16,compiled] [--epochs 10] [--small]

fp32: eager, TF32 off. tf32: eager, TF32 on. bf16: channels_last and autocast. compiled: the same under torch.compile with max-autotune. The data lies on
the GPU; losses are added there and read once an epoch. `--small`: a narrow model, on the CPU where there is no GPU, to try the script. Prints one line
"row<TAB>what<TAB>median ms<TAB>least<TAB>most<TAB>s in all<TAB>MiB" a mode. Not part of the product.
"""
import argparse
import statistics
import time

import torch

from lstm_unet import LSTMUNet, focal_loss

NAMES = {"fp32": "eager, fp32", "tf32": "eager, TF32", "bf16": "channels_last, autocast bf16", "compiled": "torch.compile max-autotune, autocast bf16"}
TRAIN, VALIDATE, BATCH = 9, 3, 4


def make_model(options, device):
    channels = [8] * 5 if options.small else [256, 128, 64, 32, 16]
    return LSTMUNet(9, 8 if options.small else 64, options.hidden, 2, channels, "transposed", "max").to(device)


def run_mode(mode, options, device):
    begin = time.perf_counter()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "fp32"
    torch.backends.cudnn.benchmark = True
    half = mode in ("bf16", "compiled")
    model = make_model(options, device)
    if half:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=5e-4, **({"fused": True} if device == "cuda" else {}))
    images = [torch.randn(BATCH, 7, 9, 64, 64, device=device) for _ in range(TRAIN + VALIDATE)]
    masks = [(torch.rand(BATCH, 64, 64, device=device) < 0.1).float() for _ in range(TRAIN + VALIDATE)]

    def loss_of(image, mask):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            logits = model(image)
        return focal_loss(logits.float(), mask, 0.25, 2.0)

    forward = torch.compile(loss_of, mode="max-autotune") if mode == "compiled" else loss_of

    def epoch():
        total = torch.zeros((), device=device)
        model.train()
        for image, mask in zip(images[:TRAIN], masks[:TRAIN]):
            optimizer.zero_grad(set_to_none=True)
            loss = forward(image, mask)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.detach()
        model.eval()
        with torch.no_grad():
            for image, mask in zip(images[TRAIN:], masks[TRAIN:]):
                total += forward(image, mask)
        return float(total)  # waits for the device

    for _ in range(3):
        epoch()
    times = []
    for _ in range(options.epochs):
        start = time.perf_counter()
        epoch()
        times.append(1e3 * (time.perf_counter() - start))
    memory = f"{torch.cuda.max_memory_reserved() / 2**20:.0f}" if device == "cuda" else ""
    print(f"row\tPyTorch {torch.__version__}, {NAMES[mode]}, hidden {options.hidden}\t{statistics.median(times):.1f}\t{min(times):.1f}\t{max(times):.1f}\t"
          f"{time.perf_counter() - begin:.1f}\t{memory}\tok", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--modes", default="fp32,tf32,bf16,compiled")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.small:
        raise SystemExit("no GPU: --small tries the script on the CPU")
    for mode in options.modes.split(","):
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        run_mode(mode, options, device)


if __name__ == "__main__":
    main()
