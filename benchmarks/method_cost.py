"""Measure seconds and peak memory of a step of each method at equal batch and window, and how far its passes explain them.

    python benchmarks/method_cost.py [--methods hrda …] [--encoder mobilenet_v2] [--decoder segformer] [--window 192]

*Explained* is a sum: passes with gradients x (forward + backward) and passes without x forward, both measured on
the network of source-only, for two resolutions at half its size; three passes of each discriminator and those of HRDA's
scale attention; the frozen encoder of source-free's cells; the augmentation of the images that the method reads, mixes
or masks; the optimiser step of source-only. Frozen encoders have random weights, and votes are off. Source-free is in
its second phase; in the first a step is one of source-only. Patches are random numbers, so reading takes no time. The
steps of the methods are measured in turns, and the median of each counts. With one thread on a CPU (OMP_NUM_THREADS=1)
seconds are processor time, so other work on the machine does not count. Peak memory is that of a separate process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from encoders import weights_file
from torch import Tensor

from rsuda.core.legend import Legend
from rsuda.core.settings import make_settings
from rsuda.core.spec import Spec
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Network, PlainNetwork
from rsuda.learning.two_resolution_network import TwoResolutionNetwork
from rsuda.methods import METHODS, option_names, options_of, presets_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.source_free import SourceFree
from rsuda.runs.weights import architecture
from rsuda.training.build import check_run
from rsuda.training.method_module import MethodModule

MIXED = {
    "dacs": 1,
    "daformer": 1,
    "hrda": 1,
    "cluda": 1,
    "mic": 2,
    "source-free": 1,
}  # strongly augmented batches a step
CLASSES = ("building", "land", "road", "vegetation", "water")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Bench:
    """A method with an optimiser and a batch, outside of Lightning.

    Args:
        weights: file of the encoder's first weights, or 'none', which leaves frozen encoders out.
    """

    def __init__(self, name: str, args: argparse.Namespace, weights: str = "none", precision: str = "auto") -> None:
        self.device = pick_device(args.device)
        self.precision = pick_precision(precision, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()  # as in rsuda adapt
        # random encoders cannot vote, and a run whose votes are missing stays in its source-only phase
        voting = {"method.neighbours": 0} if "neighbours" in option_names(name) else {}
        settings = make_settings(
            {
                **voting,
                "method.name": name,
                "source": "potsdam",
                "target": "vaihingen",
                "network.encoder": args.encoder,
                "network.decoder": args.decoder,
                "network.channels": args.channels,
                "patches.window": args.window,
                "training.batch_size": args.batch_size,
                "network.weights": "none",
                "training.steps": 1000,
            },
            presets_of=presets_of,
            option_names=option_names,
        )
        settings, _ = check_run(settings)
        legend = Legend(CLASSES, tuple(((k, k, k),) for k in range(len(CLASSES))))
        spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, MEAN, STD, legend)
        augmentation = Augmentation((MEAN, STD), (MEAN, STD))
        builder = NetworkBuilder(architecture(settings, spec), spec, weights, 0, augmentation)
        self.method = METHODS[name](builder, options_of(name, settings.method.options))
        self.module = MethodModule(self.method, settings.optimizer, settings.training.steps, augmentation)
        self.module.to(self.device, memory_format=torch.channels_last).train()
        self.module.log = lambda *_, **__: None  # type: ignore[method-assign]
        self.module._trainer = SimpleNamespace(global_step=0)
        self.optimiser = self.module.configure_optimizers()["optimizer"]
        generator = torch.Generator().manual_seed(0)
        size = (args.batch_size, args.window, args.window)
        blocks = torch.randint(len(CLASSES), (args.batch_size, 1, 8, 8), generator=generator).float()
        label = torch.nn.functional.interpolate(blocks, size[1:])[:, 0].to(torch.uint8)
        image = torch.rand(size[0], 3, *size[1:], generator=generator)
        self.batch = {
            "source_image": image, "source_label": label, "target_image": image.flip(0), "key": torch.arange(args.batch_size),
            "target_valid": torch.ones(size, dtype=torch.bool), "source_valid": torch.ones(size, dtype=torch.bool),
        }  # fmt: skip
        self.batch = {name: tensor.to(self.device) for name, tensor in self.batch.items()}
        if isinstance(self.method, SourceFree):
            self.step()  # its prototypes learn the source
        self.module._trainer.global_step = 900  # in the phase of adaptation

    def step(self) -> float:
        began = self._now()
        with autocast(self.precision, self.device):
            loss = self.module.training_step(self.batch, 0)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.method.after_step()
        return self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        if self.device.type == "cpu" and torch.get_num_threads() == 1:
            return time.process_time()
        return time.perf_counter()

    def discriminators(self) -> float:
        """Measure three passes, forward and backward, of each discriminator on an input of its own size, in seconds."""
        inputs: dict[torch.nn.Module, Tensor] = {}
        discriminators = self.method.discriminators()
        hooks = [
            discriminator.register_forward_pre_hook(lambda module, x: inputs.update({module: x[0].detach()}))
            for discriminator in discriminators
        ]
        self.step()
        for hook in hooks:
            hook.remove()
        total = 0.0
        for discriminator in discriminators:
            times = []
            for _ in range(5):
                began = self._now()
                with autocast(self.precision, self.device):
                    discriminator(inputs[discriminator].requires_grad_(True)).float().mean().backward()
                times.append(self._now() - began)
            total += 3 * statistics.median(times)
        self.optimiser.zero_grad()
        return total

    def attention(self) -> float:
        """Measure the passes of HRDA's scale attention in seconds: forward and backward on source and mixed images, forward for
        the teacher."""
        if not isinstance(self.method.model, TwoResolutionNetwork):
            return 0.0
        attention, inputs = self.method.model.attention, []
        hook = attention.register_forward_pre_hook(lambda _, x: inputs.append([level.detach() for level in x[0]]))
        self.step()
        hook.remove()
        both, alone = [], []
        for _ in range(5):
            pyramid = [level.requires_grad_(level.is_floating_point()) for level in inputs[0]]
            with autocast(self.precision, self.device):
                began = self._now()
                out = attention(pyramid)[1]
                alone.append(self._now() - began)
                out.float().mean().backward()
            both.append(self._now() - began)
        self.optimiser.zero_grad()
        return 2 * statistics.median(both) + statistics.median(alone)

    def cells(self) -> float:
        """Measure the pass of source-free's frozen encoder in seconds."""
        if not isinstance(self.method, SourceFree):
            return 0.0
        assert self.method.cells is not None
        times = []
        for _ in range(5):
            began = self._now()
            with autocast(self.precision, self.device):
                self.method.cells(self.batch["target_image"])
            times.append(self._now() - began)
        return statistics.median(times)

    def two_resolutions(self) -> float:
        """Measure HRDA's passes through the network of source-only, in seconds: forward and backward of both resolutions of
        two batches, and forward of the teacher, twice, and of the frozen encoder. Small images cost more than their share of
        pixels."""
        network, image, label = self.method.model, self.batch["target_image"], self.batch["source_label"]
        half = image[..., : image.shape[-2] // 2, : image.shape[-1] // 2].contiguous(memory_format=torch.channels_last)
        windows = half.repeat(9, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        both, alone, detail = [], [], []
        for _ in range(5):
            began = self._now()
            with autocast(self.precision, self.device):
                cross_entropy(network(half), label[..., : half.shape[-2], : half.shape[-1]]).backward()
            both.append(self._now() - began)
            for images, times in ((half, alone), (windows, detail)):
                began = self._now()
                with torch.no_grad(), autocast(self.precision, self.device):
                    network(images)
                times.append(self._now() - began)
        self.optimiser.zero_grad()
        context = statistics.median(alone)
        return 4 * statistics.median(both) + 2 * (context + statistics.median(detail)) + context

    def pieces(self) -> tuple[float, float, float, float]:
        """Measure forward and backward, forward alone, a batch's augmentation, and its strong augmentation, in seconds."""
        network = self.method.model
        assert isinstance(network, PlainNetwork) and isinstance(network.network, Network)
        assert self.module.augmentation is not None
        marks = [self._now()]
        source = self.module.augmentation.source(self.batch)
        image, label = source["source_image"], source["source_label"]
        marks.append(self._now())
        self.method.build.strong(image, self.batch["key"], 0.2)
        marks.append(self._now())
        with autocast(self.precision, self.device):
            loss: Tensor = cross_entropy(network(image), label)
        loss.backward()
        marks.append(self._now())
        self.optimiser.zero_grad()
        began = self._now()
        with torch.no_grad(), autocast(self.precision, self.device):
            network(image)
        forward = self._now() - began
        augmentation, strong, both = (end - start for start, end in pairwise(marks))
        return both, forward, augmentation, strong


def peak(name: str, args: argparse.Namespace, weights: str = "none") -> float:
    """Return the peak memory of this process after three steps, in megabytes."""
    bench = Bench(name, args, weights)
    for _ in range(3):
        bench.step()
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--decoder", default="segformer")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--window", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    names = list(dict.fromkeys(("source-only", *args.methods)))
    context = multiprocessing.get_context("spawn")
    memory: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = str(weights_file(args.encoder, Path(folder)))
        for name in names:
            with context.Pool(1) as pool:
                memory[name] = pool.apply(peak, (name, args, weights))
        benches = {name: Bench(name, args, weights) for name in names}
    pieces: list[tuple[float, float, float, float]] = []
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(args.rounds + 2):
        pieces.append(benches["source-only"].pieces())
        for name, bench in benches.items():
            seconds = bench.step()
            if turn >= 2:
                times[name].append(seconds)
    both, forward, augmentation, strong = (statistics.median(piece) for piece in zip(*pieces[2:], strict=True))
    plain = statistics.median(times["source-only"])
    rest = max(0.0, plain - both - augmentation)
    first = benches["source-only"]
    print(
        f"{args.encoder} {args.decoder}, {args.batch_size} + {args.batch_size} patches of {args.window} px, "
        f"{first.precision} on {first.device},"
    )
    print(f"{torch.get_num_threads()} threads; forward and backward {both:.3f} s, forward {forward:.3f} s\n")
    print("| method | s / step | x source-only | explained s | beyond that | peak MB |\n|---|---|---|---|---|---|")
    for name, measured in times.items():
        with_gradients, without = METHODS[name].passes
        seconds = statistics.median(measured)
        images = METHODS[name].needs_source + METHODS[name].needs_target
        passes = with_gradients * both + without * forward
        if isinstance(benches[name].method.model, TwoResolutionNetwork):
            passes = first.two_resolutions()
        explained = passes + images * augmentation + MIXED.get(name, 0) * strong + rest
        explained += benches[name].discriminators() + benches[name].attention() + benches[name].cells()
        print(
            f"| {name} | {seconds:.3f} | {seconds / plain:.2f} | {explained:.3f} | {100 * (seconds / explained - 1):+.0f} % | "
            f"{memory[name]:.0f} |"
        )


if __name__ == "__main__":
    main()
