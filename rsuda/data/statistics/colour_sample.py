"""Measure how far the colours of two domains are apart, from pixels of random windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rsuda.core.legend import Legend
from rsuda.data.checks.pixel_types import byte_bands
from rsuda.data.statistics.domain_statistics import sample_labelled_pixels, sample_pixels, value_range
from rsuda.geo.scenes.scene import Scene

_LEAST_DEVIATION = 1e-3  # on 0..1; a constant band has this one, as in ``make_spec``
_MOST_CORRELATION = 0.9999
_LEVELS = np.linspace(0, 1, 257)  # quantiles that represent a distribution


@dataclass(frozen=True)
class ColourSample:
    """Pixels of a domain's random windows.

    Attributes:
        bands: names of the n bands.
        pixels: raw values (n, pixels).
        is_byte: whether a band is 8-bit, (n,) bool.
        low, high: raw values that become 0 and 1, (n,).
        classes: class of each pixel, (pixels,) uint8, IGNORED where a label says nothing; None without labels.
    """

    bands: tuple[str, ...]
    pixels: np.ndarray
    is_byte: np.ndarray
    low: np.ndarray
    high: np.ndarray
    classes: np.ndarray | None = None

    @cached_property
    def unit(self) -> np.ndarray:
        """Pixels (n, pixels) on the 0..1 scale of the model's input, before standardisation, float32."""
        low, high = self.low[:, None], self.high[:, None]
        unit: np.ndarray = ((self.pixels - low) / (high - low)).astype(np.float32)
        return unit

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean of each band on 0..1, (n,) float64."""
        mean: np.ndarray = self.unit.mean(1, dtype=np.float64)
        return mean

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each band on 0..1, (n,) float64."""
        deviation: np.ndarray = self.unit.std(1, dtype=np.float64).clip(_LEAST_DEVIATION)
        return deviation

    @cached_property
    def standardised(self) -> np.ndarray:
        """Pixels (n, pixels) in the domain's own deviations from its own mean."""
        values: np.ndarray = (self.unit - self.mean[:, None]) / self.deviation[:, None]
        return values

    @cached_property
    def correlation(self) -> np.ndarray:
        """Correlations of the bands, (n, n); 0 for a constant band."""
        deviations_from_mean = self.unit - self.mean[:, None]
        covariance = deviations_from_mean @ deviations_from_mean.T / deviations_from_mean.shape[1]
        correlation: np.ndarray = covariance / np.outer(self.deviation, self.deviation)
        return correlation


def sample_colours(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, legend: Legend | None = None
) -> ColourSample:
    """Sample the colours of a domain; the same pixels in every call.

    Args:
        gsd: metres per pixel to sample at; None for each scene's own.
        legend: classes to read of the scenes' labels; None opens no label.

    Raises:
        InputError: no window has a valid pixel.
    """
    is_byte, classes = byte_bands(scenes, bands), None
    if legend is None:
        pixels = sample_pixels(scenes, bands, gsd)
    else:
        pixels, classes = sample_labelled_pixels(scenes, bands, gsd, legend)
    low, high = (np.array(ends) for ends in value_range(pixels.astype(np.float64), is_byte))
    return ColourSample(bands, pixels, is_byte, low, high, classes)


def mean_distances(source: ColourSample, target: ColourSample) -> np.ndarray:
    """Compute the distance of each band's means in deviations (root mean square of both), (n,) from 0 up."""
    distances: np.ndarray = np.abs(source.mean - target.mean) / _common_deviation(source, target)
    return distances


def deviation_ratios(source: ColourSample, target: ColourSample) -> np.ndarray:
    """Compute the ratio of each band's deviations, the larger by the smaller, (n,) from 1 up."""
    ratios: np.ndarray = np.exp(np.abs(np.log(source.deviation / target.deviation)))
    return ratios


def colour_relations(source: ColourSample, target: ColourSample) -> np.ndarray:
    """Compute the difference of the bands' correlations after Fisher's z transform, (n, n) from 0 up.

    A difference of d means that the unexplained part of one band, 1 - r, differs by a factor of about exp(2 d).
    """
    source_z, target_z = (
        np.arctanh(sample.correlation.clip(-_MOST_CORRELATION, _MOST_CORRELATION)) for sample in (source, target)
    )
    differences: np.ndarray = np.abs(source_z - target_z)
    np.fill_diagonal(differences, 0.0)
    return differences


def colour_distances(source: ColourSample, target: ColourSample) -> np.ndarray:
    """Compute the Wasserstein distance of each band's distributions, (n,) from 0 up.

    The unit is the deviation: the root mean square of both.
    """
    return _wasserstein(source.unit, target.unit) / _common_deviation(source, target)


def standardised_distances(source: ColourSample, target: ColourSample) -> np.ndarray:
    """Compute the Wasserstein distance of each band's distributions, standardised by domain, (n,) from 0 up.

    The unit is the deviation.
    """
    return _wasserstein(source.standardised, target.standardised)


def _wasserstein(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    quantiles = (np.quantile(pixels, _LEVELS, axis=1) for pixels in (source, target))
    distances: np.ndarray = np.abs(np.subtract(*quantiles)).mean(0)
    return distances


def _common_deviation(source: ColourSample, target: ColourSample) -> np.ndarray:
    deviation: np.ndarray = np.sqrt((source.deviation**2 + target.deviation**2) / 2)
    return deviation
