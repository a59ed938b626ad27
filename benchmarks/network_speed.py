"""A training step of the network against the same network without what makes it fast on CPUs, in turns.

    python benchmarks/network_speed.py [--encoder mobilenet_v2] [--channels 128] [--crop 192]

Left out in turn: gradients of strided depthwise convolutions in float32 and fused attention (both of learning/layers.py), and the
all-MLP decoder that passes one product a level at its own size (decoders.AllMLPDecoder) for that of segmentation-models-pytorch.
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


def built(a: argparse.Namespace, depthwise: bool = True, attention: bool = True, decoder: bool = True) -> Network:
    network = Network(Architecture(a.encoder, "segformer", 5, 3, a.channels))
    for module in network.modules():
        if isinstance(module, StridedDepthwise) and not depthwise:
            module.__class__ = nn.Conv2d
        elif isinstance(module, FusedAttention) and not attention:
            module.__class__ = Attention
    if not decoder:
        network.decoder.body = SegformerDecoder(list(network.encoder.out_channels), segmentation_channels=a.channels)
    return network.to(memory_format=torch.channels_last).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=7)
    a = parser.parse_args()
    device = pick_device("cpu")
    precision = pick_precision("auto", device)
    networks = {"as it is": built(a)}
    if any(isinstance(m, StridedDepthwise) for m in networks["as it is"].modules()):
        networks["strided depthwise as torch has it"] = built(a, depthwise=False)
    if any(isinstance(m, FusedAttention) for m in networks["as it is"].modules()):
        networks["attention of segmentation-models-pytorch"] = built(a, attention=False)
    networks["decoder of segmentation-models-pytorch"] = built(a, decoder=False)
    networks["none of these"] = built(a, False, False, False)
    image = torch.rand(4, 3, a.crop, a.crop).contiguous(memory_format=torch.channels_last)
    label = torch.randint(0, 5, (4, a.crop, a.crop))
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(a.rounds + 1):
        for name, network in networks.items():
            began = time.perf_counter()
            with autocast(precision, device):
                loss = cross_entropy(network(image).logits, label)
            loss.backward()
            times[name].append(time.perf_counter() - began)
    print(
        f"{a.encoder}, 4 crops of {a.crop} px, {precision}, {torch.get_num_threads()} threads, forward and backward\n"
    )
    print("| network | seconds | times as long |\n|---|---|---|")
    medians = {name: statistics.median(t[1:]) for name, t in times.items()}
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.3f} | {seconds / medians['as it is']:.2f} |")


if __name__ == "__main__":
    main()
