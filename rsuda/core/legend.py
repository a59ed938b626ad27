"""Class names, colours and the ignore value; label pixels to class indices by exact lookup."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from re import fullmatch
from typing import Any
from unicodedata import category

import numpy as np

from rsuda.core.display import shown
from rsuda.core.errors import InputError

IGNORE = 255  # the class index of pixels that nobody scores; also the nodata value of every class raster
_OFF = 254  # inside this file only: a label value that the legend does not know

Colour = tuple[int, int, int]


def _colour(value: Any) -> Colour:
    if isinstance(value, str):
        if fullmatch("#?[0-9a-fA-F]{6}", value):
            digits = value.lstrip("#")
            return (int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))
    elif isinstance(value, (list, tuple)) and [isinstance(v, int) and 0 <= v <= 255 for v in value] == [True] * 3:
        return (value[0], value[1], value[2])
    raise InputError(f"colour {shown(value)} in a legend is neither '#RRGGBB' nor three numbers from 0 to 255")


def _value(value: Any) -> int:
    if isinstance(value, int) and 0 <= value <= 255:
        return int(value)
    raise InputError(f"pixel value {shown(value)} in a legend is no whole number from 0 to 255")


def _bytes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as uint8, and where they are whole numbers from 0 to 255: no other may be rounded into a class."""
    if pixels.dtype == np.uint8:
        return pixels, np.ones(pixels.shape, bool)
    fits = (pixels >= 0) & (pixels <= 255) & (pixels == np.trunc(pixels))
    return np.where(fits, pixels, 0).astype(np.uint8), fits


@dataclass(frozen=True)
class Legend:
    """The classes of a domain, in the order of their indices 0..K-1.

    Labels are stored in files either by colour (``colours[k]`` are all the colours of class k, the first is the one
    drawn in outputs) or by index (``values[k]`` are the pixel values of class k). ``ignored`` colours or values
    become 255. Anything else is off-palette: it becomes 255 too, and is counted.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, ...], ...]
    values: tuple[tuple[int, ...], ...] = ()
    ignored_colours: tuple[Colour, ...] = ()
    ignored_values: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= 250:
            raise InputError(f"a legend has 1 to 250 classes, this one has {len(self.names)}")
        for name in self.names:
            # XML and GeoPackage cannot hold control characters and halves of characters, nor do file programs show them
            if not name.strip() or len(name) > 100 or any(category(c) in ("Cc", "Cs", "Cn") for c in name):
                raise InputError(
                    f"a class of the legend is named {name[:100]!r}: a name has 1 to 100 characters, none of control"
                )
        if len(set(self.names)) != len(self.names):
            raise InputError(f"a class name stands twice in the legend {', '.join(self.names)}")
        seen: dict[Any, str] = {}
        keys: list[tuple[str, tuple[str, Any]]] = [
            (n, ("value", v)) for n, vs in zip(self.names, self.values, strict=False) for v in vs
        ]
        if not self.values:
            keys = [(n, ("colour", c)) for n, cs in zip(self.names, self.colours, strict=True) for c in cs]
        keys += [("ignore", ("value", v)) for v in self.ignored_values]
        keys += [("ignore", ("colour", c)) for c in self.ignored_colours]
        for name, key in keys:
            if seen.get(key, name) != name:
                raise InputError(f"{key[0]} {key[1]} belongs to both '{seen[key]}' and '{name}' in the legend")
            seen[key] = name

    def __len__(self) -> int:
        return len(self.names)

    @property
    def by_value(self) -> bool:
        """Whether label files hold class values (True) or colours (False)."""
        return bool(self.values)

    @property
    def palette(self) -> tuple[Colour, ...]:
        """One colour per class, for drawing."""
        return tuple(c[0] for c in self.colours)

    @staticmethod
    def from_fields(classes: list[dict[str, Any]], ignore: list[Any] | None = None) -> Legend:
        """Read the ``legend`` and ``ignore`` fields of a domain file.

        Each class is ``{name, colour | colours, value | values}``; ``ignore`` lists colours or values.
        Raises InputError when a class lacks a name, or some classes have values and others have none.
        """
        names, colours, values = [], [], []
        if not isinstance(classes, list | tuple) or not isinstance(ignore, list | tuple | None):
            raise InputError(
                f"a legend is a list of classes, and what it ignores a list: {shown([classes, ignore])} is not"
            )
        for entry in classes:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str | int | float):
                raise InputError(f"legend entry {shown(entry)} has no 'name'")
            drawn = entry.get("colours", [entry["colour"]] if "colour" in entry else [])
            held = entry.get("values", [entry["value"]] if "value" in entry else [])
            if not isinstance(drawn, list | tuple) or not isinstance(held, list | tuple):
                raise InputError(f"'colours' and 'values' of class '{entry['name']}' of the legend are lists")
            if not drawn:
                raise InputError(f"class '{entry['name']}' of the legend has no 'colour'")
            names.append(str(entry["name"]))
            colours.append(tuple(_colour(c) for c in drawn))
            values.append(tuple(_value(v) for v in held))
        if any(values) and not all(values):
            missing = ", ".join(n for n, v in zip(names, values, strict=True) if not v)
            raise InputError(f"some classes of the legend have a 'value', but not {missing}")
        by_value = any(values)
        return Legend(
            names=tuple(names),
            colours=tuple(colours),
            values=tuple(values) if by_value else (),
            ignored_colours=() if by_value else tuple(_colour(c) for c in ignore or []),
            ignored_values=tuple(_value(v) for v in ignore or []) if by_value else (),
        )

    def as_fields(self) -> list[dict[str, Any]]:
        """Names and drawing colours, as JSON and YAML hold them."""
        return [{"name": n, "colour": list(c)} for n, c in zip(self.names, self.palette, strict=True)]

    @cached_property
    def _colour_table(self) -> np.ndarray:
        table = np.full(1 << 24, _OFF, np.uint8)
        for k, colours in enumerate(self.colours):
            for r, g, b in colours:
                table[(r << 16) | (g << 8) | b] = k
        for r, g, b in self.ignored_colours:
            table[(r << 16) | (g << 8) | b] = IGNORE
        return table

    def encode(self, label: np.ndarray, colormap: dict[int, tuple[int, ...]] | None = None) -> tuple[np.ndarray, int]:
        """Class indices of label pixels, and how many pixels were off-palette.

        Args:
            label: (bands, H, W) pixels of a label file, of any type: 3 or 4 bands of colour, or 1 band. Values of a
                legend by value may also be repeated in 3 bands (a grey image saved as RGB).
            colormap: palette of a 1-band label file, value to (r, g, b[, a]).

        Returns:
            (H, W) uint8 of class indices with 255 for ignored and off-palette pixels; count of off-palette pixels.

        Raises:
            InputError: a legend by colour meets a label of one band without a palette.
        """
        if self.by_value:
            table = np.full(256, _OFF, np.uint8)
            for k, values in enumerate(self.values):
                table[list(values)] = k
            table[list(self.ignored_values)] = IGNORE
            band, fits = _bytes(label[0])
            index = np.where(fits, table[band], np.uint8(_OFF))
            if label.shape[0] >= 3:
                index[(label[1] != label[0]) | (label[2] != label[0])] = _OFF
        elif label.shape[0] >= 3:
            rgb, fits = _bytes(label[:3])
            red, green, blue = rgb.astype(np.uint32)
            index = np.where(fits.all(0), self._colour_table[(red << 16) | (green << 8) | blue], np.uint8(_OFF))
        elif colormap:
            table = np.full(256, _OFF, np.uint8)
            for value, (r, g, b, *_) in colormap.items():
                if value < 256:  # the palette of a 16-bit file is longer
                    table[value] = self._colour_table[(r << 16) | (g << 8) | b]
            band, fits = _bytes(label[0])
            index = np.where(fits, table[band], np.uint8(_OFF))
        else:
            raise InputError("the label has one band and no palette, but the legend lists colours")
        off = index == _OFF
        count = int(off.sum())
        if count:
            index = np.where(off, np.uint8(IGNORE), index)
        return index, count

    def mapping_from(self, other: Legend) -> np.ndarray:
        """A (256,) uint8 table from ``other``'s indices to this legend's, matched by class name; unmatched give 255."""
        table = np.full(256, IGNORE, np.uint8)
        for k, name in enumerate(other.names):
            if name in self.names:
                table[k] = self.names.index(name)
        return table
