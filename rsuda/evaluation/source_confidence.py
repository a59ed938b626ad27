"""Take a temperature from the source's labels, and estimate the accuracy on a target without labels; both are biased.

A source temperature is right for the source. On another domain models are surer than right, so it leaves them too sure
(Ovadia et al., "Can you trust your model's uncertainty?", NeurIPS 2019), and both estimates of accuracy are then too high. A
temperature below 1 would make the model surer still, so none is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rsuda.core.legend import IGNORE
from rsuda.data.find_domain import find_domains, find_target
from rsuda.data.pairs.pair import pair
from rsuda.evaluation.evaluate import class_table
from rsuda.evaluation.fit_scaling import Scaling
from rsuda.evaluation.labelled_pixels import LabelledPixels, pixels_of_scenes
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import predict_scene
from rsuda.learning.calibration import tempered
from rsuda.runs.folders import saved_settings

MOST_SCENES = 12  # of either domain


@dataclass(frozen=True)
class AccuracyEstimate:
    """Estimates of the accuracy on the target's images, 0..1. Under shift both are too high as a rule.

    Attributes:
        confidence: mean confidence after calibration on the source.
        atc: share of target pixels whose confidence is above the threshold that the source's accuracy has as its share (Garg
            et al., "Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022).
        source_accuracy: accuracy on the source's pixels.
    """

    confidence: float
    atc: float
    source_accuracy: float


def source_pixels(predictor: Predictor, run: Path, data: str | Path | None) -> tuple[LabelledPixels, str]:
    """Predict labelled scenes of a run's source: those of 'val' where it has them, else those that were trained on.

    The source enters with the standardisation that it had in training; its colours are not matched and not mixed.

    Raises InputError, MissingError: the source's data are missing.
    """
    settings = saved_settings(run)
    settings = settings.changed({"data": str(data)}) if data else settings
    source, target = find_domains(settings)
    spec = pair(source, target, settings, predictor.trained.spec if settings.network.start else None).source_spec
    legend = predictor.trained.spec.legend
    of_source = replace(predictor, trained=replace(predictor.trained, spec=replace(spec, legend=legend)))
    split = "val" if source.has_labels("val") else settings.source.split
    scenes = _some(source.labelled(split))
    assert source.legend is not None
    table = class_table(legend, source.legend, source.name)
    return pixels_of_scenes(of_source, scenes, source.legend, table), f"source {source.name}, split {split}"


def not_sharper(scaling: Scaling) -> tuple[Scaling, tuple[float, ...]]:
    """Replace temperatures below 1 by 1; return also those that were replaced."""
    sharp = tuple(number for number in scaling.temperature if number < 1)
    if not sharp:
        return scaling, ()
    temperature = tuple(max(number, 1.0) for number in scaling.temperature)
    return (Scaling((1.0,)) if set(temperature) == {1.0} else Scaling(temperature, (), scaling.classes)), sharp


def estimate_accuracy(
    predictor: Predictor, run: Path, data: str | Path | None, pixels: LabelledPixels, temperature: Sequence[float]
) -> AccuracyEstimate:
    """Estimate the accuracy on the target's training scenes from the source's pixels; no label of the target is read."""
    probabilities = tempered(torch.from_numpy(pixels.probabilities), temperature, axis=1)
    best, prediction = (values.numpy() for values in probabilities.max(1))
    accuracy = float((prediction == pixels.labels).mean())
    threshold = np.quantile(best, 1 - accuracy)
    settings = saved_settings(run)
    target = find_target(settings.changed({"data": str(data)}) if data else settings)
    spec = replace(predictor.trained.spec, temperature=tuple(temperature))
    scaled_predictor = replace(predictor, trained=replace(predictor.trained, spec=spec))
    split = settings.target.split if target.splits.get(settings.target.split) else "all"
    total = above = count = 0.0
    for scene in _some(target.split(split)):
        arrays = predict_scene(scaled_predictor, scene)
        confidence = arrays.confidence[arrays.classes != IGNORE] / 254
        total, above = total + float(confidence.sum()), above + float((confidence >= threshold).sum())
        count += confidence.size
    return AccuracyEstimate(total / max(count, 1), above / max(count, 1), accuracy)


def _some(scenes: list[Scene]) -> list[Scene]:
    """Return at most MOST_SCENES of the scenes, evenly spaced."""
    if len(scenes) <= MOST_SCENES:
        return scenes
    return [scenes[round(i)] for i in np.linspace(0, len(scenes) - 1, MOST_SCENES)]
