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
from rsuda.data.drafts.label_colours import are_blurred, are_mixed, count_colours, count_flat, joined
from rsuda.geo.maps.class_names import class_colours, names_in_files
from rsuda.geo.rasters.info import sample
from rsuda.geo.rasters.labels import SMEARED, check_label_bands
from rsuda.geo.rasters.raster import RasterFile

_FILES = 40  # label files that are read; of large files, windows
_MOST = 60  # values or colours of class rasters
_FLAT = 0.2  # share of the pixels of smeared labels that lie inside of areas of one colour
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
        ignore: nodata values of the files, which stand for no class.
        rare: number of colours that are too rare to be classes.
        files: number of files that were read.
        tolerance: distance of pixels from the colours or values of smeared labels; 0 for exact ones.
    """

    classes: tuple[DraftClass, ...]
    ignore: tuple[int, ...]
    rare: int
    files: int
    tolerance: int = 0


def looks_like_label(path: Path | str) -> bool:
    """Check whether a raster of one band holds few whole numbers, as labels do."""
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
    sample = labels[::step]
    files = [RasterFile(path) for path in sample]
    for file in files:
        try:
            check_label_bands(file, by_value=False)
        except InputError as error:
            raise InputError(f"{file.path}: {error}") from None
    counts = sum((count_colours(file) for file in files), Counter[tuple[int, ...]]())
    ignore = sorted({int(file.nodata) for file in files if file.nodata is not None and float(file.nodata).is_integer()})
    flat, frequent = count_flat(files), _frequent(counts)
    is_smeared = any(file.validity.lossy for file in files) or len(frequent) > _MOST or are_mixed(frequent, flat)
    if is_smeared:
        _check_flat(files[0], counts, flat)
        counts = joined(flat)
    if all(len(key) == 3 and len(set(key)) == 1 for key in counts) and len(counts) > 2:
        counts = Counter({key[:1]: count for key, count in counts.items()})  # a grey image saved as RGB
    if not counts:
        raise InputError(f"no pixel of the labels, such as {sample[0]}, holds data: check their nodata values")
    total, tolerance = sum(counts.values()), SMEARED if is_smeared else 0
    if len(next(iter(counts))) == 1:
        classes = _by_value(counts, total, files[0], ignore)
        return DraftLegend(classes, tuple(ignore), 0, len(files), tolerance)
    main = _frequent(counts)
    _check_number(len(main), "colours", sample)
    names = names_in_files(files[0].path)
    classes = tuple(
        DraftClass(names.get(_hex(key), (f"colour {_hex(key)}",))[0], _hex(key), None, count / total)
        for key, count in main.items()
    )
    return DraftLegend(classes, (), len(counts) - len(main), len(files), tolerance)


def _check_flat(file: RasterFile, every: Counter[tuple[int, ...]], flat: Counter[tuple[int, ...]]) -> None:
    """Raise InputError for files other than labels, and for files whose values are too near each other for their smear."""
    if flat.total() < _FLAT * every.total():
        raise _no_label(file.path, len(_frequent(every)), "values" if len(next(iter(every))) == 1 else "colours")
    if are_blurred(flat):
        cause = f"by the lossy compression of its file ({file.driver})" if file.validity.lossy else "by resampling"
        values = ", ".join(str(key[0]) for key in sorted(_frequent(flat))[:6])
        raise InputError(
            f"the values of label {file.path} are smeared {cause}, and {values} are too near each "
            "other to be distinguished: export the labels as PNG or GeoTIFF, without resampling (gdalwarp -r near)"
        )


def _frequent(counts: Counter[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Find the colours or values that are frequent enough for a class, the most frequent first."""
    total = sum(counts.values())
    return {key: count for key, count in counts.most_common() if count / total >= _RARE}


def _by_value(
    counts: Counter[tuple[int, ...]], total: int, file: RasterFile, ignore: Iterable[int]
) -> tuple[DraftClass, ...]:
    values = sorted(key[0] for key in counts if key[0] not in ignore)
    _check_number(len(values), "values", [file.path])
    palette = file.palette or {}
    names = names_in_files(file.path)
    spare = list(islice(class_colours(names.get(str(value), ("",))[0] for value in values), len(values)))
    classes = []
    for position, value in enumerate(values):
        entry = names.get(str(value), ())
        colour = _hex(palette[value]) if value in palette else spare[position]
        if len(entry) > 1:
            colour = entry[1]
        classes.append(DraftClass(entry[0] if entry else f"class {value}", colour, value, counts[value,] / total))
    return _distinct(classes)


def _distinct(classes: list[DraftClass]) -> tuple[DraftClass, ...]:
    """Make names and colours of classes unique: a repeated name gets its value, a repeated colour another one."""
    names, colours = Counter(item.name for item in classes), {item.colour for item in classes}
    free = (colour for colour in class_colours() if colour not in colours)
    earlier_colours: set[str] = set()
    result = []
    for item in classes:
        colour = item.colour if item.colour not in earlier_colours else next(free)
        earlier_colours.add(colour)
        name = item.name if names[item.name] == 1 else f"{item.name} {item.value}"
        result.append(DraftClass(name, colour, item.value, item.share))
    return tuple(result)


def _check_number(number: int, what: str, labels: Sequence[object]) -> None:
    if number > _MOST:
        raise _no_label(labels[0], number, what)


def _no_label(label: object, number: int, what: str) -> InputError:
    return InputError(
        f"{label} holds {number} {what}, and at most {_MOST} are taken for classes: if it is not a label, name the "
        f"labels by {spell('labels', 'masks/*')} or alike"
    )


def _hex(colour: Sequence[int]) -> str:
    return "#{:02X}{:02X}{:02X}".format(*colour[:3])
