"""Name the bands of a raster file by its own descriptions and metadata, and find bands by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rsuda.core.band_names import (
    are_numbers,
    band_names,
    colours_by_wavelength,
    colours_of,
    names_by_wavelength,
    own_names,
)
from rsuda.core.errors import InputError

_LENGTHS = {  # keys of band metadata: micrometres in one unit
    "central_wavelength_um": 1.0,
    "central_wavelength_nm": 1e-3,
    "wavelength": None,
    "central_wavelength": None,
    "centre_wavelength": None,
    "center_wavelength": None,
}


def names_in_file(
    descriptions: Sequence[str | None], tags: Callable[[], Sequence[Mapping[str, str]]]
) -> tuple[str, ...] | None:
    """Name bands by descriptions, else by the wavelengths in the bands' metadata; None if the file names none of its bands.

    Descriptions that only count ('Band_1', …) are not taken for names.

    Args:
        tags: reads the metadata of each band; only called where the descriptions name no colour.
    """
    texts = [str(text).strip() if text else "" for text in descriptions]
    are_names = all(texts) and len(set(texts)) == len(texts) and not are_numbers(texts)
    if are_names and colours_of(texts):
        return _names(texts)
    lengths = [_wavelength(fields) for fields in tags()]
    wavelengths = [length for length in lengths if length is not None]
    if len(wavelengths) == len(texts) == len(set(wavelengths)):
        if not are_names:
            return names_by_wavelength(wavelengths)
        colours = colours_by_wavelength(dict(zip(texts, wavelengths, strict=True)))
        return _names([colours.get(text, text) for text in texts])
    return _names(texts) if are_names else None


def find_numbers(
    bands: Sequence[str], names: Sequence[str] | None, descriptions: Sequence[str | None]
) -> list[int] | None:
    """Find the 1-based numbers of bands among the names of a file; None if it lacks one.

    Bands of runs of rsuda 0.1 have the file's descriptions as names, which are searched too.
    """
    own_order = own_names([str(text) for text in descriptions]) if descriptions and all(descriptions) else ()
    for order, bands_to_read in ((names, bands), (own_order, bands), (names, _names(bands))):
        if order and bands_to_read and set(bands_to_read) <= set(order):
            return [list(order).index(band) + 1 for band in bands_to_read]
    return None


def _names(texts: Sequence[str]) -> tuple[str, ...] | None:
    try:
        return band_names(list(texts))
    except InputError:  # two descriptions mean the same band
        return own_names(texts) if len(set(own_names(texts))) == len(texts) else None


def _wavelength(fields: Mapping[str, str]) -> float | None:
    """Read the wavelength of a band in micrometres, by its metadata."""
    lower = {key.lower(): value for key, value in fields.items()}
    for key, factor in _LENGTHS.items():
        try:
            value = float(lower[key])
        except (KeyError, ValueError):
            continue
        unit = lower.get("wavelength_units", "").lower()
        if factor is None:
            factor = 1.0 if unit.startswith(("um", "micro")) or (not unit and value < 100) else 1e-3
        if 0.1 < value * factor < 1000:
            return value * factor
    return None


def read_scaling(file: Any) -> tuple[tuple[float, float], ...]:
    """Read scale and offset of each band of an open file, by which stored numbers become physical values.

    A scale of 0, which says nothing, counts as 1.
    """
    return tuple((scale or 1.0, offset) for scale, offset in zip(file.scales, file.offsets, strict=True))
