"""Declare the options of a run, which ``rsuda adapt`` and ``rsuda config`` share.

The help texts are those of the settings' fields (a test compares them), written out so that the help loads no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion

Source = Annotated[
    list[str] | None,
    typer.Option(
        help="Labelled domain: a known name or a domain file; --source may be repeated.",
        autocompletion=completion.domains,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Domain to adapt to: name, domain file, folder or glob of rasters.", autocompletion=completion.domains
    ),
]
Method = Annotated[str | None, typer.Option(help="Method; rsuda methods lists all.", autocompletion=completion.methods)]
Data = Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of both domains.")]
Start = Annotated[
    Path | None, typer.Option(help="Run folder whose model training starts from; its settings are the defaults.")
]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings; flags override it.")]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Preset: small, raw, sample, paper, mit-b0, mit-b5 or resnet50.", autocompletion=completion.presets
    ),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps.")]
BatchSize = Annotated[int | None, typer.Option(help="Patches of each domain in a batch of one process.")]
Accumulate = Annotated[int | None, typer.Option(help="Batches that make one optimizer step.")]
Window = Annotated[int | None, typer.Option("--window", help="Patch size in pixels, a multiple of 32.")]
HiddenCrop = Annotated[int | None, typer.Option("--crop", hidden=True)]  # the older name of --window
GSD = Annotated[
    str | None,
    typer.Option(
        help="Common metres per pixel, 'target', 'native', or 'auto': the target's unless the source is much coarser."
    ),
]
SourceBands = Annotated[
    str | None, typer.Option(help="Band order of the source, e.g. RGB or IRRG; the pair chooses by default.")
]
TargetBands = Annotated[str | None, typer.Option(help="Band order of the target; the pair chooses by default.")]
TargetNodata = Annotated[
    float | None,
    typer.Option(help="Value that marks pixels of the target without data; the files' own by default."),
]
Weights = Annotated[str | None, typer.Option(help="Encoder weights: imagenet (downloaded), packaged, none or a file.")]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, patches and augmentation.")]
Precision = Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps (GPUs of Apple).")]
Devices = Annotated[str | None, typer.Option(help="Devices of each machine that train together, or auto.")]
Nodes = Annotated[int | None, typer.Option(help="Machines that train together; each runs this command.")]
Strategy = Annotated[str | None, typer.Option(help="How they train together: ddp.")]
Workers = Annotated[int | None, typer.Option(help="Processes that read patches, for each process that trains.")]
ScoreEvery = Annotated[
    int | None,
    typer.Option(help="Steps after which the target's labelled split is scored, for a curve; 0 is never."),
]
Bank = Annotated[
    bool | None,
    typer.Option(
        "--bank/--no-bank",
        help="Keep the source's class means in the weights file, for adaptation without the source later.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="setting=value, such as optimizer.lr=1e-3 or method.jitter=0.3; may be repeated."),
]
