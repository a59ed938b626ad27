"""Convert several rasters of classes to polygons, named by files, folders and globs, as ``rsuda predict`` takes scenes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError, exists
from rsuda.core.spelling import spell
from rsuda.data.domain_files.legend import read_legend
from rsuda.geo.maps.class_raster import ClassRaster, class_raster_name
from rsuda.geo.rasters.raster import RasterFile, is_remote
from rsuda.geo.scenes.files import is_pattern, rasters_in
from rsuda.inference.raster_polygons import PathLike, Polygons, polygonize_raster

_CLASSES = "_classes"  # ends the names of maps of rsuda


def polygonize_several(
    rasters: Sequence[PathLike], out: PathLike | None = None, *, polygons: str | None = None, **options: Any
) -> Iterator[Polygons]:
    """Convert rasters of classes one by one, and yield the polygons of each as soon as its files are written.

    All rasters and names of files are checked before the first is converted. One raster alone is as in ``rsuda.polygonize``.

    Args:
        rasters: files, folders with their inner folders, or globs. Of a folder with maps of rsuda, these are taken alone.
        out: folder for NAME_polygons.gpkg; beside each raster by default. For one raster alone also its file.
        polygons: format, such as 'gpkg'.
        options: the other keywords of ``rsuda.polygonize``.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.
    """
    files = [file for place in rasters for file in _rasters(os.fspath(place))]
    files = list({os.path.abspath(str(file)): file for file in files}.values())
    is_one = len(files) == 1 and [str(files[0])] == [os.path.expanduser(os.fspath(place)) for place in rasters]
    if is_one and (out is None or not _is_folder(out)):
        yield polygonize_raster(files[0], out, polygons=polygons, **options)
        return
    outputs = _outputs(files, out, polygons or "gpkg")
    for file, output in outputs.items():
        if output.exists() and not options.get("overwrite"):
            raise exists(output)
        ClassRaster.of(RasterFile(file, nodata=options.get("nodata")), read_legend(options.get("legend")))
    for file, output in outputs.items():
        output.parent.mkdir(parents=True, exist_ok=True)
        yield polygonize_raster(file, output, polygons=polygons, **options)


def _is_folder(out: PathLike) -> bool:
    return os.fspath(out).endswith(("/", os.sep)) or Path(out).expanduser().is_dir()


def _rasters(place: str) -> list[Path | str]:
    """List the rasters of classes that a path, folder or glob names."""
    if is_remote(place):
        return [place]
    path = Path(place).expanduser()
    if not path.is_dir() and not is_pattern(str(path)):
        return [path]
    files = rasters_in(str(path))
    maps = [file for file in files if Path(file).stem.endswith(_CLASSES)]
    if not files:
        raise MissingError(f"there is no raster in {place}: name rasters of classes, or a folder of them")
    return [Path(file) for file in maps or files]


def _outputs(files: Sequence[Path | str], out: PathLike | None, suffix: str) -> dict[Path | str, Path]:
    """Name the file of polygons of each raster. Raises InputError for two rasters that would write one file."""
    if out is not None and not _is_folder(out) and Path(out).suffix:
        raise InputError(f"{out} is one file for the polygons of {len(files)} rasters: {spell('out')} is their folder")
    outputs: dict[Path | str, Path] = {}
    owners: dict[str, Path | str] = {}
    for file in files:
        folder = Path(out).expanduser() if out is not None else Path() if is_remote(file) else Path(file).parent
        outputs[file] = folder / f"{class_raster_name(file)}_polygons.{suffix}"
        other = owners.setdefault(os.path.abspath(outputs[file]).casefold(), file)
        if other != file:
            raise InputError(f"{other} and {file} would both write {outputs[file]}: use different output folders")
    return outputs
