"""Seconds a step of ST-DASegNet, against the same step as the published code takes it, in turns.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py [--encoder mit_b0] [--crop 384] [--batch-size 2] [--rounds 9]

Same networks, losses, batch and optimiser. As published means: attention by torch's MultiheadAttention with its weights returned;
the all-MLP decoder that resizes and concatenates all levels before its 1x1 convolution; teachers with autograd on; tensors
channels first. It is rsuda's code taken apart again by what is known of the published one, which itself was not run:
augmentation, the disentangle module, the discriminators, one backward pass for all losses and the allocator's setting are rsuda's
in both. Patches are random numbers. Processor time is told besides the clock's, since other work on the machine does not count
in it.
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
    """A Mix Transformer's attention by torch's module, weights returned."""

    def __init__(self, own: Attention) -> None:
        super().__init__()
        self.own = own
        self.plain = nn.MultiheadAttention(own.dim, own.num_heads, batch_first=True)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        read = x
        if self.own.sr_ratio > 1:
            image = x.permute(0, 2, 1).reshape(len(x), -1, height, width)
            read = self.own.norm(self.own.sr(image).flatten(2).permute(0, 2, 1))
        out: Tensor = self.plain(x, read, read, need_weights=True)[0]
        return out


class Concatenating(AllMLPDecoder):
    """SegFormer's decoder word by word."""

    def __init__(self, own: AllMLPDecoder) -> None:
        super().__init__([3, 0, *(c.in_channels for c in own.embed)], own.norm.num_features)
        self.levels = own.levels
        width = own.norm.num_features
        self.fuse = nn.Conv2d(len(self.embed) * width, width, 1, bias=False)  # type: ignore[assignment]

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        size = pyramid[self.levels[0]].shape[-2:]
        parts = [resize(embed(pyramid[k]), size) for k, embed in zip(self.levels, self.embed, strict=True)]
        out: Tensor = self.norm(self.fuse(torch.cat(parts, 1))).relu()
        return out


class AsPublished(STDASegNet):
    def _label(self, *given: Any) -> tuple[PseudoLabels, PseudoLabels]:
        with torch.enable_grad():
            labels = STDASegNet._label.__wrapped__(self, *given)  # type: ignore[attr-defined]
        for_s, for_t = (PseudoLabels(*(v.detach() for v in one)) for one in labels)
        return for_s, for_t


def taken_apart(network: nn.Module) -> None:
    """Undo in place what makes it fast."""
    for module in list(network.modules()):
        if isinstance(module, StridedDepthwise):
            module.__class__ = nn.Conv2d
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, WithWeights(child))
            elif type(child) is AllMLPDecoder:
                setattr(module, name, Concatenating(child))


def as_published(a: argparse.Namespace) -> Bench:
    bench = Bench("st-dasegnet", a)
    taken_apart(bench.method)
    bench.method.__class__ = AsPublished
    bench.method.to(memory_format=torch.contiguous_format).train().requires_grad_(True)  # type: ignore[call-overload]
    bench.optimiser = bench.method.configure_optimizers()["optimizer"]
    return bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mit_b0")
    parser.add_argument("--decoder", default="segformer")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    a = parser.parse_args()
    benches = {"rsuda": Bench("st-dasegnet", a), "as published": as_published(a)}
    clock: dict[str, list[float]] = {name: [] for name in benches}
    processor: dict[str, list[float]] = {name: [] for name in benches}
    for turn in range(a.rounds + 2):
        for name, bench in benches.items():
            before = time.process_time()
            seconds = bench.step()
            if turn >= 2:
                clock[name].append(seconds)
                processor[name].append(time.process_time() - before)
    one = benches["rsuda"]
    print(
        f"{a.encoder}, {a.channels} channels, crop {a.crop}, batch {a.batch_size} of each domain, {one.precision}, "
        f"{torch.get_num_threads()} threads on {one.device}; median of {a.rounds} steps in turns"
    )
    for name in benches:
        print(f"{name:14s} {median(clock[name]):6.2f} s a step, {median(processor[name]):6.2f} s of the processor")
    ratios = [p / o for o, p in zip(processor["rsuda"], processor["as published"], strict=True)]
    print(f"ratio of the processor's time: {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    if a.out:
        told = {k: v for k, v in vars(a).items() if k != "out"} | {
            "precision": one.precision,
            "threads": torch.get_num_threads(),
        }
        a.out.write_text(json.dumps({**told, "clock": clock, "processor": processor}, indent=1) + "\n")


if __name__ == "__main__":
    main()
