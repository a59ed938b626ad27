"""Describe the images of a draft: band order, GSD, CRS and nodata of a delivery, from the headers of some files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsuda.core.errors import InputError
from rsuda.core.spec import band_code, band_names
from rsuda.data.drafts.pairing import words
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.raster import RasterFile

_HEADERS = 50  # files whose headers are read
_CODES = {
    "rgb": "RGB", "tci": "RGB", "irrg": "IRRG", "cir": "IRRG", "rgbir": "RGBIR", "rgbnir": "RGBIR", "rgbn": "RGBIR",
    "rgbi": "RGBIR",
}  # fmt: skip


@dataclass(frozen=True)
class DraftImages:
    """The images of one delivery.

    Attributes:
        bands: band names in file order.
        bands_from: where they come from, for a comment.
        count: number of bands of the files, with alpha.
        dtypes: data types of the files.
        gsd: the finest and the coarsest GSD in metres; None if no file has one.
        systems: CRSs of the files, the most frequent first; 'none' for a file without.
        nodata: nodata values of the files.
        grids: grids of the files that were read.
        notes: sentences for the user.
    """

    bands: tuple[str, ...]
    bands_from: str
    count: int
    dtypes: tuple[str, ...]
    gsd: tuple[float, float] | None
    systems: tuple[str, ...]
    nodata: tuple[float, ...]
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]

    @property
    def code(self) -> str:
        """The band order as a domain file's mapping names it."""
        return band_code(self.bands)


def describe_images(files: Sequence[Path | str], template: str) -> DraftImages:
    """Describe a delivery by the headers of at most 50 files.

    Args:
        template: pattern of the files, whose words may name the bands.

    Raises:
        MissingError: a file is unreadable.
        InputError: the files have different numbers of bands.
    """
    rasters = [RasterFile(file) for file in files[:: max(1, -(-len(files) // _HEADERS))]]
    counts = {raster.count: raster for raster in rasters}
    if len(counts) > 1:
        examples = " and ".join(f"{count} in {raster.path}" for count, raster in list(counts.items())[:2])
        raise InputError(
            f"the images {template} have different numbers of bands, {examples}: put each kind into a folder of its own"
        )
    bands, origin, notes = _bands(rasters[0], template)
    sizes, systems = [], Counter[str]()
    for raster in rasters:
        systems[raster.grid.crs.to_string() if raster.grid.crs else "none"] += 1
        try:
            metres = raster.grid.metres()
        except InputError as error:
            notes.append(f"{raster.path}: {error}")
            metres = None
        sizes += [sum(metres) / 2] if metres else []
    dtypes = tuple(dict.fromkeys(raster.dtype for raster in rasters))
    if len(dtypes) > 1:
        notes.append(f"the images {template} have different types of pixels ({', '.join(dtypes)})")
    return DraftImages(
        bands=bands,
        bands_from=origin,
        count=rasters[0].count,
        dtypes=dtypes,
        gsd=(round(min(sizes), 6), round(max(sizes), 6)) if sizes else None,
        systems=tuple(name for name, _ in systems.most_common()),
        nodata=tuple(dict.fromkeys(raster.nodata for raster in rasters if raster.nodata is not None)),
        grids=tuple(raster.grid for raster in rasters),
        notes=tuple(dict.fromkeys(notes)),
    )


def _bands(raster: RasterFile, template: str) -> tuple[tuple[str, ...], str, list[str]]:
    """Find band names and their origin, and write notes."""
    for word in words(template):
        names = band_names(_CODES[word]) if word in _CODES else ()
        if names and len(names) == raster.count:
            return names, f"by '{word}' in the name", []
    try:
        if raster.band_order is not None:
            false = " (false colour is often tagged so: IRRG if plants are red)" if raster.count == 3 else ""
            return raster.band_order, f"as the files say{false}", []
    except InputError:  # a band occurs twice
        pass
    guesses = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "ir")}
    guess = guesses.get(raster.count) or tuple(f"band_{number}" for number in range(1, raster.count + 1))
    note = (
        f"the {raster.count} bands of {template} have no names, and {band_code(guess)[:60]} is a guess: check 'bands:'"
    )
    return guess, "a guess, since the files do not name them: check it", [note]
