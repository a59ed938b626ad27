"""Read the classes of label files for a draft: values or colours with their shares, and names from what lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spelling import spell
from rsuda.geo.class_names import class_colours, names_in_files
from rsuda.geo.raster import RasterFile
from rsuda.geo.raster_info import sample

_FILES = 40  # label files that are read; of large files, windows
_MOST = 60  # values or colours of class rasters
_RARE = 1e-4  # share below which a colour beside a file's main ones is an error of JPEG


@dataclass(frozen=True)
class DraftClass:
    """A class of a draft.

    Attributes:
        name: from a file beside the label, or 'class 1', or 'colour #FF0000'.
        colour: '#RRGGBB' of the label or its palette; otherwise one of a fixed list.
        value: pixel value; None for labels by colour.
        share: of the pixels read, 0..1; None where it is unknown.
    """

    name: str
    colour: str
    value: int | None
    share: float | None


@dataclass(frozen=True)
class DraftLegend:
    """The classes of label files.

    Attributes:
        classes: the classes by value, or by share where they are colours.
        ignore: nodata values of the files, which are no classes.
        rare: number of colours that are too rare to be classes.
        files: number of files that were read.
    """

    classes: tuple[DraftClass, ...]
    ignore: tuple[int, ...]
    rare: int
    files: int


def looks_like_label(path: Path | str) -> bool:
    """Whether a raster of one band holds few whole numbers, as labels do."""
    with suppress(InputError, MissingError):
        file = RasterFile(path)
        if file.count != 1 or file.dtype.startswith(("float", "complex")):
            return False
        values, _, _ = sample(file, [1])
        return file.palette is not None or (0 < len(np.unique(values)) <= 32)
    return False


def read_legend(labels: Sequence[Path | str]) -> DraftLegend:
    """Read the classes of label rasters; a sample of large files, and at most 40 files.

    Raises:
        InputError: the labels hold too many values or colours to be classes, or no valid pixel.
        MissingError: a file is unreadable.
    """
    step = max(1, -(-len(labels) // _FILES))
    chosen = labels[::step]
    files = [RasterFile(path) for path in chosen]
    counts: Counter[tuple[int, ...]] = Counter()
    for file in files:
        counts += _counts(file)
    ignore = sorted({int(file.nodata) for file in files if file.nodata is not None and float(file.nodata).is_integer()})
    if all(len(key) == 3 and len(set(key)) == 1 for key in counts) and len(counts) > 2:
        counts = Counter({key[:1]: count for key, count in counts.items()})  # a grey image saved as RGB
    if not counts:
        raise InputError(f"no pixel of the labels, such as {chosen[0]}, holds data: check their nodata values")
    total = sum(counts.values())
    if len(next(iter(counts))) == 1:
        classes = _by_value(counts, total, files[0], ignore)
        return DraftLegend(classes, tuple(ignore), 0, len(files))
    main = {key: count for key, count in counts.most_common() if count / total >= _RARE}
    _check_number(len(main), "colours", chosen)
    names = names_in_files(files[0].path)
    classes = tuple(
        DraftClass(names.get(_hex(key), (f"colour {_hex(key)}",))[0], _hex(key), None, count / total)
        for key, count in main.items()
    )
    return DraftLegend(classes, (), len(counts) - len(main), len(files))


def _by_value(
    counts: Counter[tuple[int, ...]], total: int, file: RasterFile, ignore: Iterable[int]
) -> tuple[DraftClass, ...]:
    values = sorted(key[0] for key in counts if key[0] not in ignore)
    _check_number(len(values), "values", [file.path])
    palette = file.palette or {}
    names, spare = names_in_files(file.path), list(islice(class_colours(), len(values)))
    classes = []
    for position, value in enumerate(values):
        named = names.get(str(value), ())
        colour = _hex(palette[value]) if value in palette else spare[position]
        if len(named) > 1:
            colour = named[1]
        classes.append(DraftClass(named[0] if named else f"class {value}", colour, value, counts[value,] / total))
    return _distinct(classes)


def _distinct(classes: list[DraftClass]) -> tuple[DraftClass, ...]:
    """Classes with names and colours that occur once: a repeated name gets its value, a repeated colour another one."""
    names, colours = Counter(item.name for item in classes), {item.colour for item in classes}
    free = (colour for colour in class_colours() if colour not in colours)
    seen: set[str] = set()
    result = []
    for item in classes:
        colour = item.colour if item.colour not in seen else next(free)
        seen.add(colour)
        name = item.name if names[item.name] == 1 else f"{item.name} {item.value}"
        result.append(DraftClass(name, colour, item.value, item.share))
    return tuple(result)


def _check_number(number: int, what: str, labels: Sequence[object]) -> None:
    if number > _MOST:
        raise InputError(
            f"{labels[0]} is no label: it holds {number} {what}, and at most {_MOST} are taken for classes; name the labels "
            f"by {spell('labels', 'masks/*')} or alike"
        )


def _counts(file: RasterFile) -> Counter[tuple[int, ...]]:
    """Number of pixels of each value (value,) or colour (r, g, b) in a sample of a file."""
    numbers = [1, 2, 3] if file.count >= 3 else [1]
    values, _, _ = sample(file, numbers)
    if not values.size:
        return Counter()
    if not np.array_equal(values, np.trunc(values)):
        raise InputError(f"{file.path} is no label: it holds fractions, such as {float(values[values % 1 != 0][0]):g}")
    if len(numbers) == 3 and values.min() >= 0 and values.max() <= 255:
        packed, number = np.unique(
            (values[0].astype(np.int64) << 16) | (values[1].astype(np.int64) << 8) | values[2].astype(np.int64),
            return_counts=True,
        )
        keys = [(int(k) >> 16, int(k) >> 8 & 255, int(k) & 255) for k in packed]
        return Counter(dict(zip(keys, map(int, number), strict=True)))
    single, number = np.unique(values[0], return_counts=True)
    return Counter({(int(value),): int(count) for value, count in zip(single, number, strict=True)})


def _hex(colour: Sequence[int]) -> str:
    return "#{:02X}{:02X}{:02X}".format(*colour[:3])
