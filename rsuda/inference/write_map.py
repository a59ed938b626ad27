"""Write all files of a finished map, and move them into place with the class raster last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from rsuda.core.display import quoted
from rsuda.core.errors import WriteError
from rsuda.core.machine import usable_cores
from rsuda.core.spelling import spell
from rsuda.core.version import __version__
from rsuda.data.checks.suitability import scene_doubts
from rsuda.geo.maps.attribute_table import attribute_table, write_attributes
from rsuda.geo.maps.class_raster import DECLARED_GSD
from rsuda.geo.maps.cog import creation_options, write_cog
from rsuda.geo.maps.mosaic import Mosaic
from rsuda.geo.maps.qgis_styles import raster_style, share_style, write_style
from rsuda.geo.maps.stac_item import MapRaster, acquisition_time, href, map_item, write_item
from rsuda.geo.polygons.files import quiet_vectors
from rsuda.geo.polygons.late_imports import load_tables, pyogrio
from rsuda.geo.rasters.collars import find_collar
from rsuda.geo.rasters.raster import quiet
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.finished_rasters import KEY
from rsuda.inference.map_job import MapJob, row_blocks
from rsuda.inference.prediction import Prediction
from rsuda.inference.products import CLASSES, PRODUCTS, Product
from rsuda.inference.write_layers import write_layers

_FEW = 16  # classes that are counted one by one


@contextmanager
def prepared_map(job: MapJob) -> Iterator[Future[list[str]]]:
    """Prepare what a map needs beside its pixels, in a thread: the libraries of polygons, and notes for the user.

    It takes the time that forward passes leave a core idle.
    """
    # warnings are filtered outside of the threads, since each thread ends its filters in all of them
    with quiet(), quiet_vectors(), ThreadPoolExecutor(1) as beside:
        yield beside.submit(copy_context().run, _prepare, job)


def _prepare(job: MapJob) -> list[str]:
    if "polygons" in job.files:
        load_tables()
    return scene_notes(job, replace(job.scene))  # with a file of its own: a handle is shared by turns


def write_map(job: MapJob, notes: Future[list[str]]) -> Prediction:
    """Write the files of a job whose strips are all finished.

    They are written into a hidden folder and then moved into place. The class raster moves last: where it is, all are.
    Finished rasters with the same pixels stay as they are; then their attribute file moves last and has the new tag.

    Args:
        notes: those of ``prepared_map``, in whose context this runs.

    Raises WriteError when a file cannot be written; the finished strips stay.
    """
    with _write_error(job):
        shutil.rmtree(job.staging, ignore_errors=True)
        # polygons need one core and little of the disk, so the rasters are written beside them
        with ThreadPoolExecutor(2) as beside:
            rasters = beside.submit(copy_context().run, _write_rasters, job)
            pixels = beside.submit(_count_classes, job.blocks(), len(job.legend))
            polygon_count, of_polygons = _write_vectors(job) if "polygons" in job.files else (None, [])
            rasters.result()
        counts = pixels.result()
        _write_descriptions(job, counts)
        _move_into_place(job)
    prediction = finished_map(job, counts)
    return replace(prediction, polygon_count=polygon_count, notes=(*notes.result(), *of_polygons), skipped=False)


def finished_map(job: MapJob, counts: list[int] | None = None) -> Prediction:
    """Describe the files of a finished job.

    Args:
        counts: pixels by class; read from the class raster by default.
    """
    if counts is None:
        with quiet(), rasterio.open(job.raster) as file:
            blocks = (
                file.read(1, window=((row, row + count), (0, file.width))) for row, count in row_blocks(file.height)
            )
            counts = _count_classes(blocks, len(job.legend))
    names, pixel = job.legend.names, job.scene.gsd[0] * job.scene.gsd[1]
    return Prediction(
        scene=job.scene.image,
        files={name: path for name, path in job.files.items() if name != "attributes"},
        area_m2={name: float(count * pixel) for name, count in zip(names, counts, strict=True)},
        pixels=job.region.grid.height * job.region.grid.width,
    )


def scene_notes(job: MapJob, scene: Scene) -> list[str]:
    """Tell the user what was assumed about the scene of a job: a missing CRS, bands without names."""
    expected, notes = job.predictor.trained.spec.bands, []
    if scene.grid.crs is None:
        points = "control points" if _control_points(job) else "RPCs" if _coefficients(job) is not None else ""
        points_note = f" but {points}, which its rasters keep" if points else ""
        notes.append(
            f"{scene.image} has no CRS{points_note}, so neither have its outputs ({spell('crs')} declares one)"
        )
    if scene.gsd_note:
        notes.append(scene.gsd_note)
    band_names = scene.file.band_order
    if band_names is None or not set(expected) <= set(band_names):
        names = f"tagged {', '.join(band_names)}" if band_names else "not named"
        notes.append(f"the bands of {scene.image} are {names} and taken as {', '.join(expected)}")
    if collar := find_collar(scene.file, scene.file.band_numbers(expected)):
        notes.append(f"{scene.image}: {collar}")
    return [*notes, *scene_doubts(scene, job.predictor.trained.spec)]


def _writing_failed() -> tuple[type[Exception], ...]:
    """List what the libraries raise when they cannot write."""
    of = pyogrio.errors
    return RasterioError, CPLE_BaseError, of.DataSourceError, of.DataLayerError, of.FeatureError, of.GeometryError


@contextmanager
def _write_error(job: MapJob) -> Iterator[None]:
    """Raise WriteError for what the libraries raise when they cannot write."""
    try:
        yield
    except _writing_failed() as error:
        reason = quoted(error.__cause__ or error)
        raise WriteError(
            f"cannot write the files of {job.raster} ({reason}); the disk may be full. Finished strips stay: run the "
            "same command again to continue"
        ) from error


def _write_rasters(job: MapJob) -> None:
    for product in PRODUCTS:
        if product.name in job.files and not job.keeps_rasters:
            _write_raster(job, product)


def _write_raster(job: MapJob, product: Product) -> None:
    path, categorical = job.staging / job.files[product.name].name, product is CLASSES
    legend = job.legend if categorical else job.predictor.trained.spec.legend
    bands = [
        (description, job.rows_of(product.first_plane + i))
        for i, description in enumerate(product.descriptions(legend))
    ]
    style = raster_style(legend) if categorical else share_style()
    how: dict[str, Any] = {
        "legend": legend if categorical else None,
        "tags": _tags(job),
        "options": {**_threads_beside(job), **creation_options(job.options.co)},
    }
    write_style(style, path.with_suffix(".qml"))
    if not job.options.per_tile:
        write_cog(path, bands, job.region.grid, gcps=_control_points(job), rpcs=_coefficients(job), **how)
        return
    files = [path.with_name(f"{tile.name}_{product.name}.tif") for tile in job.tiles]
    for file, tile in zip(files, job.tiles, strict=True):
        write_cog(file, tile.bands(bands), job.region.grid.window(*tile.window), **how)
        write_style(style, file.with_suffix(".qml"))
    path.write_text(Mosaic.of(files).as_vrt(path.parent), encoding="utf-8", newline="\n")


def _threads_beside(job: MapJob) -> dict[str, str]:
    """Leave a core to the polygons, which take longer than the rasters: the creation option of GDAL's threads."""
    return {"NUM_THREADS": str(max(1, usable_cores() - 1))} if "polygons" in job.files else {}


def _write_vectors(job: MapJob) -> tuple[int, list[str]]:
    """Write polygons, footprints and their styles. Returns the number of polygons and notes for the user."""
    strips = zip(job.blocks(0), job.blocks(1), strict=True)
    layers = [name for name in job.files if name in ("polygons", "footprints")]
    files = {name: job.staging / job.files[name].name for name in layers}
    table = write_layers(strips, job.region.grid, job.legend, job.scene.gsd, job.options, files)
    return len(table), list(table.notes)


def _write_descriptions(job: MapJob, counts: list[int]) -> None:
    """Write the attribute table and the STAC item."""
    legend = job.legend
    pixel = job.scene.gsd[0] * job.scene.gsd[1]
    tags = {KEY: job.tag} if job.keeps_rasters else {}
    table = attribute_table(legend, counts, pixel, tags)
    write_attributes(table, job.staging / job.files["attributes"].name)
    if "stac" in job.files:
        write_item(_item(job, counts), job.staging / job.files["stac"].name)


def _move_into_place(job: MapJob) -> None:
    job.moving.touch()
    job.folder.mkdir(parents=True, exist_ok=True)
    last = [job.staging / path.name for path in job.files.values()]
    first = [path for path in sorted(job.staging.iterdir()) if path not in last]
    for path in [*first, *last]:
        if path.exists():  # a raster that stays has none
            os.replace(path, job.folder / path.name)


def _count_classes(blocks: Iterable[np.ndarray], classes: int) -> list[int]:
    """Count the pixels of each class."""
    counts = np.zeros(classes, np.int64)
    for block in blocks:
        if classes > _FEW:
            for row in block:  # numpy counts int64, eight times as large
                counts += np.bincount(row, minlength=256)[:classes]
        else:  # a comparison for each class takes a quarter of the time
            counts += [np.count_nonzero(block == k) for k in range(classes)]
    return counts.tolist()


def _tags(job: MapJob) -> dict[str, str]:
    """Make the tags of the rasters: how they were made."""
    predictor, trained = job.predictor, job.predictor.trained
    return {
        "SOFTWARE": f"rsuda {__version__}",
        "RSUDA_RUN": trained.name,
        "RSUDA_METHOD": trained.method,
        "RSUDA_NETWORK": trained.digest,
        "RSUDA_BANDS": ",".join(trained.spec.bands),
        "RSUDA_GSD": f"{trained.spec.gsd:g}",
        "RSUDA_PRECISION": predictor.precision,
        "RSUDA_WINDOW": f"{predictor.window}, overlap {predictor.overlap}",
        "RSUDA_TTA": predictor.tta,
        **({} if job.options.adapt == "none" else {"RSUDA_ADAPT": job.options.adapt}),
        **({"RSUDA_MIN_CONFIDENCE": f"{job.options.min_confidence:g}"} if job.options.min_confidence else {}),
        "RSUDA_SCENE": Path(str(job.scene.image)).name,
        **({} if job.scene.declared_gsd is None else {DECLARED_GSD: repr(float(job.scene.declared_gsd))}),
        KEY: job.tag,
    }


def _control_points(job: MapJob) -> tuple[list[Any], Any] | None:
    """Ground control points of a scene without a grid, in pixels of the region, and their CRS."""
    points, crs = job.scene.file.gcps
    if job.region.grid.georeferenced or not points:
        return None
    row, col, *_ = job.region.window
    return [
        rasterio.control.GroundControlPoint(point.row - row, point.col - col, point.x, point.y, point.z)
        for point in points
    ], crs


def _coefficients(job: MapJob) -> Any:
    """RPCs of a scene without a grid, in pixels of the region; None without them."""
    rpcs = getattr(job.scene.file, "rpcs", None)
    if job.region.grid.georeferenced or rpcs is None:
        return None
    row, col, *_ = job.region.window
    region_rpcs = copy(rpcs)
    region_rpcs.line_off, region_rpcs.samp_off = rpcs.line_off - row, rpcs.samp_off - col
    return region_rpcs


def _item(job: MapJob, counts: list[int]) -> Any:
    """Build the STAC item of a job's files."""
    trained, legend = job.predictor.trained, job.legend
    rasters = {
        product.name: MapRaster(
            job.files[product.name], product.title, categorical=product is CLASSES, per_class=product.per_class
        )
        for product in (CLASSES, *(raster for raster in PRODUCTS if raster is not CLASSES))
        if product.name in job.files
    }
    return map_item(
        job.scene.name,
        job.region.grid,
        gsd=job.scene.gsd,
        legend=legend,
        counts=counts,
        rasters=rasters,
        vectors={name: job.files[name] for name in ("polygons", "footprints") if name in job.files},
        source=href(job.scene.image, job.folder),
        when=acquisition_time(job.scene.image),
        properties={
            "rsuda:run": trained.name,
            "rsuda:method": trained.method,
            "rsuda:network": trained.digest,
        },
    )
