"""Convert one raster of classes to polygons that share their borders."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.errors import InputError, exists
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import spell
from rsuda.core.vector_formats import FORMATS
from rsuda.data.domain_files.legend import read_legend
from rsuda.geo.maps.class_raster import DECLARED_GSD, ClassRaster, class_raster_name, raster_tags
from rsuda.geo.polygons.files import check_located, read_polygons
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.late_imports import pandas as pd
from rsuda.geo.polygons.polygonise import check_footprints
from rsuda.geo.polygons.run_lengths import Strip
from rsuda.geo.rasters.raster import RasterFile, is_remote
from rsuda.geo.scenes.region import Region, read_area, region_of
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.confidence_file import confidence_beside
from rsuda.inference.write_layers import write_layers

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Polygons:
    """The polygons of a class raster. Nothing stays in memory: ``frame`` reads the file.

    Attributes:
        raster: the class raster.
        files: paths by what they hold: 'polygons', and 'footprints' where classes are squared.
        classes: names of the legend, in its order.
        count: number of polygons.
        area_m2: square metres of the polygons by class name.
        seconds: of reading and writing.
        notes: sentences for the user.
    """

    raster: Path | str
    files: Mapping[str, Path]
    classes: tuple[str, ...]
    count: int
    area_m2: dict[str, float]
    seconds: float
    notes: tuple[str, ...]

    @property
    def polygons(self) -> Path:
        """The file of polygons."""
        return self.files["polygons"]

    @property
    def footprints(self) -> Path | None:
        """The file of squared footprints; None if not written."""
        return self.files.get("footprints")

    def frame(self) -> gpd.GeoDataFrame:
        """Read the polygons with class, name, area_m2 and perhaps confidence, in the CRS of their file."""
        return read_polygons(self.polygons)

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "raster": str(self.raster),
            "polygons": str(self.polygons),
            "footprints": self.footprints and str(self.footprints),
            "classes": list(self.classes),
            "polygon_count": self.count,
            "area_m2": dict(self.area_m2),
            "seconds": self.seconds,
            "notes": self.notes,
        }


def polygonize_raster(
    raster: PathLike,
    out: PathLike | None = None,
    *,
    polygons: str | None = None,
    legend: PathLike | Legend | None = None,
    **values: Any,
) -> Polygons:
    """Convert one raster of classes to polygons.

    Args:
        raster, out, polygons, legend: as in ``rsuda.polygonize``.
        values: its other keywords, by name.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.
    """
    began = time.monotonic()
    options = MapOptions.of(polygons=_format(out, polygons), **values)
    path: Path | str = str(raster) if is_remote(os.fspath(raster)) else Path(raster).expanduser()
    files = _files(path, out, options)
    classes = ClassRaster.of(RasterFile(path, nodata=options.nodata), read_legend(legend))
    check_footprints(options.regularise, classes.legend)
    scene = _scene(path, options)
    check_located(options.polygons, scene.grid.crs is not None, path)
    region = region_of(scene, read_area(options.aoi) if options.aoi else None, options.bounds)
    if region is None:
        raise InputError(f"the area of {spell('aoi')} or {spell('bounds')} touches no pixel of {path}")
    source = _Source(classes, region, *_confidence(classes))
    table = write_layers(
        source.strips(),
        region.grid,
        classes.legend,
        scene.gsd,
        options,
        files,
        numbered=partial(_numbered, classes.numbers),
        overwrite=options.overwrite,
    )
    sums = pd.Series(table.columns["area_m2"]).groupby(table.columns["name"]).sum()
    return Polygons(
        raster=path,
        files=files,
        classes=classes.legend.names,
        count=len(table),
        area_m2={name: round(float(sums.get(name, 0.0)), 4) for name in classes.legend.names},
        seconds=time.monotonic() - began,
        notes=(*_scene_notes(scene), *source.notes, *table.notes),
    )


def _format(out: PathLike | None, polygons: str | None) -> str:
    """Choose the format of the polygons: as passed, else by the ending of the file, else GeoPackage."""
    if polygons == "none":
        raise InputError(f"polygonize writes polygons: choose a {spell('polygons')} other than none")
    if out is None:
        return polygons or "gpkg"
    suffix = Path(out).expanduser().suffix.lstrip(".").lower()
    if polygons is None and suffix not in FORMATS:
        raise InputError(
            f"{out} has no ending of a format: name it NAME.gpkg, or end it with one of {', '.join(FORMATS)}"
        )
    if polygons is not None and suffix != polygons:
        raise InputError(f"{out} does not end with .{polygons}: rename it, or leave {spell('polygons')} out")
    return suffix


def _files(path: Path | str, out: PathLike | None, options: MapOptions) -> dict[str, Path]:
    """Name the files. Raises ExistsError for one that exists, unless it may be overwritten."""
    folder = Path() if is_remote(path) else Path(path).parent
    name = class_raster_name(path)
    files = {"polygons": Path(out).expanduser() if out is not None else folder / f"{name}_polygons.{options.polygons}"}
    if options.regularise:
        stem = files["polygons"].stem.removesuffix("_polygons")
        files["footprints"] = files["polygons"].with_name(f"{stem}_footprints.{options.polygons}")
    existing = [file for file in files.values() if file.exists()]
    if existing and not options.overwrite:
        raise exists(existing[0])
    return files


def _scene(path: Path | str, options: MapOptions) -> Scene:
    """Take the raster as a scene with a GSD: declared, of the map's tags, or of its georeference."""
    gsd = options.gsd
    if gsd is None and (declared := raster_tags(path).get(DECLARED_GSD)):
        gsd = float(declared)
    return Scene(class_raster_name(path), path, declared_gsd=gsd, crs=options.crs, nodata=options.nodata)


def _scene_notes(scene: Scene) -> list[str]:
    notes = (
        []
        if scene.grid.crs
        else [f"{scene.image} has no CRS, so neither have its polygons ({spell('crs')} declares one)"]
    )
    return [*notes, scene.gsd_note] if scene.gsd_note else notes


def _numbered(numbers: Sequence[int], index: np.ndarray) -> np.ndarray:
    """Replace the indices (n,) of the classes by their numbers."""
    if tuple(numbers) == tuple(range(len(numbers))):
        return index
    values = np.array(numbers, np.int64)
    kind = np.int32 if np.abs(values).max() < 2**31 else np.int64
    return values.astype(kind)[index]


def _confidence(classes: ClassRaster) -> tuple[RasterFile | None, list[str]]:
    """Find the confidence raster of the same map beside a class raster, and notes for the user."""
    file, reason = confidence_beside(classes.file)
    return file, [f"{reason}, so the polygons have no confidence"] if reason else []


class _Source:
    """The strips of a region of a class raster, with confidences if there are any.

    Attributes:
        notes: sentences for the user, complete after the last strip.
    """

    def __init__(self, classes: ClassRaster, region: Region, confidence: RasterFile | None, notes: list[str]) -> None:
        self.classes, self.region, self.confidence, self.notes = classes, region, confidence, notes

    def strips(self) -> Iterator[Strip]:
        """Read strips of class indices, or of pairs with confidences.

        Raises InputError after the last strip if most of the raster is outside the legend, or none of it holds a class.
        """
        outside = inside = 0
        row, col, _, width = self.region.window
        with self.confidence.opened() if self.confidence else nullcontext():
            for first, indices, count in self.classes.strips(self.region.window):
                limits = self.region.inside(first, len(indices))
                classes = indices if limits is None else np.where(limits, indices, np.uint8(IGNORE))
                outside, inside = outside + count, inside + int(np.count_nonzero(classes != IGNORE))
                if self.confidence is None:
                    yield classes
                else:
                    pixels, _ = self.confidence.pixels([1], (row + first, col, len(classes), width))
                    yield classes, np.where(classes == IGNORE, np.uint8(IGNORE), pixels[0])
        self._check(outside, inside)

    def _check(self, outside: int, inside: int) -> None:
        legend, path = self.classes.legend, self.classes.file.path
        if outside > inside:
            raise InputError(
                f"{outside / (outside + inside):.0%} of the pixels of {path} are outside the legend "
                f"({', '.join(legend.names)}): choose another {spell('legend')}"
            )
        if not inside:
            raise InputError(f"no pixel of {path} holds a class")
        if outside:
            self.notes.append(f"{outside} pixels of {path} are outside the legend and in no polygon")
