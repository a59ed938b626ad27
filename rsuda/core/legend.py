"""Legends: class names, colours and the ignore value; label pixels become class indices by exact lookup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from unicodedata import category

import numpy as np

from rsuda.core.crosswalk import UNKNOWN, common_names, grouped
from rsuda.core.display import shown
from rsuda.core.errors import InputError
from rsuda.core.legend_fields import ClassFields, Colour, read_colour, read_value
from rsuda.core.nearest_class import nearest_classes
from rsuda.core.validation import validate

IGNORE = 255  # class index of pixels without a class; also the nodata value of every class raster
_OFF = 254  # label value outside the legend; used in this file only
_LONGEST_TABLE = 1 << 17  # range of values up to which they are looked up in a table


def _packed(colour: Sequence[int]) -> int:
    """Pack the first three numbers of a colour into one number, by which it is looked up."""
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def colour_bytes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert pixels of any shape to uint8, and mark whole numbers from 0 to 255 in a mask (bool) of this shape.

    No other value may become a class. Image programs write 255 as 65535 into colours of 16 bits, so multiples of 257 are
    divided by it.
    """
    if pixels.dtype == np.uint8:
        return pixels, np.ones(pixels.shape, bool)
    if pixels.dtype == np.uint16 and len(pixels) == 3:
        pixels = np.where(pixels % 257 == 0, pixels // 257, pixels)
    fits = (pixels >= 0) & (pixels <= 255) & (pixels == np.trunc(pixels))
    return np.where(fits, pixels, 0).astype(np.uint8), fits


def _painted(values: np.ndarray, colormap: Mapping[int, Sequence[int]]) -> np.ndarray:
    """Look up the colours (n, 3) of values (n,) in a palette; nan for other values."""
    entries = np.unique(values[np.isin(values, list(colormap))])
    colours = np.full((len(values), 3), np.nan)
    for value in entries:
        colours[values == value] = colormap[int(value)][:3]
    return colours


@dataclass(frozen=True)
class Legend:
    """The classes of a domain, in the order of their indices 0..K-1.

    Label files store classes by colour or by value. ``colours[k]`` are the colours of class k, and outputs are drawn in
    the first one. ``values[k]`` are the pixel values of class k. ``ignored_colours`` and ``ignored_values`` become 255.
    All other colours and values are off-palette: they become 255 and are counted.

    Pixels up to ``tolerance`` from the colour or value of one class, and not of another, are of this class.

    ``unmerged`` is the legend before its classes were merged, and ``common`` the class that each of its classes became.

    Raises:
        InputError: an invalid or repeated class name, or a colour or value of two classes.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, ...], ...]
    values: tuple[tuple[int, ...], ...] = ()
    ignored_colours: tuple[Colour, ...] = ()
    ignored_values: tuple[int, ...] = field(default=())
    unmerged: Legend | None = None
    common: tuple[str, ...] = ()
    tolerance: float = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= 250:
            raise InputError(f"the legend has {len(self.names)} classes; a legend has 1 to 250 classes")
        for name in self.names:
            # XML and GeoPackage cannot store control characters and half characters, and file programs cannot show them
            if not name.strip() or len(name) > 100 or any(category(x) in ("Cc", "Cs", "Cn") for x in name):
                raise InputError(
                    f"class name {name[:100]!r} of the legend is invalid: a name has 1 to 100 characters, without control "
                    "characters"
                )
        if len(set(self.names)) != len(self.names):
            raise InputError(f"a class name occurs twice in the legend: {', '.join(self.names)}")
        self._check_unique()

    def _check_unique(self) -> None:
        keys: list[tuple[str, tuple[str, Any]]] = [
            (name, ("value", value)) for name, values in zip(self.names, self.values, strict=False) for value in values
        ]
        if not self.values:
            keys += [
                (name, ("colour", colour))
                for name, colours in zip(self.names, self.colours, strict=True)
                for colour in colours
            ]
        keys += [("ignore", ("value", value)) for value in self.ignored_values]
        keys += [("ignore", ("colour", colour)) for colour in self.ignored_colours]
        owners: dict[Any, str] = {}
        for name, key in keys:
            if owners.setdefault(key, name) != name:
                raise InputError(f"{key[0]} {key[1]} belongs to both '{owners[key]}' and '{name}' in the legend")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def by_value(self) -> bool:
        """Whether label files hold class values (True) or colours (False)."""
        return bool(self.values)

    @property
    def palette(self) -> tuple[Colour, ...]:
        """The drawing colour of each class."""
        return tuple(colours[0] for colours in self.colours)

    @staticmethod
    def from_fields(classes: Sequence[Any], ignore: Sequence[Any] | None = None, tolerance: float = 0) -> Legend:
        """Read the ``legend`` and ``ignore`` fields of a domain file.

        Args:
            classes: ``{name, colour | colours, value | values}`` of each class.
            ignore: colours, or values, that become 255.
            tolerance: see the class.

        Raises:
            InputError: a field is missing or invalid, or only some classes have a value.
        """
        if not isinstance(classes, list | tuple) or not isinstance(ignore, list | tuple | None):
            raise InputError(f"the legend or 'ignore' is {shown([classes, ignore])}; both must be lists")
        entries = [
            validate(ClassFields, entry, "field", where=f"class {number} of the legend")
            for number, entry in enumerate(classes, 1)
        ]
        for entry in entries:
            if not entry.colours:
                raise InputError(f"class '{entry.name}' of the legend has no 'colour': give it one")
        without_values = [entry.name for entry in entries if not entry.values]
        by_value = len(without_values) < len(entries)
        if by_value and without_values:
            raise InputError(
                f"some classes of the legend have a 'value', but not {', '.join(without_values)}: give it to all"
            )
        return Legend(
            names=tuple(entry.name for entry in entries),
            colours=tuple(entry.colours for entry in entries),
            values=tuple(entry.values for entry in entries) if by_value else (),
            ignored_colours=() if by_value else tuple(read_colour(colour) for colour in ignore or ()),
            ignored_values=tuple(read_value(value) for value in ignore or ()) if by_value else (),
            tolerance=tolerance,
        )

    def as_fields(self) -> list[dict[str, Any]]:
        """Convert names and drawing colours to the form of JSON and YAML files."""
        return [{"name": name, "colour": list(colour)} for name, colour in zip(self.names, self.palette, strict=True)]

    def merged(self, classes: Mapping[str, Any]) -> Legend:
        """Give classes common names, several the same one: their colours and values are joined under the first's colour.

        Args:
            classes: the field ``classes`` of a domain file: ``own class: common class``; 'unknown' ignores a class.

        Raises:
            InputError: an entry without a class of this legend, a class with two common classes, or no class left.
        """
        common = common_names(self.names, classes)
        if self.unmerged is not None:
            before = self.from_own[: len(self.own)].tolist()
            return self.own._grouped(tuple(UNKNOWN if k == IGNORE else common[k] for k in before))
        return self._grouped(common)

    def _grouped(self, common: tuple[str, ...]) -> Legend:
        groups, ignored_classes = grouped(self.names, common)

        def joined(parts: tuple[tuple[Any, ...], ...], members: list[int]) -> tuple[Any, ...]:
            return tuple(part for k in members for part in parts[k])

        return Legend(
            tuple(groups),
            tuple(joined(self.colours, members) for members in groups.values()),
            tuple(joined(self.values, members) for members in groups.values()) if self.by_value else (),
            self.ignored_colours + (() if self.by_value else joined(self.colours, ignored_classes)),
            self.ignored_values + (joined(self.values, ignored_classes) if self.by_value else ()),
            self,
            common,
            self.tolerance,
        )

    @property
    def own(self) -> Legend:
        """The legend before its classes were merged, whose names and values the domain's files use."""
        return self if self.unmerged is None else self.unmerged

    @cached_property
    def from_own(self) -> np.ndarray:
        """The (256,) uint8 table from indices of ``own`` to this legend's; 255 for ignored classes."""
        if self.unmerged is None:
            return np.arange(256, dtype=np.uint8)
        table = np.full(256, IGNORE, np.uint8)
        for k, members in enumerate(grouped(self.unmerged.names, self.common)[0].values()):
            table[members] = k
        return table

    def name_of(self, name: str | None) -> str | None:
        """Return the common name of an own or common class; None if it is ignored or unknown."""
        if name in self.names or name not in self.own.names:
            return name if name in self.names else None
        index = int(self.from_own[self.own.names.index(name)])
        return self.names[index] if index < len(self) else None

    @cached_property
    def _colour_table(self) -> np.ndarray:
        table = np.full(1 << 24, _OFF, np.uint8)
        for k, colours in enumerate(self.colours):
            for colour in colours:
                table[_packed(colour)] = k
        for colour in self.ignored_colours:
            table[_packed(colour)] = IGNORE
        return table

    def encode(
        self,
        label: np.ndarray,
        colormap: dict[int, tuple[int, ...]] | None = None,
        valid: np.ndarray | None = None,
        tolerance: float = 0,
    ) -> tuple[np.ndarray, int]:
        """Look up the class indices of label pixels.

        Args:
            label: (bands, H, W) pixels of a label file of any type: 3 or 4 bands of colour, or 1 band. A legend by value
                also accepts a value that is repeated in 3 bands (a grey image saved as RGB).
            colormap: palette of a 1-band label file, value to (r, g, b[, a]).
            valid: (H, W) bool; other pixels are ignored and never off-palette.
            tolerance: greatest distance of a pixel from the colour or value of its class; see ``nearest_class``.

        Returns:
            (H, W) uint8 class indices, 255 for ignored and off-palette pixels; the number of off-palette pixels.

        Raises:
            InputError: the legend lists colours, and the label has one band and no palette.
        """
        if self.by_value:
            index = self._encode_values(label)
        elif label.shape[0] >= 3:
            rgb, fits = colour_bytes(label[:3])
            red, green, blue = rgb.astype(np.uint32)
            index = np.where(fits.all(0), self._colour_table[(red << 16) | (green << 8) | blue], np.uint8(_OFF))
        elif colormap:
            table = np.full(256, _OFF, np.uint8)
            for value, colour in colormap.items():
                if value < 256:  # the palette of a 16-bit file is longer
                    table[value] = self._colour_table[_packed(colour)]
            band, fits = colour_bytes(label[0])
            index = np.where(fits, table[band], np.uint8(_OFF))
        else:
            raise InputError("the label has one band and no palette, but the legend lists colours: list values instead")
        if valid is not None:
            index = np.where(valid, index, np.uint8(IGNORE))
        if tolerance := max(tolerance, self.tolerance):
            index = self._with_near(label, colormap, index, tolerance)
        off = index == _OFF
        count = int(off.sum())
        if count:
            index = np.where(off, np.uint8(IGNORE), index)
        return index, count

    def _with_near(
        self, label: np.ndarray, colormap: dict[int, tuple[int, ...]] | None, index: np.ndarray, tolerance: float
    ) -> np.ndarray:
        """Give off-palette pixels the class whose colour or value is near, where one is clearly the nearest."""
        off = index == _OFF
        if not off.any():
            return index
        if self.by_value:
            centres, classes = self._sorted_values[0][:, None], self._sorted_values[1]
            pixels = label[:1, off].T
        else:
            colour_classes = [(colour, k) for k, group in enumerate(self.colours) for colour in group]
            colour_classes += [(colour, IGNORE) for colour in self.ignored_colours]
            centres, classes = (
                np.array([colour for colour, _ in colour_classes]),
                np.array([k for _, k in colour_classes], np.uint8),
            )
            pixels = label[:3, off].T if label.shape[0] >= 3 else _painted(label[0, off], colormap or {})
        index = index.copy()
        index[off] = nearest_classes(pixels, centres.astype(np.float64), classes, tolerance, _OFF)
        return index

    @cached_property
    def _sorted_values(self) -> tuple[np.ndarray, np.ndarray]:
        """All values of the legend in rising order, int64, and what each becomes, uint8."""
        classes = {value: k for k, values in enumerate(self.values) for value in values}
        classes |= dict.fromkeys(self.ignored_values, IGNORE)
        values = sorted(classes)
        return np.array(values, np.int64), np.array([classes[value] for value in values], np.uint8)

    @cached_property
    def _value_table(self) -> np.ndarray:
        """Class index of each number from the lowest value of the legend to the highest."""
        values, classes = self._sorted_values
        table = np.full(int(values[-1]) - int(values[0]) + 1, _OFF, np.uint8)
        table[values - values[0]] = classes
        return table

    @cached_property
    def _byte_table(self) -> np.ndarray:
        values, classes = self._sorted_values
        table, fits = np.full(256, _OFF, np.uint8), (values >= 0) & (values <= 255)
        table[values[fits]] = classes[fits]
        return table

    def _encode_values(self, label: np.ndarray) -> np.ndarray:
        band = label[0]
        index = self._byte_table[band] if band.dtype == np.uint8 else self._look_up(band)
        if label.shape[0] >= 3:
            index[(label[1] != label[0]) | (label[2] != label[0])] = _OFF
        return index

    def _look_up(self, band: np.ndarray) -> np.ndarray:
        """Look up values of any type; broken numbers are outside the legend."""
        values, classes = self._sorted_values
        low, high = int(values[0]), int(values[-1])
        if band.dtype.kind == "f":
            band = band.astype(np.float64, copy=False)
        inside = (band >= low) & (band <= high)
        if band.dtype.kind == "f":
            inside &= band == np.trunc(band)
        whole = np.where(inside, band, band.dtype.type(0)).astype(np.int64)
        if high - low < _LONGEST_TABLE:
            return np.where(inside, self._value_table[np.where(inside, whole - low, 0)], np.uint8(_OFF))
        place = np.searchsorted(values, whole).clip(max=len(values) - 1)
        return np.where(inside & (values[place] == whole), classes[place], np.uint8(_OFF))

    def mapping_from(self, other: Legend) -> np.ndarray:
        """Make a (256,) uint8 table from ``other``'s indices to this legend's by class name; 255 without a match."""
        table = np.full(256, IGNORE, np.uint8)
        for k, name in enumerate(other.names):
            if name in self.names:
                table[k] = self.names.index(name)
        return table
