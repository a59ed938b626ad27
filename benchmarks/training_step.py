"""Compare a step of ST-DASegNet with the same step in the way of the published code, in turns.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py [--precision fp32] [--encoder mit_b0] [--rounds 9]

Both have the same networks, losses, batch and optimiser. "As published" has attention by torch's MultiheadAttention
with its weights returned, the all-MLP decoder that resizes and concatenates all levels before its 1x1 convolution,
teachers with autograd on, and tensors channels first. It is rsuda's code, changed by what is known of the published
code; the published code itself did not run. Augmentation, the disentangle module, the discriminators, one backward
pass for all losses and the allocator's setting are rsuda's in both. Patches are random numbers. The output has
processor time and clock time: other work on the machine does not count in the former.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from method_cost import Bench
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from torch import Tensor, nn

from rsuda.learning.decoders import AllMLPDecoder
from rsuda.learning.layers import StridedDepthwise
from rsuda.learning.network import resize
from rsuda.methods.blocks.pseudo_labels import PseudoLabels
from rsuda.methods.st_dasegnet import STDASegNet


class WithWeights(nn.Module):
    """Attention of a Mix Transformer by torch's module, with its weights returned."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.plain = nn.MultiheadAttention(attention.dim, attention.num_heads, batch_first=True)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        read = x
        if self.attention.sr_ratio > 1:
            image = x.permute(0, 2, 1).reshape(len(x), -1, height, width)
            read = self.attention.norm(self.attention.sr(image).flatten(2).permute(0, 2, 1))
        out: Tensor = self.plain(x, read, read, need_weights=True)[0]
        return out


class Concatenating(AllMLPDecoder):
    """SegFormer's decoder as in the paper."""

    def __init__(self, decoder: AllMLPDecoder) -> None:
        super().__init__([3, 0, *(layer.in_channels for layer in decoder.embed)], decoder.norm.num_features)
        self.levels = decoder.levels
        width = decoder.norm.num_features
        self.fuse = nn.Conv2d(len(self.embed) * width, width, 1, bias=False)  # type: ignore[assignment]

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        size = pyramid[self.levels[0]].shape[-2:]
        parts = [resize(embed(pyramid[k]), size) for k, embed in zip(self.levels, self.embed, strict=True)]
        out: Tensor = self.norm(self.fuse(torch.cat(parts, 1))).relu()
        return out


class AsPublished(STDASegNet):
    def _label(self, *features: Any) -> tuple[PseudoLabels, PseudoLabels]:
        with torch.enable_grad():
            labels = STDASegNet._label.__wrapped__(self, *features)  # type: ignore[attr-defined]
        for_s, for_t = (PseudoLabels(*(value.detach() for value in label)) for label in labels)
        return for_s, for_t


def slow_down(network: nn.Module) -> None:
    """Replace the fast modules in place."""
    for module in list(network.modules()):
        if isinstance(module, StridedDepthwise):
            module.__class__ = nn.Conv2d
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, WithWeights(child))
            elif type(child) is AllMLPDecoder:
                setattr(module, name, Concatenating(child))


def as_published(args: argparse.Namespace) -> Bench:
    bench = Bench("st-dasegnet", args, precision=args.precision)
    slow_down(bench.method)
    bench.method.__class__ = AsPublished
    bench.method.to(memory_format=torch.contiguous_format).train().requires_grad_(True)  # type: ignore[call-overload]
    bench.optimiser = bench.module.configure_optimizers()["optimizer"]
    return bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mit_b0")
    parser.add_argument("--decoder", default="segformer")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--window", type=int, default=384)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto", help="'auto' is what rsuda chooses here"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    benches = {"rsuda": Bench("st-dasegnet", args, precision=args.precision), "as published": as_published(args)}
    clock: dict[str, list[float]] = {name: [] for name in benches}
    processor: dict[str, list[float]] = {name: [] for name in benches}
    for turn in range(args.rounds + 2):
        for name, bench in benches.items():
            before = time.process_time()
            seconds = bench.step()
            if turn >= 2:
                clock[name].append(seconds)
                processor[name].append(time.process_time() - before)
    bench = benches["rsuda"]
    print(
        f"{args.encoder}, {args.channels} channels, windows of {args.window} px, batch {args.batch_size} of each domain, "
        f"{bench.precision}, {torch.get_num_threads()} threads on {bench.device}; median of {args.rounds} steps in turns"
    )
    for name in benches:
        print(f"{name:14s} {median(clock[name]):6.2f} s a step, {median(processor[name]):6.2f} s of processor time")
    ratios = [slow / fast for fast, slow in zip(processor["rsuda"], processor["as published"], strict=True)]
    print(f"ratio of processor time: {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    if args.out:
        about = {name: value for name, value in vars(args).items() if name not in ("out", "precision")} | {
            "precision": bench.precision,
            "threads": torch.get_num_threads(),
        }
        args.out.write_text(json.dumps({**about, "clock": clock, "processor": processor}, indent=1) + "\n")


if __name__ == "__main__":
    main()
