"""Draw a stratified random sample of a map's pixels, to be labelled by a person."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from rsuda.accuracy.allocation import allocate, points_for
from rsuda.accuracy.chips import write_chips
from rsuda.accuracy.class_map import ClassMap, open_map
from rsuda.accuracy.draw import SamplePixels, draw
from rsuda.accuracy.extend import EarlierSample
from rsuda.accuracy.points_file import CHIP, COLUMNS, Design, write_points
from rsuda.accuracy.strata import Stratum, census, divide
from rsuda.core.errors import ExistsError, InputError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spelling import spell
from rsuda.core.version import __version__
from rsuda.data.domain_files.legend import read_legend

PathLike = str | os.PathLike[str]
_BANDS = 2  # of confidence, where none are chosen


@dataclass(frozen=True, kw_only=True)
class PointSample:
    """A sample of a map's pixels.

    Attributes:
        file: the GeoPackage of points.
        strata: the parts of the map, with the points drawn from each.
        points: number of points.
        seed: of the draws.
        unit: of areas: 'm2', or 'pixels' where the GSD is unknown.
        chips: folder of pictures of the points; None without them.
        notes: sentences for the user.
    """

    file: Path
    strata: tuple[Stratum, ...]
    points: int
    seed: int
    unit: str
    chips: Path | None
    notes: tuple[str, ...]

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "file": str(self.file),
            "points": self.points,
            "seed": self.seed,
            "unit": self.unit,
            "strata": [stratum.as_fields() for stratum in self.strata],
            "chips": self.chips and str(self.chips),
            "notes": list(self.notes),
        }


def sample(
    map: PathLike,
    out: PathLike = "points.gpkg",
    *,
    points: int | None = None,
    strata: str = "class",
    bands: int | None = None,
    allocation: str = "proportional",
    minimum: int = 20,
    expected: Mapping[str, float] | None = None,
    target_error: float | None = None,
    extend: PathLike | None = None,
    add: Mapping[str, int] | None = None,
    seed: int = 0,
    legend: PathLike | Legend | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    show_class: bool = False,
    chips: PathLike | None = None,
    image: PathLike | None = None,
    overwrite: bool = False,
) -> PointSample:
    """Draw a stratified random sample of a map's pixels, each with the same chance within its stratum.

    The points are numbered in random order, so that the first ones are a sample too: you may stop early.

    Args:
        map: raster of classes, or a folder or glob of the tiles of one map.
        out: GeoPackage of the points, with the strata and a style and form for QGIS.
        points: number of points; 300, or what ``target_error`` takes, by default.
        strata: 'class', or 'confidence' for bands of confidence within each class, from the raster beside the map.
        bands: of confidence in each class; 2 by default.
        allocation: 'proportional' to pixels, 'equal', or 'optimal' for overall accuracy (Neyman).
        minimum: least number of points of a stratum.
        expected: user's accuracy that is expected of a class, 0 to 1; by default the mean confidence, or 0.8.
        target_error: half the width of the interval of overall accuracy, from which ``points`` follows.
        extend: an earlier sample of the same map and strata, whose points, labels and seed stay.
        add: points that strata get beyond those of ``extend``, by name; ``rsuda.assess`` says how many are missing.
        seed: of the draws; equal seeds give equal points.
        legend, nodata, gsd, crs: what the raster lacks; see ``rsuda.polygonize``.
        show_class: whether the form shows the map's class, which may sway who labels.
        chips: folder for a picture of each point.
        image: scene that the pictures are cut out of.
        overwrite: whether to replace existing files.

    Returns:
        the file of the points, the strata and the points in each.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.

    Example:
        >>> import rsuda
        >>> points = rsuda.sample("maps/scene_classes.tif", "points.gpkg", points=200)
        >>> points.points
        200
    """
    path = Path(out).expanduser()
    folder = Path(chips).expanduser() if chips is not None else None
    _check(path, points, strata, bands, minimum, seed, folder, image, overwrite=overwrite)
    _check_added(add, extend, points, target_error)
    earlier = None
    if extend is not None:
        earlier = EarlierSample.read(extend)
        seed = earlier.seed
    with open_map(map, read_legend(legend), nodata=nodata, gsd=gsd, crs=crs) as map_:
        by_confidence = strata == "confidence"
        if by_confidence and map_.confidence is None:
            raise InputError(
                f"{map_.place} has no confidence beside it (NAME_confidence.tif of the same map): predict with "
                f"{spell('confidence', True)}, or pass {spell('strata', 'class')}"
            )
        counts = census(map_, confidence=map_.confidence is not None)
        parts, table = divide(map_, counts, (bands or _BANDS) if by_confidence else 1, _expected(expected, map_.legend))
        sizes, likely = [part.pixels for part in parts], [part.expected for part in parts]
        if target_error is not None:
            points = max(points_for(target_error, np.array(sizes, float), np.array(likely)), 2 * len(parts))
        if add is not None and earlier is not None:
            numbers, note = earlier.with_added(map_, parts, add)
        else:
            numbers, note = allocate(points or 300, sizes, likely, allocation, minimum)
            numbers = numbers if earlier is None else np.maximum(numbers, earlier.least(map_, parts))
        parts = [replace(part, points=int(number)) for part, number in zip(parts, numbers, strict=True)]
        pixels = draw(map_, parts, table, numbers, seed)
        unit = "pixels" if map_.pixel_m2 is None else "m2"
        frame = _frame(map_, parts, pixels)
        notes = [*map_.notes, *([note] if note else [])]
        if earlier is not None:
            frame = earlier.carry_labels(frame)
            notes += earlier.picture_notes(folder)
        if folder is not None and image is not None:
            files, more = write_chips(frame, image, folder, map_.grid, overwrite=overwrite)
            frame[CHIP], notes = [_beside(path, file) for file in files], [*notes, *more]
        facts = {
            "software": f"rsuda {__version__}",
            "map": str(map_.place),
            "digest": map_.digest(),
            "classes": map_.legend.names,
            "strata": strata,
            "allocation": allocation,
            "minimum": minimum,
            "seed": seed,
            "points": len(pixels),
            "unit": unit,
        }
        design = Design(tuple(parts), facts)
        write_points(frame, design, map_.legend, path, show_class=show_class, overwrite=overwrite)
    return PointSample(
        file=path,
        strata=tuple(parts),
        points=len(pixels),
        seed=seed,
        unit=unit,
        chips=folder,
        notes=tuple(notes),
    )


def _beside(points: Path, file: str) -> str:
    """Return a picture's path relative to the folder of the points, where their form looks for it."""
    try:
        return Path(os.path.relpath(file, points.parent)).as_posix()
    except ValueError:  # of another drive of Windows
        return str(Path(file).absolute())


def _check(
    out: Path,
    points: int | None,
    strata: str,
    bands: int | None,
    minimum: int,
    seed: int,
    chips: Path | None,
    image: PathLike | None,
    *,
    overwrite: bool,
) -> None:
    """Check, before anything is read, what does not depend on the map."""
    if out.suffix != ".gpkg":
        raise InputError(
            f"points are written as a GeoPackage, which holds their strata and form, and {out} ends otherwise: "
            f"name it {out.with_suffix('.gpkg').name}"
        )
    if out.exists() and not overwrite:
        raise ExistsError(
            f"{out} exists, perhaps with labels: choose another {spell('out')}, or pass {spell('overwrite', True)}"
        )
    if strata not in ("class", "confidence"):
        raise unknown(f"value of {spell('strata')}", strata, ("class", "confidence"))
    if bands is not None and (strata == "class" or not 2 <= bands <= 10):
        raise InputError(
            f"{spell('bands')} is {bands}; with {spell('strata', 'confidence')} it is a number from 2 to 10"
        )
    for name, value, least in (("points", points, 1), ("minimum", minimum, 2), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InputError(f"{spell(name)} is {value}; it must be at least {least}")
    if (chips is None) != (image is None):
        raise InputError(
            f"pictures of the points need a folder and a scene: pass {spell('chips')} and {spell('image')}"
        )
    if chips is not None and chips.exists() and (not chips.is_dir() or (any(chips.iterdir()) and not overwrite)):
        raise ExistsError(
            f"{chips} exists and is not an empty folder: choose another {spell('chips')}, or pass {spell('overwrite', True)}"
        )


def _check_added(
    add: Mapping[str, int] | None, extend: PathLike | None, points: int | None, target_error: float | None
) -> None:
    """Check numbers of points that are added to strata."""
    if add is None:
        return
    if extend is None:
        raise InputError(f"points are added to an earlier sample: name it by {spell('extend')}")
    if points is not None or target_error is not None:
        other = spell("points") if points is not None else spell("target_error")
        raise InputError(f"{spell('add')} gives the number of points by stratum: leave out {other}")
    for name, count in add.items():
        if count < 0:
            raise InputError(f"{spell('add')} of {name} is {count}; it must be at least 0")


def _expected(expected: Mapping[str, float] | None, legend: Legend) -> dict[str, float]:
    """Check expected accuracies by class."""
    for name, value in (expected or {}).items():
        if name not in legend.names:
            raise unknown(f"class of {spell('expected')}", name, legend.names)
        if not 0 <= value <= 1:
            raise InputError(f"{spell('expected')} of {name} is {value:g}; an accuracy is between 0 and 1")
    return dict(expected or {})


def _frame(map_: ClassMap, strata: list[Stratum], pixels: SamplePixels) -> gpd.GeoDataFrame:
    """Make the layer of points at the centres of their pixels."""
    shown_grid = replace(map_.grid, transform=map_.grid.display_transform)
    places = [shown_grid.world(row + 0.5, col + 0.5) for row, col in zip(pixels.rows, pixels.cols, strict=True)]
    point_strata = [strata[number] for number in pixels.stratum]
    columns: dict[str, Any] = {
        "id": np.arange(1, len(pixels) + 1),
        "reference": np.full(len(pixels), None, object),
        "note": np.full(len(pixels), None, object),
        "stratum": [stratum.name for stratum in point_strata],
        "map_class": [stratum.map_class for stratum in point_strata],
        "confidence": pixels.confidence,
        "probability": [stratum.points / stratum.pixels for stratum in point_strata],
        "weight": [stratum.pixels / stratum.points for stratum in point_strata],
        "area": map_.areas(pixels.rows + 0.5, pixels.cols + 0.5),
        "row": pixels.rows,
        "col": pixels.cols,
    }
    columns = {name: columns[name] for name in COLUMNS if name in columns and columns[name] is not None}
    return gpd.GeoDataFrame(columns, geometry=shapely.points(places), crs=map_.grid.crs)
