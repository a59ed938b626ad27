"""A run for others to use: ONNX for QGIS and onnxruntime, a torch.export program, or a STAC item that describes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError, check_extra, unknown
from rsuda.core.version import __version__
from rsuda.export.deepness import deepness_metadata
from rsuda.export.onnx_network import OnnxNetwork
from rsuda.export.programs import (
    KEY,
    LOGITS,
    PROBABILITIES,
    Softmax,
    add_softmax,
    largest_difference,
    to_onnx,
    traced,
    write_onnx,
    write_pt2,
)
from rsuda.export.stac_model import model_item
from rsuda.geo.stac_item import write_item
from rsuda.learning.network import STRIDE
from rsuda.runs.weights import TrainedNetwork, load_run

FILES = {"onnx": "model.onnx", "torch-export": "model.pt2", "stac": "stac.json"}  # by format, in the run folder
OUTPUTS = (PROBABILITIES, LOGITS)
TOLERANCE = 1e-3  # of logits, between the network and its file


@dataclass(frozen=True)
class Exported:
    """What was written. ``difference``: the largest between the logits of the network and those of the file, on random
    images; None for an item."""

    run: Path
    format: str
    file: Path
    output: str | None
    window: int | None
    difference: float | None

    def as_fields(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


def export(
    run: str | Path | TrainedNetwork,
    format: str = "onnx",
    out: str | Path | None = None,
    window: int = 512,
    overlap: int = 128,
    output: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a run's network, or a STAC item of it, as a file of its own.

    The network's input is standardised imagery (B, bands, window, window) float32, B any number from 1 on. It is compared
    with the original before the file gets its name.

    Args:
        run: a run folder, or a loaded one.
        format: 'onnx', 'torch-export' or 'stac'.
        out: the file; by default model.onnx, model.pt2 or stac.json in the run folder.
        window: pixels per side of the input, a multiple of 32.
        overlap: pixels; what Deepness in QGIS is told to overlap windows by.
        output: 'probabilities' or 'logits'; probabilities by default for ONNX (Deepness wants them), logits for torch.export.

    Raises:
        MissingError, InputError: the run is not finished, a package is missing, the network cannot be written so, or its file
            gives other logits than the network.
        ExistsError: the file exists and ``overwrite`` is False.
    """
    if format not in FILES:
        raise unknown("export format", format, FILES)
    check_extra("export", *{"onnx": ("onnx", "onnxscript", "onnxruntime"), "stac": ("pystac",)}.get(format, ()))
    if window < STRIDE or window % STRIDE:
        raise InputError(f"--window must be a multiple of {STRIDE}, not {window}")
    if not 0 <= overlap < window:
        raise InputError(f"--overlap must be at least 0 and below the window {window}, not {overlap}")
    if output is not None and output not in OUTPUTS:
        raise unknown("output", output, OUTPUTS)
    trained = run if isinstance(run, TrainedNetwork) else load_run(run)
    folder = trained.path if trained.path.is_dir() else trained.path.parent
    file = Path(out) if out else folder / FILES[format]
    if file.is_dir():
        raise InputError(f"{file} is a folder: --out takes the file to write")
    if file.exists() and not overwrite:  # before the minutes that an export takes
        raise ExistsError(f"{file} exists: pass --overwrite to replace it, or choose another --out")
    if format == "stac":
        write_item(model_item(trained, file.parent, window), file, overwrite)
        return Exported(trained.path, format, file, None, window, None)
    kind = output or (PROBABILITIES if format == "onnx" else LOGITS)
    about = _about(trained, window, overlap, kind)
    with atomic_write(file, overwrite) as temporary:
        made = temporary.with_suffix(Path(FILES[format]).suffix)  # torch goes by it
        difference = (_onnx if format == "onnx" else _pt2)(trained, made, window, kind, about)
        if made != temporary:
            made.rename(temporary)
    return Exported(trained.path, format, file, kind, window, difference)


def _onnx(trained: TrainedNetwork, path: Path, window: int, kind: str, about: dict[str, str]) -> float:
    network, bands = trained.model.cpu().eval(), len(trained.spec.bands)
    model = to_onnx(traced(network, bands, window))
    write_onnx(model, path, about)
    difference = _checked(largest_difference(network, OnnxNetwork(path).raw, bands, window))
    if kind == PROBABILITIES:
        add_softmax(model)
        write_onnx(model, path, about)
        _checked(largest_difference(network, OnnxNetwork(path).raw, bands, window, softmax=True))
    return difference


def _pt2(trained: TrainedNetwork, path: Path, window: int, kind: str, about: dict[str, str]) -> float:
    network, bands = trained.model.cpu().eval(), len(trained.spec.bands)
    write_pt2(traced(network, bands, window), path, about)
    difference = _checked(largest_difference(network, torch.export.load(path).module(), bands, window))
    if kind == PROBABILITIES:
        write_pt2(traced(Softmax(network), bands, window), path, about)
        _checked(largest_difference(network, torch.export.load(path).module(), bands, window, softmax=True))
    return difference


def _checked(difference: float) -> float:
    if not difference <= TOLERANCE:
        raise InputError(
            f"the exported network answers otherwise than the original, by up to {difference:.2g} (at most {TOLERANCE:g} is "
            "allowed): no file was written"
        )
    return difference


def _about(trained: TrainedNetwork, window: int, overlap: int, kind: str) -> dict[str, str]:
    """Metadata of the file: rsuda's own under one key, and what Deepness reads."""
    own = {
        "version": __version__, "run": trained.path.name, "method": trained.method, "network": trained.digest,
        "spec": trained.spec.as_fields(), "window": window, "overlap": overlap, "output": kind,
    }  # fmt: skip
    told = deepness_metadata(trained.spec, window, overlap) if kind == PROBABILITIES else {}
    return {**told, KEY: json.dumps(own)}
