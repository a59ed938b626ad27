"""Score a model on a target without labels: scores that order runs of the same pair, to choose among them.

One rule chooses: of several runs of a pair take the one with the highest ``selection``. No score is an accuracy.
`BENCHMARKS.md` shows how often the rule was right, and how well each score follows the true mIoU over the benchmark's runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rsuda.core.atomic import atomic_write
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.data.domains.domain import Domain
from rsuda.geo.grids.windows import random_window
from rsuda.inference.predictor import Predictor

LABEL_FREE = "label_free.json"
SELECTION = "selection"  # the score that chooses among runs
SCORES = (SELECTION, "agreement", "information", "overlap", "certainty", "density")


@dataclass(frozen=True)
class LabelFree:
    """Scores of a model on target windows. A higher value should mean a better model.

    Attributes:
        selection: mean of ``agreement`` and ``information``. Of several runs of a pair, choose the one with the highest.
        certainty: 1 - mean prediction entropy / log K, in 0..1; entropy of predictions as in Grandvalet and Bengio,
            "Semi-supervised learning by entropy minimization", NeurIPS 2004.
        agreement: consistency: IoU of the predictions of a window and of the same window mirrored, turned, brighter, darker,
            or with more or less contrast. It is the mean over all K classes, in 0..1, so a constant prediction gets 1 / K.
        overlap: overlap consistency: the same IoU for two windows that overlap by half, where they overlap.
        information: mutual information of pixel and class, (H(mean p) - mean H(p)) / log K, in 0..1 (Bridle, Heading,
            MacKay, NeurIPS 1991; the IM loss of SHOT, Liang, Hu, Feng, ICML 2020, arXiv 2002.08546).
        density: soft neighbourhood density (Saito et al., ICCV 2021, arXiv 2108.10860). It is the mean entropy of each
            pixel's similarity to the other pixels, over the logarithm of their number. Similarity is in the space of
            predictions, with temperature 0.05.
    """

    certainty: float
    agreement: float
    overlap: float
    information: float
    density: float

    @property
    def selection(self) -> float:
        """Return the mean of ``agreement`` and ``information``, 0..1."""
        return with_selection(asdict(self))[SELECTION]

    def as_fields(self) -> dict[str, float | None]:
        """Return the scores as JSON holds them: None for a score that is not a finite number."""
        scores = with_selection(asdict(self))
        return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def with_selection(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores by name with ``selection`` first, the mean of agreement and information; nan where one is missing.

    Files of earlier versions lack it.
    """
    mean = (scores.get("agreement", math.nan) + scores.get("information", math.nan)) / 2
    return {SELECTION: mean, **{name: value for name, value in scores.items() if name != SELECTION}}


def label_free(
    predictor: Predictor, domain: Domain, split: str = "all", windows: int = 12, size: int = 256
) -> LabelFree:
    """Score a model on random windows of a domain's images. Models of the same GSD see the same windows; no label is read.

    Args:
        split: a split of the domain; where it does not exist, all scenes.
        windows: number of windows.
        size: pixels per side of a window, at the model's GSD.

    Raises InputError when no window holds a valid pixel.
    """
    predictor = predictor.uncalibrated()  # scores of a run stay comparable with those of runs without calibration
    classes = len(predictor.trained.spec.legend)
    probabilities: list[np.ndarray] = []
    change_counts, shift_counts = np.zeros((2, classes)), np.zeros((2, classes))
    for window in _windows(predictor.trained.spec, domain, split, windows, size):
        image, valid, next_image, next_valid = window
        original, mirror_image, right_turn, *colour_changes = predictor.probabilities(
            np.stack([image, *_changed(image)])
        )
        for other in (mirror_image[..., ::-1], np.rot90(right_turn, -1, (-2, -1)), *colour_changes):
            change_counts += _shared(original.argmax(0)[valid], other.argmax(0)[valid], classes)
        half = size // 2
        both = valid[:, half:] & next_valid[:, :half]
        if both.any():
            other = predictor.probabilities(next_image[None])[0]
            shift_counts += _shared(original.argmax(0)[:, half:][both], other.argmax(0)[:, :half][both], classes)
        probabilities.append(original[:, valid])
    if not probabilities:
        raise InputError(f"no valid pixel in {windows} windows of {domain.name}: check its nodata value")
    pixels = np.concatenate(probabilities, 1).astype(np.float64)
    log_classes = np.log(len(pixels)) or 1.0  # one class has no entropy
    mean_entropy = float(_entropy(pixels).mean() / log_classes)
    sample = pixels[:, np.random.default_rng(1).permutation(pixels.shape[1])[:2000]]
    return LabelFree(
        certainty=1 - mean_entropy,
        agreement=float((change_counts[0] / change_counts[1].clip(1)).mean()),
        overlap=float((shift_counts[0] / shift_counts[1].clip(1)).mean()),
        information=float(_entropy(pixels.mean(1)) / log_classes) - mean_entropy,
        density=density(sample),
    )


def _windows(
    spec: Spec, domain: Domain, split: str, number: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield images (bands, size, size) on 0..1 and valid masks of random windows, and of each one's neighbour to the right
    that overlaps it by half."""
    rng = np.random.default_rng(0)
    scenes = domain.split(split if split in domain.splits else "all")
    for _ in range(number):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(spec.gsd)
        row, col = random_window(rng, grid.height, grid.width, size)
        patch = scene.read(spec.bands, spec.gsd, (row, col, size, size))
        if patch.valid.any():
            neighbour = scene.read(spec.bands, spec.gsd, (row, col + size // 2, size, size))
            image, next_image = (spec.unit(part.values) * part.valid for part in (patch, neighbour))
            yield image, patch.valid, next_image, neighbour.valid


def write_label_free(scores: LabelFree, run: Path) -> Path:
    """Write the scores as ``label_free.json`` into a run folder; null for a score that is not a number."""
    file = run / LABEL_FREE
    with atomic_write(file, overwrite=True) as temporary:
        temporary.write_text(
            json.dumps(scores.as_fields(), indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n"
        )
    return file


def read_label_free(run: Path) -> dict[str, float] | None:
    """Read the label-free scores of a run folder by name, ``selection`` first, nan for null; None without a file.

    Raises InputError for a file of something else.
    """
    file = run / LABEL_FREE
    if not file.is_file():
        return None
    fields = read_json(file, "file of label-free scores")
    try:
        return with_selection(
            {str(name): math.nan if value is None else float(value) for name, value in fields.items()}
        )
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            f"{file} holds no scores: rsuda adapt writes it at the end of a run, so run it again"
        ) from None


def _changed(image: np.ndarray) -> list[np.ndarray]:
    """Return the window mirrored, turned by a right angle, brighter, darker, with less and with more contrast, on 0..1."""
    middle = image.mean((1, 2), keepdims=True)
    views = [image[..., ::-1], np.rot90(image, 1, (-2, -1)), image * 1.2, image * 0.8]
    views += [middle + (image - middle) * contrast for contrast in (0.75, 1.25)]
    return [np.ascontiguousarray(view.clip(0, 1), np.float32) for view in views]


def _shared(one: np.ndarray, other: np.ndarray, classes: int) -> np.ndarray:
    """Return (2, K) counts: pixels that both predictions, and that either one, assign to each class."""
    both = np.bincount(one[one == other], minlength=classes)
    return np.stack([both, np.bincount(one, minlength=classes) + np.bincount(other, minlength=classes) - both])


def density(probabilities: np.ndarray, temperature: float = 0.05) -> float:
    """Compute the soft neighbourhood density of predictions (K, N), over log(N - 1): 1 when all pixels are alike."""
    unit = probabilities / np.linalg.norm(probabilities, axis=0, keepdims=True).clip(1e-12)
    similarity = unit.T @ unit / temperature
    np.fill_diagonal(similarity, -np.inf)
    similarity = np.exp(similarity - similarity.max(1, keepdims=True))
    similarity /= similarity.sum(1, keepdims=True)
    return float(_entropy(similarity.T).mean() / np.log(max(2, probabilities.shape[1] - 1)))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Compute the entropy along the first axis, in nats."""
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1))
    return -np.where(probabilities > 0, probabilities * logarithms, 0).sum(0)
