"""Encode arrays as images inside the page: photographs, class masks, confidence, errors."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from rsuda.core.legend import IGNORE, Legend

WRONG, RIGHT, UNSCORED = (213, 62, 20), (205, 211, 218), (128, 134, 142)
# dark blue over teal to light yellow: ordered by lightness, so that it reads without colour vision
CONFIDENCE = np.array(
    [(22, 26, 61), (38, 66, 122), (36, 117, 139), (72, 164, 129), (158, 203, 107), (247, 241, 158)], float
)


def photo(unit: np.ndarray, valid: np.ndarray | None = None, longest: int | None = None, quality: int = 80) -> str:
    """Encode (bands, H, W) on 0..1 as a data URI: the first three bands as red, green, blue, or the first as grey.

    Invalid pixels are grey; ``longest`` bounds the longer side in pixels; ``quality`` is that of WebP, 1 to 100.
    """
    bands = unit[:3] if len(unit) >= 3 else unit[[0, 0, 0]]
    pixels = (np.nan_to_num(bands).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    if valid is not None:
        pixels = np.where(valid[..., None], pixels, np.uint8(128))
    image = Image.fromarray(pixels)
    if longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return _uri(image, "WEBP", quality=quality, method=4)


def class_mask(classes: np.ndarray, legend: Legend) -> str:
    """Encode (H, W) uint8 class indices in the legend's colours, transparent where 255."""
    image = Image.fromarray(classes, "P")
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(legend)] = legend.palette
    image.putpalette(palette.tobytes())
    return _uri(image, "PNG", optimize=True, transparency=IGNORE)


def confidence_map(confidence: np.ndarray, classes: int) -> str:
    """Encode (H, W) probabilities of the predicted class, from 1 / classes (dark) to 1 (light)."""
    position = ((confidence - 1 / classes) / (1 - 1 / classes)).clip(0, 1) * (len(CONFIDENCE) - 1)
    levels = np.arange(len(CONFIDENCE))
    pixels = np.stack([np.interp(position, levels, channel) for channel in CONFIDENCE.T], -1).round().astype(np.uint8)
    return _uri(Image.fromarray(pixels), "WEBP", quality=80, method=4)


def error_map(classes: np.ndarray, label: np.ndarray) -> str:
    """Encode (H, W) errors: wrong (vermilion), right (light grey) and not scored (dark grey)."""
    pixels = np.zeros(classes.shape, np.uint8)
    pixels[classes != label] = 1
    pixels[(label == IGNORE) | (classes == IGNORE)] = 2
    image = Image.fromarray(pixels, "P")
    image.putpalette(bytes([*RIGHT, *WRONG, *UNSCORED]))
    return _uri(image, "PNG", optimize=True)


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
