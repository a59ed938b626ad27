"""Compare a training step of the network with the same network without its speed-ups for CPUs, in turns.

    python benchmarks/network_speed.py [--encoder mobilenet_v2] [--channels 128] [--window 192]

Three speed-ups are left out in turn: gradients of strided depthwise convolutions in float32, fused attention (both
in learning/layers.py), and the all-MLP decoder with one product a level at its own size (decoders.AllMLPDecoder
instead of the one of segmentation-models-pytorch).
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from torch import nn

from rsuda.learning.device import autocast, pick_device, pick_precision
from rsuda.learning.layers import FusedAttention, StridedDepthwise
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Architecture, Network


def build(args: argparse.Namespace, *, depthwise: bool = True, attention: bool = True, decoder: bool = True) -> Network:
    network = Network(Architecture(args.encoder, "segformer", 5, 3, args.channels))
    for module in network.modules():
        if isinstance(module, StridedDepthwise) and not depthwise:
            module.__class__ = nn.Conv2d
        elif isinstance(module, FusedAttention) and not attention:
            module.__class__ = Attention
    if not decoder:
        network.decoder.body = SegformerDecoder(list(network.encoder.out_channels), segmentation_channels=args.channels)
    return network.to(memory_format=torch.channels_last).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--window", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    device = pick_device("cpu")
    precision = pick_precision("auto", device)
    networks = {"as it is": build(args)}
    if any(isinstance(module, StridedDepthwise) for module in networks["as it is"].modules()):
        networks["strided depthwise as torch has it"] = build(args, depthwise=False)
    if any(isinstance(module, FusedAttention) for module in networks["as it is"].modules()):
        networks["attention of segmentation-models-pytorch"] = build(args, attention=False)
    networks["decoder of segmentation-models-pytorch"] = build(args, decoder=False)
    networks["none of these"] = build(args, depthwise=False, attention=False, decoder=False)
    image = torch.rand(4, 3, args.window, args.window).contiguous(memory_format=torch.channels_last)
    label = torch.randint(0, 5, (4, args.window, args.window))
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(args.rounds + 1):
        for name, network in networks.items():
            began = time.perf_counter()
            with autocast(precision, device):
                loss = cross_entropy(network(image).logits, label)
            loss.backward()
            times[name].append(time.perf_counter() - began)
    print(
        f"{args.encoder}, 4 patches of {args.window} px, {precision}, {torch.get_num_threads()} threads, forward and backward\n"
    )
    print("| network | seconds | times as long |\n|---|---|---|")
    medians = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.3f} | {seconds / medians['as it is']:.2f} |")


if __name__ == "__main__":
    main()
