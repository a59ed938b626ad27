"""Calibrate the confidence of a run: fit a scaling of logits to labelled pixels and write it into the run's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError, MissingError, RsudaError, unknown
from rsuda.core.hub import run_folder
from rsuda.core.spelling import spell
from rsuda.evaluation.evaluate import class_table, domain_of_run, predictor_of_run
from rsuda.evaluation.fit_scaling import AUTO, SCALINGS, TEMPERATURE, VECTOR, Measure, Scaling, choose, measure
from rsuda.evaluation.labelled_pixels import pixels_of_points, pixels_of_scenes
from rsuda.evaluation.source_confidence import AccuracyEstimate, estimate_accuracy, not_sharper, source_pixels
from rsuda.geo.polygons.input import NAMED_VECTORS, split_layer
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predictor import Predictor
from rsuda.learning.calibration import HIGHEST, LOWEST, MOST_BIAS
from rsuda.learning.network import SegmentationNetwork
from rsuda.runs.weights import save_run

CALIBRATION = "calibration.json"
ENOUGH_PIXELS, ENOUGH_POINTS = 1000, 50  # of a class that gets numbers of its own


@dataclass(frozen=True)
class Calibration:
    """What a calibration fitted and how good it is.

    Attributes:
        temperature: one number, or one for each class of the legend.
        bias: one number for each class under vector scaling; () under a temperature.
        fitted_on: the labels in words.
        pixels, groups: labelled pixels that were drawn, and places that they are of (scenes, squares or points).
        before, after: on held-out pixels: each fifth of the groups is measured with what the others fitted. They are those of
            the fitted pixels where there is one group only.
        held_out: whether they are.
        classes: those with numbers of their own.
        estimate: of the target's accuracy, where the labels are the source's.
        too_sharp: temperatures below 1 that the source's labels ask for; each is 1 instead (``source_confidence.not_sharper``).
    """

    run: Path
    temperature: tuple[float, ...]
    fitted_on: str
    pixels: int
    groups: int
    before: Measure
    after: Measure
    held_out: bool
    classes: tuple[str, ...] = ()
    estimate: AccuracyEstimate | None = None
    bias: tuple[float, ...] = ()
    too_sharp: tuple[float, ...] = ()

    @property
    def scaling(self) -> str:
        """'temperature', which keeps the classes of maps, or 'vector', which may change them."""
        return VECTOR if self.bias else TEMPERATURE

    @property
    def is_none(self) -> bool:
        """Whether the model stays as it is, since no scaling was clearly better on places that were not fitted."""
        return self.temperature == (1.0,) and not self.bias

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        fields = {**asdict(self), "run": str(self.run), "temperature": list(self.temperature)}
        lists = {"bias": list(self.bias), "classes": list(self.classes), "too_sharp": list(self.too_sharp)}
        return {**fields, **lists, "scaling": self.scaling, "biased_under_shift": self.estimate is not None}


def calibrate(
    run: str | Path,
    labels: Any = None,
    split: str = "train",
    *,
    scaling: str = TEMPERATURE,
    from_source: bool = False,
    scene: str | Path | Sequence[str | Path] = (),
    attribute: str | None = None,
    by_class: bool = True,
    data: str | Path | None = None,
    bands: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    window: int = 512,
    overlap: int = 128,
    batch_size: int = 4,
    overwrite: bool = False,
) -> Calibration:
    """Fit a scaling of logits to labels and write it into the run's weights file and spec; no weight changes.

    A temperature changes no class of a map. Vector scaling, a temperature and a bias for each class, may.

    Args:
        run: a run folder.
        labels: a domain whose split has labels, as in ``rsuda.domain``, or a vector file of points with a class.
        split: labelled split of the domain.
        scaling: 'temperature', 'vector', or 'auto'. A temperature is 1, one number or one by class; 'auto' may be a vector
            too. The simplest is taken that no other clearly beats on scenes or squares that were not fitted
            (``fit_scaling.choose``).
            Points get a temperature by 'auto', as those of an accuracy sample have other shares of classes than the map.
        from_source: fit on the source's labels instead, and estimate the target's accuracy; both are biased under shift. No
            temperature is below 1 then, since models are mostly too sure on another place.
        scene: raster that the points lie on, or several.
        attribute: column of the points that holds the class.
        by_class: whether classes with enough labels get a temperature of their own.
        data, bands: of the domain; see ``rsuda.evaluate``.
        device, precision, window, overlap, batch_size: of the prediction; see ``rsuda.evaluate``.
        overwrite: replace an earlier calibration.

    Returns:
        the scaling, and the calibration of the run before and after it.

    Raises:
        InputError: no labels, or none that the model can use.
        ExistsError: the run is calibrated and ``overwrite`` is False.
    """
    folder = run_folder(run)
    if (labels is None) == (not from_source):
        raise InputError(
            f"calibration needs labels of the target: pass {spell('labels')} with a domain or a file of points, or "
            f"{spell('from_source', True)} for a temperature of the source's labels, which is biased under shift"
            if labels is None
            else f"{spell('from_source', True)} takes the source's labels: leave out {spell('labels')}"
        )
    predictor = predictor_of_run(
        folder, device=device, precision=precision, window=window, overlap=overlap, batch_size=batch_size
    )
    if not folder.is_dir():
        raise InputError(f"{folder} is a weights file: name its run folder, which also holds the spec")
    if scaling not in SCALINGS:
        raise unknown("scaling", scaling, SCALINGS)
    if from_source and scaling == VECTOR:
        raise InputError(
            f"{spell('from_source', True)} takes a temperature alone, since biases would have the source's shares of classes: "
            f"leave out {spell('scaling')}"
        )
    if predictor.trained.spec.temperature and not overwrite:
        numbers = ", ".join(f"{number:g}" for number in predictor.trained.spec.temperature)
        raise ExistsError(
            f"{folder} is calibrated already (temperature {numbers}): pass {spell('overwrite', True)} to replace it"
        )
    predictor, enough, estimate = predictor.uncalibrated(), ENOUGH_PIXELS, None
    points = not from_source and _is_points(labels)
    if from_source:
        pixels, about = source_pixels(predictor, folder, data)
    elif points:
        spec, enough = predictor.trained.spec, ENOUGH_POINTS
        files = [scene] if isinstance(scene, str | Path) else scene
        scenes = [open_scene(file, spec, bands=bands) for file in files]
        if not scenes:
            raise _no_scene(labels)
        pixels, about = pixels_of_points(predictor, scenes, labels, attribute), f"points of {Path(str(labels)).name}"
    else:
        domain = domain_of_run(folder, labels, data, bands)
        labelled_scenes = domain.labelled(split)
        assert domain.legend is not None
        table = class_table(predictor.trained.spec.legend, domain.legend, domain.name)
        pixels, about = (
            pixels_of_scenes(predictor, labelled_scenes, domain.legend, table),
            f"{domain.name}, split {split}",
        )
    kind = TEMPERATURE if scaling == AUTO and (from_source or points) else scaling
    best_scaling, held_out = choose(pixels, kind, by_class=by_class, enough=enough)
    too_sharp: tuple[float, ...] = ()
    if from_source:
        best_scaling, too_sharp = not_sharper(best_scaling)
        held_out = None if too_sharp else held_out
        estimate = estimate_accuracy(predictor, folder, data, pixels, best_scaling.temperature)
    result = Calibration(
        folder,
        best_scaling.temperature,
        about,
        len(pixels),
        pixels.group_count,
        measure(pixels, Scaling()),
        held_out or measure(pixels, best_scaling),
        held_out is not None,
        tuple(predictor.trained.spec.legend.names[k] for k in best_scaling.classes),
        estimate,
        best_scaling.bias,
        too_sharp,
    )
    _write(predictor, result)
    return result


def _write(predictor: Predictor, result: Calibration) -> None:
    """Write the scaling into the weights file and the spec, and the numbers beside them."""
    network = predictor.trained
    spec = replace(network.spec, temperature=result.temperature, bias=result.bias)
    save_run(result.run, cast(SegmentationNetwork, network.model), spec, network.method, network.bank)
    with atomic_write(result.run / CALIBRATION, overwrite=True) as temporary:
        fields = {name: value for name, value in result.as_fields().items() if name != "run"}
        text = json.dumps(fields, indent=2) + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")


def limit_note(temperature: Sequence[float], bias: Sequence[float] = ()) -> str | None:
    """Say that a temperature or bias is at a limit of the fit; None otherwise."""
    if any(abs(number) >= MOST_BIAS for number in bias):
        return f"a bias ends at a limit of the fit ({MOST_BIAS:g}): the labels are too few or all alike"
    if not any(number in (LOWEST, HIGHEST) for number in temperature):
        return None
    return f"a temperature ends at a limit of the fit ({LOWEST:g} or {HIGHEST:g}): the labels are too few or all alike"


def sharp_note(result: Calibration) -> str | None:
    """Say that the source asks for more confidence than a target should get; None otherwise."""
    if not result.too_sharp:
        return None
    numbers = ", ".join(f"{number:.3g}" for number in result.too_sharp)
    return (
        f"the source's labels ask for more confidence (temperature {numbers}), and on another place models mostly have too much "
        f"of it: 1 is taken instead"
    )


def worse_note(result: Calibration) -> str | None:
    """Say that a vector that was asked for is worse than none on places that were not fitted; None otherwise."""
    if not result.bias or not result.held_out or result.after.log_loss <= result.before.log_loss:
        return None
    return (
        f"on places that were not fitted this vector is worse than no scaling: label more windows, or pass "
        f"{spell('scaling', AUTO)}"
    )


def _no_scene(labels: str | Path) -> RsudaError:
    """Say what points without a scene lack: their file, or the scene."""
    if not Path(split_layer(str(labels))[0]).expanduser().is_file():
        return MissingError(f"there is no file {labels}: name the points by their file, or a domain")
    return InputError(f"{labels} holds points: name the scenes that they lie on by {spell('scene')}")


def _is_points(labels: Any) -> bool:
    return isinstance(labels, str | Path) and Path(split_layer(str(labels))[0]).suffix.lower() in NAMED_VECTORS
