"""The same training step in PyTorch on the CPU: batch 4, T 7, 9 bands, 64x64, AdamW, clipping to a norm of 1.

    python3 torch_step.py [--hidden 256] [--threads 2] [--mode eager|channels_last|compile|compile_channels_last] [--precision fp32|bf16]

Speaks to pair.py: "ready ..." after the warm-up, then for each line on standard input the seconds of one step and the most memory so far (MiB).
bf16 is PyTorch's autocast. Works with PyTorch 1.13 and 2. Not part of the product.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))

import torch  # noqa: E402

from lstm_unet import LSTMUNet, focal_loss  # noqa: E402


def peak_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def make_optimizer(model):
    settings = {"lr": 1e-4, "weight_decay": 5e-4}
    try:
        return torch.optim.AdamW(model.parameters(), fused=True, **settings), "fused AdamW"
    except (RuntimeError, TypeError):
        return torch.optim.AdamW(model.parameters(), **settings), "AdamW"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", default="eager", choices=["eager", "channels_last", "compile", "compile_channels_last"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = LSTMUNet(9, 64, options.hidden, 2, [256, 128, 64, 32, 16], "transposed", "max").train()
    if "channels_last" in options.mode:
        model = model.to(memory_format=torch.channels_last)
    optimizer, optimizer_name = make_optimizer(model)
    image = torch.randn(4, 7, 9, 64, 64)
    mask = (torch.arange(64) < 8).float().expand(4, 64, 64).contiguous()

    def loss_of():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            logits = model(image)
        return focal_loss(logits.float(), mask, 0.25, 2.0)

    forward = torch.compile(loss_of) if "compile" in options.mode else loss_of

    def step():
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        return time.perf_counter() - began

    for _ in range(3):
        step()
    print(f"ready PyTorch {torch.__version__}, {options.mode}, {options.precision}, {optimizer_name}", flush=True)
    for _ in sys.stdin:
        print(f"{step():.6f} {peak_memory():.0f}", flush=True)


if __name__ == "__main__":
    main()
