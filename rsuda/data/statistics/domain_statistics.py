"""Statistics of a domain's scenes: class shares and locations, value range, mean and standard deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD, Spec
from rsuda.data.checks.pixel_types import byte_bands
from rsuda.data.checks.scaling import scaling_of
from rsuda.data.statistics.class_locations import ClassLocations
from rsuda.geo.grids.windows import random_window
from rsuda.geo.scenes.scene import Scene

# ImageNet's statistics stand in file channel order, the usual input scale of encoders. The IR of an IRRG file gets the
# statistics of red, as in all the ISPRS papers; bands from the fourth on repeat them from the first.
_SIZE, _NUMBER = 128, 64  # side in pixels and number of the windows that are sampled


def class_statistics(
    scenes: list[Scene], legend: Legend
) -> tuple[tuple[float, ...], ClassLocations, tuple[int, float]]:
    """Count the classes of all labels and locate them.

    Returns:
        shares: each class's share of the labelled pixels;
        locations: blocks of the scenes with their class counts;
        off-palette pixels: their number, and their share of all pixels.

    Raises:
        InputError: no pixel has a class, or most of a label is outside the legend.
    """
    counts, off_palette, pixels = np.zeros(256, np.int64), 0, 0
    locations = ClassLocations(len(legend))
    for number, scene in enumerate(scenes):
        for row, label, outside in scene.label_strips(legend):
            counts += np.bincount(label.ravel(), minlength=256)
            locations.add(number, label, row)
            off_palette, pixels = off_palette + outside, pixels + label.size
    counts = counts[: len(legend)]
    label_count = counts.sum()
    if not label_count:
        raise InputError(
            f"no pixel of the {len(scenes)} source labels has a class of the legend: check the legend, and the nodata values, "
            "masks and alpha bands of the labels"
        )
    return tuple(float(count) for count in counts / label_count), locations, (off_palette, off_palette / pixels)


def make_spec(
    scenes: list[Scene],
    bands: tuple[str, ...],
    gsd: float,
    legend: Legend,
    *,
    sampled_at: float | None,
    standardise: str,
    pixels: np.ndarray | None = None,
) -> Spec:
    """Describe how a domain's pixels enter the network.

    8-bit bands are scaled from 0..255. Bands of other types are stretched between the 0.5 and 99.5 percentiles of the whole
    domain, never of a tile.

    Args:
        gsd: metres per pixel of the network's input.
        sampled_at: metres per pixel at which statistics are sampled; None for the scenes' own pixels.
        standardise: 'imagenet', or 'domain' for mean and standard deviation of the domain.
        pixels: raw values (bands, n) of ``sample_pixels`` where they were sampled before.
    """
    is_byte = byte_bands(scenes, bands)
    scaling = scaling_of(scenes[0], bands)
    repeats = -(-len(bands) // len(IMAGENET_MEAN))
    mean, std = (IMAGENET_MEAN * repeats)[: len(bands)], (IMAGENET_STD * repeats)[: len(bands)]
    if is_byte.all() and standardise != "domain":
        return Spec(bands, gsd, (0.0,) * len(bands), (255.0,) * len(bands), mean, std, legend, scaling=scaling)
    if pixels is None:
        pixels = sample_pixels(scenes, bands, sampled_at)
    pixels = pixels.astype(np.float64)
    low, high = value_range(pixels, is_byte)
    if standardise == "domain":
        unit = (pixels - np.array(low)[:, None]) / (np.array(high) - np.array(low))[:, None]
        mean, std = tuple(map(float, unit.mean(1))), tuple(map(float, unit.std(1).clip(1e-3)))
    return Spec(bands, gsd, low, high, mean, std, legend, scaling=scaling)


def value_range(pixels: np.ndarray, is_byte: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Find the raw values that become 0 and 1, by band: 0 and 255 of 8-bit bands, percentiles 0.5 and 99.5 of others.

    Args:
        pixels: raw values (bands, n) float64.
        is_byte: whether a band is 8-bit, (bands,) bool.
    """
    low, high = (0.0,) * len(pixels), (255.0,) * len(pixels)
    if not is_byte.all():
        percentiles = [tuple(map(float, np.percentile(pixels, percent, axis=1))) for percent in (0.5, 99.5)]
        low = tuple(0.0 if byte else bottom for byte, bottom in zip(is_byte, percentiles[0], strict=True))
        high = tuple(255.0 if byte else top for byte, top in zip(is_byte, percentiles[1], strict=True))
        high = tuple(max(top, bottom + 1e-6) for bottom, top in zip(low, high, strict=True))
    return low, high


def sample_pixels(scenes: list[Scene], bands: tuple[str, ...], gsd: float | None) -> np.ndarray:
    """Sample valid pixels (bands, n) from random windows of random scenes; the same ones in every call.

    Raises:
        InputError: no window has a valid pixel.
    """
    return _sample(scenes, bands, gsd, None)[0]


def sample_labelled_pixels(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, legend: Legend
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the pixels of ``sample_pixels`` with their classes (n,) uint8; IGNORED where a label says nothing.

    Raises:
        InputError: no window has a valid pixel.
    """
    return _sample(scenes, bands, gsd, legend)


def _sample(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, legend: Legend | None
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    samples, classes = [], [np.zeros(0, np.uint8)]
    for _ in range(_NUMBER):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(gsd)
        window = (*random_window(rng, grid.height, grid.width, _SIZE), _SIZE, _SIZE)
        patch = scene.read(bands, gsd, window)
        if patch.valid.any():
            samples.append(patch.values[:, patch.valid])
            if legend is not None:
                classes.append(scene.read_label(legend, gsd, window)[0][patch.valid])
    if not samples:
        raise InputError(
            f"no valid pixel in {_NUMBER} windows of {Path(scenes[0].image).parent}: check the nodata value of its scenes"
        )
    return np.concatenate(samples, 1), np.concatenate(classes)
