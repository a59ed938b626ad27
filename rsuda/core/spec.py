"""What a network expects of pixels. It travels inside every saved network, so that prediction cannot guess wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend

BANDS = ("ir", "red", "green", "blue")  # the band names rsuda knows by a letter; any other name is allowed too


def band_names(text: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Band names from 'RGB', 'IRRG', 'RGBIR', 'red,green,nir' or a list. 'IR' and 'NIR' mean near infrared."""
    if not isinstance(text, str):
        names = [str(b).strip().lower() for b in text]
    elif "," in text or text.lower() in BANDS:
        names = [b.strip().lower() for b in text.split(",")]
    else:
        rest, names = text.upper(), []
        while rest:
            for word, name in (("NIR", "ir"), ("IR", "ir"), ("R", "red"), ("G", "green"), ("B", "blue")):
                if rest.startswith(word):
                    names.append(name)
                    rest = rest[len(word) :]
                    break
            else:
                raise InputError(f"band order '{text}' is not made of R, G, B and IR: name the bands as red,green,…")
    names = ["ir" if n in ("nir", "near infrared", "infrared", "nearinfrared") else n for n in names]
    if len(set(names)) != len(names):
        told = ", ".join(names)
        raise InputError(f"a band stands twice in {told if len(told) <= 100 else told[:100] + '…'}")
    return tuple(names)


def band_code(bands: tuple[str, ...]) -> str:
    """The short spelling of a band order: ('ir', 'red', 'green') -> 'IRRG'."""
    short = {"ir": "IR", "red": "R", "green": "G", "blue": "B"}
    return "".join(short[b] for b in bands) if all(b in short for b in bands) else ",".join(bands)


@dataclass(frozen=True)
class Spec:
    """What the pixels of a network's input are.

    A raw pixel v of band b enters the network as ``((v - low[b]) / (high[b] - low[b]) - mean[b]) / std[b]``.

    Attributes:
        bands: band names in the order the network is fed.
        gsd: metres per pixel of the network's input.
        low, high: raw pixel values that become 0 and 1 (0 and 255 for 8-bit imagery).
        mean, std: standardisation on that 0..1 scale.
        legend: the classes of the output, index by index.
    """

    bands: tuple[str, ...]
    gsd: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    legend: Legend

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Scale raw pixels (bands, ...) to 0..1, float32."""
        low, high = (np.array(v, np.float32).reshape(-1, *[1] * (values.ndim - 1)) for v in (self.low, self.high))
        return (values.astype(np.float32) - low) / (high - low)

    def standardise_unit(self, image: np.ndarray) -> np.ndarray:
        """Standardise images (..., bands, H, W) on the 0..1 scale of ``unit``: ``(image - mean) / std``, float32."""
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        return (image - mean) / std

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Standardise raw pixels (..., bands, H, W), float32: ``((v - low) / (high - low) - mean) / std``."""
        low, high = (np.array(v, np.float32)[:, None, None] for v in (self.low, self.high))
        return self.standardise_unit((values.astype(np.float32) - low) / (high - low))

    def scale_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Express ``standardise`` as ``v * scale + shift``: two arrays (bands,), float64."""
        low, high, mean, std = (np.array(v, np.float64) for v in (self.low, self.high, self.mean, self.std))
        return 1 / ((high - low) * std), -(low / (high - low) + mean) / std

    def as_fields(self) -> dict[str, Any]:
        return {
            "bands": list(self.bands),
            "gsd": self.gsd,
            "low": list(self.low),
            "high": list(self.high),
            "mean": list(self.mean),
            "std": list(self.std),
            "legend": self.legend.as_fields(),
        }

    @staticmethod
    def from_fields(fields: dict[str, Any]) -> Spec:
        """Raises InputError for fields that are missing, of another kind or number, or that no pixel could be scaled by."""
        if not isinstance(fields, dict):
            raise InputError("the network's description holds no fields")
        try:
            spec = Spec(
                bands=tuple(fields["bands"]),
                gsd=float(fields["gsd"]),
                low=tuple(map(float, fields["low"])),
                high=tuple(map(float, fields["high"])),
                mean=tuple(map(float, fields["mean"])),
                std=tuple(map(float, fields["std"])),
                legend=Legend.from_fields(fields["legend"]),
            )
        except KeyError as missing:
            raise InputError(f"the network's description lacks the field {missing}") from None
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"a field of the network's description is of another kind: {error}") from None
        spec._check()
        return spec

    def _check(self) -> None:
        bands = self.bands
        if not 1 <= len(bands) <= 200 or not all(isinstance(b, str) and 0 < len(b) <= 100 for b in bands):
            raise InputError("the network's description has no bands, more than 200, or some without a name")
        numbers = [self.low, self.high, self.mean, self.std]
        if any(len(n) != len(bands) for n in numbers) or len(set(bands)) != len(bands):
            raise InputError(
                "the network's description has not one low, high, mean and std for each of different bands"
            )
        if not 0 < self.gsd < math.inf or not all(abs(v) < 1e30 for n in numbers for v in n):
            raise InputError(
                "the network's description has a GSD or a range of values that is no number to reckon with"
            )
        if not all(h - lo > 1e-12 and s > 1e-12 for lo, h, s in zip(self.low, self.high, self.std, strict=True)):
            raise InputError("the network's description has a band whose high is not above its low, or without spread")
