"""The spec of a network's input: bands, GSD, scaling of pixels and legend. Every saved network contains its spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from rsuda.core.band_names import BANDS as BANDS
from rsuda.core.band_names import MOST_BANDS
from rsuda.core.band_names import band_code as band_code
from rsuda.core.band_names import band_names as band_names
from rsuda.core.legend import Legend
from rsuda.core.validation import FrozenModel, validate

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue on the 0..1 scale


@dataclass(frozen=True)
class Spec:
    """Input of a network, from raw pixels on, and the classes of its output.

    A raw pixel v of band b enters the network as ``((v - low[b]) / (high[b] - low[b]) - mean[b]) / std[b]``.

    Attributes:
        bands: band names in the network's input order.
        gsd: metres per pixel of the network's input.
        low, high: raw pixel values that become 0 and 1 (0 and 255 for 8-bit imagery).
        mean, std: standardisation on the 0..1 scale.
        legend: the classes of the output in the order of their indices.
        temperature: divisor of a pixel's logits before their softmax: one number, or one for each predicted class in
            the legend's order. () divides by nothing. ``rsuda calibrate`` fits it, and it never changes a class.
        bias: of vector scaling, one number for each class; () without one. With it, the logarithm of each class's probability
            is divided by its own temperature and its bias is added, which may change classes.
        scaling: scale and offset of each band's files, which give stored numbers a meaning; () where files have none. Pixels
            enter the network as stored.
    """

    bands: tuple[str, ...]
    gsd: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    legend: Legend
    temperature: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()
    scaling: tuple[tuple[float, float], ...] = ()

    def uncalibrated(self) -> Spec:
        """Return the spec without a temperature and bias."""
        return replace(self, temperature=(), bias=()) if self.temperature else self

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Scale raw pixels (bands, ...) to 0..1, float32."""
        low, high = (
            np.array(field, np.float32).reshape(-1, *[1] * (values.ndim - 1)) for field in (self.low, self.high)
        )
        return (values.astype(np.float32) - low) / (high - low)

    def standardise_unit(self, image: np.ndarray) -> np.ndarray:
        """Standardise images (..., bands, H, W) on the 0..1 scale of ``unit``: ``(image - mean) / std``, float32."""
        mean, std = (np.array(field, np.float32)[:, None, None] for field in (self.mean, self.std))
        return (image - mean) / std

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Standardise raw pixels (..., bands, H, W), float32: ``((v - low) / (high - low) - mean) / std``."""
        low, high = (np.array(field, np.float32)[:, None, None] for field in (self.low, self.high))
        return self.standardise_unit((values.astype(np.float32) - low) / (high - low))

    def scale_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Express ``standardise`` as ``v * scale + shift``: two arrays (bands,), float64."""
        low, high, mean, std = (np.array(field, np.float64) for field in (self.low, self.high, self.mean, self.std))
        return 1 / ((high - low) * std), -(low / (high - low) + mean) / std

    def raw_statistics(self) -> tuple[list[float], list[float]]:
        """Express ``standardise`` as a z-score of raw pixels, ``(v - mean) / deviation``: mean and deviation by band."""
        bands = zip(self.low, self.high, self.mean, self.std, strict=True)
        pairs = [(low + mean * (high - low), std * (high - low)) for low, high, mean, std in bands]
        return [mean for mean, _ in pairs], [deviation for _, deviation in pairs]

    def as_fields(self) -> dict[str, Any]:
        """Convert to the form of JSON files."""
        return {
            "bands": list(self.bands),
            "gsd": self.gsd,
            "low": list(self.low),
            "high": list(self.high),
            "mean": list(self.mean),
            "std": list(self.std),
            "legend": self.legend.as_fields(),
            **({"temperature": list(self.temperature)} if self.temperature else {}),
            **({"bias": list(self.bias)} if self.bias else {}),
            **({"scaling": [list(pair) for pair in self.scaling]} if self.scaling else {}),
        }

    @staticmethod
    def from_fields(fields: dict[str, Any]) -> Spec:
        """Read what ``as_fields`` wrote. Raises InputError for missing, unknown or invalid fields."""
        valid = validate(_SpecFields, fields, "field", where="the spec of the model")
        numbers = {
            key: getattr(valid, key) for key in ("gsd", "low", "high", "mean", "std", "temperature", "bias", "scaling")
        }
        return Spec(bands=valid.bands, legend=Legend.from_fields(valid.legend), **numbers)


_Number = Annotated[float, Field(gt=-1e30, lt=1e30)]
_Numbers = tuple[_Number, ...]


class _SpecFields(FrozenModel):
    bands: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_BANDS)]
    gsd: Annotated[float, Field(gt=0)]
    low: _Numbers
    high: _Numbers
    mean: _Numbers
    std: _Numbers
    legend: list[Any]
    temperature: tuple[Annotated[float, Field(ge=0.01, le=100)], ...] = ()
    bias: tuple[Annotated[float, Field(ge=-100, le=100)], ...] = ()
    scaling: tuple[tuple[_Number, _Number], ...] = ()

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        count = len(self.bands)
        if len(set(self.bands)) != count or not all(0 < len(name) <= 100 for name in self.bands):
            raise ValueError("'bands' has a repeated or empty name, or one of more than 100 characters")
        for key in ("low", "high", "mean", "std"):
            if len(getattr(self, key)) != count:
                raise ValueError(
                    f"'{key}' has {len(getattr(self, key))} numbers; it must have one for each of {count} bands"
                )
        if len(self.scaling) not in (0, count) or not all(scale for scale, _ in self.scaling):
            raise ValueError("'scaling' must have a scale other than 0 and an offset for each band")
        if not all(top - bottom > 1e-12 for bottom, top in zip(self.low, self.high, strict=True)):
            raise ValueError("'high' must be above 'low' in every band")
        if not all(value > 1e-12 for value in self.std):
            raise ValueError("'std' must be above 0 in every band")
        if len(self.temperature) not in (0, 1, len(self.legend)):
            raise ValueError(
                f"'temperature' has {len(self.temperature)} numbers; it must have one, or one for each of "
                f"{len(self.legend)} classes"
            )
        if self.bias and not len(self.bias) == len(self.temperature) == len(self.legend):
            raise ValueError(
                f"'bias' has {len(self.bias)} numbers and 'temperature' {len(self.temperature)}; both must have one for each "
                f"of {len(self.legend)} classes"
            )
        return self
