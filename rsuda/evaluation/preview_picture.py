"""Draw windows as image, map before and map after, with the legend below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rsuda.core.legend import Legend

_SIDE, _GAP, _TEXT = 256, 12, 15
_PAPER, _INK, _LINE, _NODATA = (255, 255, 255), (32, 36, 42), (96, 102, 110), (200, 204, 209)


@dataclass(frozen=True)
class Row:
    """A window: its image (bands, side, side) on 0..1, valid mask, and class indices before (or None) and after."""

    unit: np.ndarray
    valid: np.ndarray
    before: np.ndarray | None
    after: np.ndarray


def draw(rows: Sequence[Row], legend: Legend, before: str, after: str) -> Image.Image:
    """Draw the picture: a row for each window, a column for each of image, before and after.

    Args:
        before, after: titles of the columns of maps.
    """
    font = ImageFont.load_default(_TEXT)
    maps = [row.before is not None for row in rows]
    titles = ["image", *([before] if all(maps) else []), after]
    width = _GAP + len(titles) * (_SIDE + _GAP)
    lines = _legend_lines(legend, font, width)
    top = _GAP + _TEXT + 8
    height = top + len(rows) * (_SIDE + _GAP) + len(lines) * (_TEXT + 9) + _GAP // 2
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    lefts = [_GAP + k * (_SIDE + _GAP) for k in range(len(titles))]
    for left, title in zip(lefts, titles, strict=True):
        pen.text((left, _GAP), title, _INK, font)
    low, high = _range(rows)
    for number, row in enumerate(rows):
        panels = [_photo(row, low, high)]
        panels += [_map(row.before, legend)] if all(maps) and row.before is not None else []
        panels.append(_map(row.after, legend))
        upper = top + number * (_SIDE + _GAP)
        for left, panel in zip(lefts, panels, strict=True):
            picture.paste(panel, (left, upper))
            pen.rectangle((left - 1, upper - 1, left + _SIDE, upper + _SIDE), outline=_LINE)
    lower = top + len(rows) * (_SIDE + _GAP)
    for line in lines:
        for left, name, colour in line:
            pen.rectangle((left, lower, left + _TEXT, lower + _TEXT), fill=colour, outline=_LINE)
            pen.text((left + _TEXT + 6, lower), name, _INK, font)
        lower += _TEXT + 9
    return picture


def _legend_lines(
    legend: Legend, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> list[list[tuple[int, str, tuple[int, int, int]]]]:
    """Place the entries of a legend in lines: left edge, name and colour of each."""
    lines: list[list[tuple[int, str, tuple[int, int, int]]]] = [[]]
    left = _GAP
    for name, colour in zip(legend.names, legend.palette, strict=True):
        name = name if len(name) <= 30 else f"{name[:29]}…"
        entry_width = _TEXT + 6 + round(font.getlength(name)) + 18
        if left + entry_width > width and lines[-1]:
            lines.append([])
            left = _GAP
        lines[-1].append((left, name, colour))
        left += entry_width
    return lines


def _range(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Find the values that are drawn black and white: the 1st and 99th percentile of each band over all windows."""
    pixels = [row.unit[:, row.valid] for row in rows if row.valid.any()]
    if not pixels:
        return np.zeros(1), np.ones(1)
    low, high = np.percentile(np.concatenate(pixels, 1), (1, 99), axis=1)
    return low, np.maximum(high, low + 1e-3)


def _photo(row: Row, low: np.ndarray, high: np.ndarray) -> Image.Image:
    bands = [0, 1, 2] if len(row.unit) >= 3 else [0, 0, 0]
    display_values = (row.unit - low[:, None, None]) / (high - low)[:, None, None]
    pixels = (display_values[bands].clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    pixels = np.where(row.valid[..., None], pixels, np.array(_NODATA, np.uint8))
    return Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


def _map(classes: np.ndarray | None, legend: Legend) -> Image.Image:
    palette = np.tile(np.array(_NODATA, np.uint8), (256, 1))
    palette[: len(legend)] = legend.palette
    return Image.fromarray(palette[classes]).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
