"""Export a model for other programs: ONNX for QGIS and onnxruntime, a torch.export program, or a STAC item."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError, check_extra, exists, unknown
from rsuda.core.hub import local_model, run_folder
from rsuda.core.spelling import spell
from rsuda.core.version import __version__
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.export.calibration_windows import CalibrationWindow, choose_windows
from rsuda.export.deepness import deepness_metadata
from rsuda.export.int8 import Int8Loss, int8_loss, to_int8
from rsuda.export.programs import (
    KEY,
    LOGITS,
    PROBABILITIES,
    Softmax,
    largest_difference,
    to_onnx,
    traced,
    with_softmax,
    write_onnx,
    write_pt2,
)
from rsuda.export.stac_model import model_item
from rsuda.geo.maps.stac_item import write_item
from rsuda.learning.folding import without_batch_norm
from rsuda.learning.network import STRIDE
from rsuda.runs.onnx_network import OnnxNetwork
from rsuda.runs.weights import TrainedNetwork, load_run

OUTPUTS = (PROBABILITIES, LOGITS)
INT8_FILE = "model_int8.onnx"
TOLERANCE = 1e-3  # of logits, between the model and its file


@dataclass(frozen=True)
class Exported:
    """The file of an export.

    Attributes:
        output: 'probabilities' or 'logits'; None for a STAC item.
        window: pixels per side of the input.
        difference: largest difference between the logits of the model and those of the file on random images; None for a
            STAC item. For 8-bit integers: those of the file in float32 that they are made of.
        loss: what 8-bit integers change; None for other files.
    """

    run: Path
    format: str
    file: Path
    output: str | None
    window: int | None
    difference: float | None
    loss: Int8Loss | None = None

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Request:
    """An export that is asked for: the model, and the options of its file."""

    trained: TrainedNetwork
    window: int
    overlap: int
    output: str | None

    def metadata(self, loss: Int8Loss | None = None) -> dict[str, str]:
        """Describe the file: rsuda's entries under one key, and those that Deepness reads."""
        trained = self.trained
        about: dict[str, Any] = {
            "version": __version__,
            "run": trained.path.name,
            "method": trained.method,
            "network": trained.digest,
            "spec": trained.spec.as_fields(),
            "window": self.window,
            "overlap": self.overlap,
            "output": self.output,
        }
        if loss is not None:
            about["int8"] = asdict(loss)
        deepness = deepness_metadata(trained.spec, self.window, self.overlap) if self.output == PROBABILITIES else {}
        return {**deepness, KEY: json.dumps(about)}


@dataclass(frozen=True)
class ExportFormat:
    """A format of exports.

    Attributes:
        file: name of the file in the run folder.
        write: writes a request to a path, which has the file's suffix and a temporary name. Returns the difference to the
            model, see ``Exported``. The third argument is the file's own folder.
        output: default output; None for a file without the network itself.
        packages: those of the extra ``export`` that it needs.
    """

    file: str
    write: Callable[[Request, Path, Path], float | None]
    output: str | None
    packages: tuple[str, ...] = ()


def export(
    run: str | os.PathLike[str] | TrainedNetwork,
    format: str = "onnx",
    out: str | os.PathLike[str] | None = None,
    *,
    window: int = 512,
    overlap: int = 128,
    output: str | None = None,
    int8: str | os.PathLike[str] | Domain | None = None,
    data: str | Path | None = None,
    bands: str | None = None,
    gsd: float | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the model of a run as one file, or a STAC item that describes it.

    The input of the exported model is standardised imagery (B, bands, window, window) float32, B at least 1. The file is
    compared with the model before it gets its name.

    Args:
        run: a run folder, or a loaded model.
        format: 'onnx', 'torch-export' or 'stac'.
        out: the file; by default model.onnx, model.pt2 or stac.json in the run folder.
        window: pixels per side of the input, a multiple of 32.
        overlap: pixels by which Deepness in QGIS overlaps windows.
        output: 'probabilities' or 'logits'; probabilities by default for ONNX, since Deepness reads them, else logits.
        int8: imagery like that which will be mapped, as in ``rsuda.domain``. The ONNX file then computes in 8-bit integers,
            calibrated on windows of this imagery. It is model_int8.onnx by default.
        data: folder of the imagery of a known domain or domain file.
        bands, gsd: band order of the imagery, and metres per pixel of rasters without a georeference.

    Returns:
        the file, its output and window, and its largest difference from the model. With ``int8`` also what that changes.

    Raises:
        MissingError, InputError: the run is not finished, a package is missing, or the model cannot be written in the
            format. Or the file gives other logits than the model, or the imagery does not suit it.
        ExistsError: the file exists and ``overwrite`` is False.
    """
    _check(format, window, overlap, output)
    _check_int8(format, int8, bands, gsd)
    export_format = FORMATS[format]
    trained = run if isinstance(run, TrainedNetwork) else load_run(local_model(run) if out else run_folder(run))
    folder = trained.path if trained.path.is_dir() else trained.path.parent
    file = Path(out).expanduser() if out else folder / (export_format.file if int8 is None else INT8_FILE)
    _check_file(file, overwrite=overwrite)  # before the minutes that an export takes
    request = Request(trained, window, overlap, (output or export_format.output) if export_format.output else None)
    imagery = None if int8 is None else domain(int8, data, bands=bands, gsd=gsd)
    windows = None if imagery is None else choose_windows(imagery, trained.spec, window)
    loss = None
    with atomic_write(file, overwrite=overwrite) as temporary:
        path = temporary.with_suffix(Path(export_format.file).suffix)  # torch reads the suffix
        if windows is None:
            difference = export_format.write(request, path, file.parent)
        else:
            difference, loss = _write_int8(request, path, *windows)
        if path != temporary:
            path.rename(temporary)
    return Exported(trained.path, format, file, request.output, window, difference, loss)


def _check(format: str, window: int, overlap: int, output: str | None) -> None:
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    check_extra("export", *FORMATS[format].packages)
    if window < STRIDE or window % STRIDE:
        raise InputError(f"{spell('window')} is {window}; it must be a multiple of {STRIDE}")
    if not 0 <= overlap < window:
        raise InputError(f"{spell('overlap')} is {overlap}; it must be at least 0 and below the window of {window} px")
    if output is not None and output not in OUTPUTS:
        raise unknown("output", output, OUTPUTS)


def _check_int8(format: str, int8: object, bands: str | None, gsd: float | None) -> None:
    if int8 is not None and format != "onnx":
        raise InputError(f"{spell('int8')} is for ONNX, and {spell('format')} is {format}: leave one of them out")
    for name, value in (("bands", bands), ("gsd", gsd)):
        if int8 is None and value is not None:
            raise InputError(f"{spell(name)} describes the imagery of {spell('int8')}, which is missing: add it")


def _check_file(file: Path, *, overwrite: bool) -> None:
    if file.is_dir():
        raise InputError(f"{file} is a folder: pass the path of a file to {spell('out')}")
    if file.exists() and not overwrite:
        raise exists(file)


def _write_onnx(request: Request, path: Path, _: Path) -> float:
    network, bands, window = _network(request)
    model = to_onnx(traced(network, bands, window))
    write_onnx(model, path, request.metadata())
    difference = _checked(largest_difference(network, OnnxNetwork(path).raw, bands, window))
    if request.output == PROBABILITIES:
        spec = request.trained.spec
        write_onnx(_with_softmax(model, request), path, request.metadata())
        probabilities = Softmax(network, spec.temperature, spec.bias)
        _checked(largest_difference(probabilities, OnnxNetwork(path).raw, bands, window))
    return difference


def _write_int8(
    request: Request, path: Path, calibrated: list[CalibrationWindow], compared: list[CalibrationWindow]
) -> tuple[float, Int8Loss]:
    """Write a file in 8-bit integers; return the difference of its origin in float32, and what the integers change."""
    network, bands, window = _network(request)
    # onnxruntime folds the batch norms of float32 itself, but not those between 8-bit integers
    model = to_onnx(traced(without_batch_norm(network, bands), bands, window))
    write_onnx(model, path, request.metadata())
    fp32 = OnnxNetwork(path)
    difference = _checked(largest_difference(network, fp32.raw, bands, window))
    model = to_int8(model, (window.image() for window in calibrated))
    write_onnx(model, path, request.metadata())
    loss = int8_loss(fp32.raw, OnnxNetwork(path).raw, compared)
    if request.output == PROBABILITIES:
        model = _with_softmax(model, request)
    write_onnx(model, path, request.metadata(loss))
    return difference, loss


def _with_softmax(model: Any, request: Request) -> Any:
    spec = request.trained.spec
    return with_softmax(model, len(spec.legend), request.window, spec.temperature, spec.bias)


def _write_pt2(request: Request, path: Path, _: Path) -> float:
    network, bands, window = _network(request)
    write_pt2(traced(network, bands, window), path, request.metadata())
    difference = _checked(largest_difference(network, torch.export.load(path).module(), bands, window))
    if request.output == PROBABILITIES:
        calibrated = Softmax(network, request.trained.spec.temperature, request.trained.spec.bias)
        write_pt2(traced(calibrated, bands, window), path, request.metadata())
        _checked(largest_difference(calibrated, torch.export.load(path).module(), bands, window))
    return difference


def _write_item(request: Request, path: Path, folder: Path) -> None:
    write_item(model_item(request.trained, folder, request.window), path)


def _network(request: Request) -> tuple[torch.nn.Module, int, int]:
    """Return the network on the CPU, its number of bands, and the window."""
    return request.trained.model.cpu().eval(), len(request.trained.spec.bands), request.window


def _checked(difference: float) -> float:
    if not difference <= TOLERANCE:
        raise InputError(
            f"the exported model differs from the original by up to {difference:.2g} (at most {TOLERANCE:g} is allowed): "
            "no file was written"
        )
    return difference


FORMATS = {
    "onnx": ExportFormat("model.onnx", _write_onnx, PROBABILITIES, ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": ExportFormat("model.pt2", _write_pt2, LOGITS),
    "stac": ExportFormat("stac.json", _write_item, None, ("pystac",)),
}
