"""How good a network is on a target without labels: scores that order runs of the same pair, to choose among them.

None is an accuracy. `BENCHMARKS.md` says how well each follows the true mIoU over the benchmark's runs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError
from rsuda.data.domain import Domain
from rsuda.geo.windows import random_window
from rsuda.inference.predictor import Predictor

SCORES = ("certainty", "agreement", "overlap", "information", "density")


@dataclass(frozen=True)
class LabelFree:
    """Scores of a network on target windows; of each, more is meant to be better.

    Attributes:
        certainty: 1 - mean prediction entropy / log K, in 0..1.
        agreement: IoU of the predictions of a window and of the same window mirrored, turned, brightened, darkened or with
            more or less contrast; mean over all K classes, in 0..1, so that a constant answer gets 1 / K.
        overlap: the same for two windows that overlap by half, where they overlap.
        information: mutual information of pixel and class, H(mean p) - mean H(p), over log K, in 0..1: sure pixel by pixel,
            yet many classes in all (Bridle et al., 1991; IM loss of SHOT).
        density: soft neighbourhood density (Saito et al., ICCV 2021): the mean entropy of each pixel's similarity to the
            others in the space of predictions, temperature 0.05, over the logarithm of their number.
    """

    certainty: float
    agreement: float
    overlap: float
    information: float
    density: float


def label_free(engine: Predictor, domain: Domain, split: str = "all", windows: int = 12, size: int = 256) -> LabelFree:
    """Scores on random windows of a domain's images, the same ones for every network of the same GSD; no label is read.

    Raises InputError when no window holds a valid pixel.
    """
    spec, rng = engine.trained.spec, np.random.default_rng(0)
    scenes = domain.split(split if split in domain.splits else "all")
    classes = len(spec.legend)
    probabilities: list[np.ndarray] = []
    agreed, overlapping = np.zeros((2, classes)), np.zeros((2, classes))
    for _ in range(windows):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(spec.gsd)
        row, col = random_window(rng, grid.height, grid.width, size)
        patch = scene.read(spec.bands, spec.gsd, (row, col, size, size))
        if not patch.valid.any():
            continue
        image = spec.unit(patch.values) * patch.valid
        seen = engine.probabilities(np.stack([image, *_changed(image)]))
        plain, mirrored, turned, *coloured = seen
        for other in (mirrored[..., ::-1], np.rot90(turned, -1, (-2, -1)), *coloured):
            agreed += _shared(plain.argmax(0)[patch.valid], other.argmax(0)[patch.valid], classes)
        half = size // 2
        shifted = scene.read(spec.bands, spec.gsd, (row, col + half, size, size))
        both = patch.valid[:, half:] & shifted.valid[:, :half]
        if both.any():
            other = engine.probabilities((spec.unit(shifted.values) * shifted.valid)[None])[0]
            overlapping += _shared(plain.argmax(0)[:, half:][both], other.argmax(0)[:, :half][both], classes)
        probabilities.append(plain[:, patch.valid])
    if not probabilities:
        raise InputError(f"no valid pixel in {windows} windows of {domain.name}: nothing can be scored")
    p = np.concatenate(probabilities, 1).astype(np.float64)
    most = np.log(len(p))
    inner = float(_entropy(p).mean() / most)
    chosen = p[:, np.random.default_rng(1).permutation(p.shape[1])[:2000]]
    return LabelFree(
        certainty=1 - inner,
        agreement=float((agreed[0] / agreed[1].clip(1)).mean()),
        overlap=float((overlapping[0] / overlapping[1].clip(1)).mean()),
        information=float(_entropy(p.mean(1)) / most) - inner,
        density=density(chosen),
    )


def write_label_free(found: LabelFree, run: Path) -> Path:
    """The scores as ``label_free.json`` in a run folder."""
    with atomic_write(run / "label_free.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=2) + "\n")
    return run / "label_free.json"


def _changed(image: np.ndarray) -> list[np.ndarray]:
    """Mirrored, turned by a right angle, brighter, darker, with more and with less contrast, on 0..1."""
    middle = image.mean((1, 2), keepdims=True)
    changed = [image[..., ::-1], np.rot90(image, 1, (-2, -1)), image * 1.2, image * 0.8]
    changed += [middle + (image - middle) * f for f in (0.75, 1.25)]
    return [np.ascontiguousarray(c.clip(0, 1), np.float32) for c in changed]


def _shared(one: np.ndarray, other: np.ndarray, classes: int) -> np.ndarray:
    """(2, K): pixels that both predictions, and that either, give to each class."""
    both = np.bincount(one[one == other], minlength=classes)
    return np.stack([both, np.bincount(one, minlength=classes) + np.bincount(other, minlength=classes) - both])


def density(p: np.ndarray, temperature: float = 0.05) -> float:
    """Soft neighbourhood density of predictions (K, N), over log(N - 1): 1 when all pixels are alike."""
    z = p / np.linalg.norm(p, axis=0, keepdims=True).clip(1e-12)
    similarity = z.T @ z / temperature
    np.fill_diagonal(similarity, -np.inf)
    similarity = np.exp(similarity - similarity.max(1, keepdims=True))
    similarity /= similarity.sum(1, keepdims=True)
    return float(_entropy(similarity.T).mean() / np.log(max(2, p.shape[1] - 1)))


def _entropy(p: np.ndarray) -> np.ndarray:
    """Along the first axis, natural logarithm."""
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(0)
