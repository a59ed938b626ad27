"""Scenes to files: class GeoTIFF, confidence, probabilities, polygons and their styles for QGIS."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import geopandas as gpd
import numpy as np
import rasterio
import torch
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from rsuda.core.atomic import make_folder
from rsuda.core.errors import ExistsError, InputError, RsudaError, WriteError
from rsuda.core.legend import IGNORE
from rsuda.core.locks import LOCK, exclusive
from rsuda.core.version import __version__
from rsuda.geo.attribute_table import attribute_table, write_attributes
from rsuda.geo.cog import creation_options, write_cog
from rsuda.geo.limits import check_disk
from rsuda.geo.polygons import check_footprints, polygonise, regularise, write_polygons
from rsuda.geo.qgis_styles import polygon_style, raster_style, share_style, write_style
from rsuda.geo.region import read_area, region_of
from rsuda.geo.stac_item import href, map_item, taken, write_item
from rsuda.inference.map_job import MapJob, MapOptions, is_finished, job_of, open_scene, tag_of
from rsuda.inference.on_cluster import Cluster, cluster
from rsuda.inference.prediction import Prediction
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import strip_rows, strips
from rsuda.inference.strip_store import StripStore
from rsuda.runs.weights import TrainedNetwork, load_run

_STRIPE = 512  # rows of a finished prediction that are read at once
logger = logging.getLogger("rsuda")
Progress = Callable[[Path | str, int, int], None]  # scene, pixels done, pixels in all


def predict(
    scenes: Sequence[str | Path],
    model: str | Path | TrainedNetwork,
    out: str | Path | None = None,
    polygons: str | None = "gpkg",
    confidence: bool = False,
    probabilities: bool = False,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    aoi: str | Path | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    min_area: float = 0.0,
    simplify: float = 0.0,
    regularise: Sequence[str] = (),
    co: Sequence[str] = (),
    overwrite: bool = False,
    stac: bool = False,
    progress: Progress | None = None,
    scheduler: str | None = None,
    workers: int = 2,
    threads: int | None = None,
    **engine: Any,
) -> Iterator[Prediction]:
    """Predict scenes one by one, and write a class GeoTIFF, polygons and their styles for each.

    A scene that was finished before with the same network and options is skipped; one that was broken off goes on from its
    last finished band.

    Args:
        scenes: rasters GDAL can read; also 'https://…', 's3://…' and '/vsi…'.
        model: a run folder, or a loaded one.
        out: folder for the outputs; beside each scene by default, in the working folder for remote ones.
        polygons, confidence, probabilities, min_area, simplify, regularise, co, overwrite, stac: see Outputs.
        bands: band order of the scenes, where their files do not tell ('RGBIR').
        gsd: metres per pixel, for scenes without a georeference.
        crs: for scenes that have a transform but no CRS ('EPSG:32632'; ISPRS tiles with world files).
        aoi: file of polygons; outputs end at their bounds and hold nodata outside of them. Scenes that they do not touch
            are left out.
        bounds: (left, bottom, right, top) in the CRS of the scenes, alike.
        progress: called with a scene, its finished pixels and all its pixels.
        scheduler: address of a Dask scheduler, or 'local' for one of ``workers`` processes on this machine.
        threads: CPU threads of each process; all cores, shared by local workers, by default. Convolutions round otherwise on
            another number of threads, which moves a few uint8 probabilities in a million by 1; at the same number a
            cluster's files are those of one machine to the byte.
        engine: device, precision, window, overlap, batch_size, tta; see Engine.

    Raises:
        InputError, MissingError, ExistsError: before anything is computed, for any of the scenes; at the end for scenes
            without a valid pixel or with pixels that cannot be read.
    """
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    trained = model if isinstance(model, TrainedNetwork) else load_run(model)
    running = Predictor.of(trained, **engine)
    outputs = MapOptions(
        Path(out) if out else None,
        polygons,
        min_area,
        simplify,
        tuple(regularise),
        confidence,
        probabilities,
        tuple(co),
        overwrite,
        stac,
    )
    check_footprints(outputs.regularise, running.trained.spec.legend)
    area = read_area(aoi) if aoi else None
    opened = [open_scene(s, running, bands, gsd, crs) for s in scenes]
    regions = [region_of(scene, area, bounds) for scene in opened]
    jobs = [job_of(s, r, running, outputs) for s, r in zip(opened, regions, strict=True) if r is not None]
    wanted = f"the {'area of --aoi' if aoi else 'rectangle of --bounds'}"
    if scenes and not jobs:
        raise InputError(f"{wanted} touches none of the scenes")
    for scene in (s for s, r in zip(opened, regions, strict=True) if r is None):
        logger.info("note: %s is left out: %s holds none of its pixels", scene.image, wanted)
    _check_apart(jobs)
    finished = [is_finished(job) for job in jobs]  # raises for outputs of something else
    failed: list[RsudaError] = []
    with cluster(scheduler, workers, threads) if scheduler else nullcontext() as spread, ExitStack() as held:
        stores: dict[Path, StripStore] = {}
        try:
            if spread is not None:
                for job, done in zip(jobs, finished, strict=True):
                    if not done:
                        held.enter_context(_alone(job))
                        stores[job.raster] = store = _store(job, running)
                        spread.add(store, running, job.scene, job.region, probabilities)
            for job, done in zip(jobs, finished, strict=True):
                try:
                    if done:
                        _tidy(job)
                        yield _skipped(job, running)
                        continue
                    with nullcontext() if spread is not None else _alone(job):
                        # another process may have made it since this one began
                        written = _skipped(job, running) if spread is None and is_finished(job) else None
                        if written is None:
                            store = stores[job.raster] = stores.get(job.raster) or _store(job, running)
                            written = _predicted(job, running, store, spread, progress)
                            store.remove_if_empty()
                    yield written
                except RsudaError as error:  # a scene whose pixels cannot be read takes none of the others with it
                    failed.append(error)
        finally:
            for store in stores.values():
                store.remove_if_empty()
    if failed:
        told = f"{len(failed)} of {len(jobs)} scenes could not be predicted: " if len(jobs) > 1 else ""
        raise type(failed[0])(told + "; ".join(map(str, failed)))


def _check_apart(jobs: Sequence[MapJob]) -> None:
    """Raises InputError for outputs that would have one name, here or where upper and lower case are the same."""
    named: dict[tuple[Path, str], MapJob] = {}
    for job in jobs:
        other = named.setdefault((job.raster.parent, normalize("NFC", job.raster.name).casefold()), job)
        if other is not job:
            told = "" if other.raster == job.raster else ", which is the same file on systems that take A for a"
            raise InputError(
                f"{other.scene.image} and {job.scene.image} would both be written to {job.raster}{told}: predict them apart"
            )


def _alone(job: MapJob) -> AbstractContextManager[None]:
    """Only this process writes the maps of a scene; others may write those of other scenes into the same folder."""
    folder = job.raster.parent
    make_folder(folder)
    return exclusive(folder / f".{job.raster.stem}{LOCK}", f"{job.raster}")


def _tidy(job: MapJob) -> None:
    """Remove what a process that was killed after its last file left of its work, unless another one is at it."""
    if job.work.is_dir():
        with suppress(ExistsError, WriteError), _alone(job):
            shutil.rmtree(job.work, ignore_errors=True)


def _store(job: MapJob, engine: Predictor) -> StripStore:
    """Where a job's finished bands are: classes, confidence, perhaps the probabilities of all classes."""
    planes = 2 + len(engine.trained.spec.legend) * job.outputs.probabilities
    grid = job.region.grid
    if not job.work.is_dir():  # what is there has its room already
        check_disk(2 * planes * grid.height * grid.width, job.work.parent, f"the prediction of {job.scene.image}")
    return StripStore(job.work, f"{job.key}-{planes}", planes, grid.height, grid.width, strip_rows(engine, job.scene))


def _predicted(
    job: MapJob, engine: Predictor, store: StripStore, spread: Cluster | None, progress: Progress | None
) -> Prediction:
    """Pixels band by band into the job's store, then all files, which are moved into their places at the end."""
    began, height, width = time.monotonic(), store.height, store.width
    done = height - sum(last - first for first, last in store.missing())
    for rows in spread.fill(store) if spread else _in_turn(job, engine, store):
        done += rows
        if progress:
            progress(job.scene.image, done * width, height * width)
    if not any((store.read(0, a, b) != IGNORE).any() for a, b in _stripes(height)):
        store.remove()
        where = " in the area" if job.region.shapes else ": all of it is nodata or transparent"
        raise InputError(f"{job.scene.image} has no valid pixel{where}")
    try:
        written = _files(job, engine, store, began)
    except (RasterioError, CPLE_BaseError, DataSourceError, DataLayerError, FeatureError, GeometryError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise WriteError(
            f"cannot write the files of {job.raster} ({reason}); is the disk full? What is predicted is kept, and the same "
            "command goes on from it"
        ) from error
    store.remove()
    return written


def _in_turn(job: MapJob, engine: Predictor, store: StripStore) -> Iterator[int]:
    """Predict what is missing; yields numbers of rows."""
    for first, last in store.missing():
        for strip in strips(engine, job.scene, job.region, first, last, job.outputs.probabilities):
            more = [] if strip.probabilities is None else list(strip.probabilities)
            store.write(strip.row, [strip.classes, strip.confidence, *more])
            yield strip.classes.shape[0]


def _stripes(height: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of what is read at once."""
    for row in range(0, height, _STRIPE):
        yield row, min(_STRIPE, height - row)


def _files(job: MapJob, engine: Predictor, store: StripStore, began: float) -> Prediction:
    spec, o, grid = engine.trained.spec, job.outputs, job.region.grid
    made = job.work / "made"
    shutil.rmtree(made, ignore_errors=True)
    tags = {
        "SOFTWARE": f"rsuda {__version__}", "RSUDA_RUN": engine.trained.path.name, "RSUDA_METHOD": engine.trained.method,
        "RSUDA_NETWORK": engine.trained.digest, "RSUDA_BANDS": ",".join(spec.bands), "RSUDA_GSD": f"{spec.gsd:g}",
        "RSUDA_PRECISION": engine.precision, "RSUDA_WINDOW": f"{engine.window}, overlap {engine.overlap}",
        "RSUDA_TTA": engine.tta, "RSUDA_SCENE": Path(str(job.scene.image)).name, "RSUDA_KEY": tag_of(job),
    }  # fmt: skip
    common: dict[str, Any] = {"tags": tags, "options": creation_options(o.co), "gcps": _gcps(job)}

    def plane(number: int) -> Callable[[int, int], np.ndarray]:
        return lambda row, count: store.read(number, row, count)

    write_cog(made / job.raster.name, [("class", plane(0))], grid, spec.legend, **common)
    write_style(raster_style(spec.legend), made / f"{job.raster.stem}.qml")
    if job.confidence:
        bands = [("confidence: probability of the class, 0 to 254 for 0 to 1", plane(1))]
        write_cog(made / job.confidence.name, bands, grid, **common)
        write_style(share_style(), made / f"{job.confidence.stem}.qml")
    if job.probabilities:
        bands = [(f"probability of {n}, 0 to 254 for 0 to 1", plane(2 + k)) for k, n in enumerate(spec.legend.names)]
        write_cog(made / job.probabilities.name, bands, grid, **common)
        write_style(share_style(), made / f"{job.probabilities.stem}.qml")
    notes, polygon_count = _notes(job, engine), None
    if job.polygons:
        pieces = ((store.read(0, a, b), store.read(1, a, b)) for a, b in _stripes(grid.height))
        frame: gpd.GeoDataFrame = polygonise(pieces, grid, spec.legend, job.scene.gsd, o.min_area, o.simplify)
        notes += frame.attrs.get("notes", [])
        write_polygons(frame, made / job.polygons.name)
        write_style(polygon_style(spec.legend), made / f"{job.polygons.stem}.qml")
        polygon_count = len(frame)
        if job.footprints:
            squared = regularise(frame, o.regularise, grid, spec.legend, job.scene.gsd)
            write_polygons(squared, made / job.footprints.name)
            write_style(polygon_style(spec.legend), made / f"{job.footprints.stem}.qml")
    counts = _counts(store.read(0, a, b) for a, b in _stripes(grid.height))
    pixel_m2 = job.scene.gsd[0] * job.scene.gsd[1]
    write_attributes(attribute_table(spec.legend, counts[: len(spec.legend)], pixel_m2), made / job.attributes.name)
    if job.stac:
        write_item(_item(job, engine, counts), made / job.stac.name)
    (job.work / "moving").touch()
    job.raster.parent.mkdir(parents=True, exist_ok=True)
    last = [made / f.name for f in job.files]
    for file in [*(f for f in sorted(made.iterdir()) if f not in last), *last]:
        os.replace(file, job.raster.parent / file.name)
    return replace(_skipped(job, engine, counts), polygon_count=polygon_count, seconds=time.monotonic() - began,
                   notes=tuple(notes), skipped=False)  # fmt: skip


def _counts(parts: Iterable[np.ndarray]) -> list[int]:
    """Pixels by their value, 0 to 255."""
    found = np.zeros(256, np.int64)
    for part in parts:
        found += np.bincount(part.ravel(), minlength=256)
    return found.tolist()


def _skipped(job: MapJob, engine: Predictor, counts: list[int] | None = None) -> Prediction:
    """What is there of a finished job."""
    spec, gsd = engine.trained.spec, job.scene.gsd
    if counts is None:
        with rasterio.open(job.raster) as file:
            parts = (file.read(1, window=((a, a + b), (0, file.width))) for a, b in _stripes(file.height))
            counts = _counts(parts)
    area = {n: float(c * gsd[0] * gsd[1]) for n, c in zip(spec.legend.names, counts[: len(spec.legend)], strict=True)}
    return Prediction(
        job.scene.image, job.raster, job.polygons, job.footprints, job.confidence, job.probabilities, job.stac, None, area,
        job.region.grid.height * job.region.grid.width, 0.0, (), True,
    )  # fmt: skip


def _item(job: MapJob, engine: Predictor, counts: list[int]) -> Any:
    """The STAC item of a job's files, which lie beside it."""
    trained = engine.trained
    rasters = {"classes": job.raster, "confidence": job.confidence, "probabilities": job.probabilities}
    vectors = {"polygons": job.polygons, "footprints": job.footprints}
    about = {"rsuda:run": trained.path.name, "rsuda:method": trained.method, "rsuda:network": trained.digest}
    return map_item(
        job.scene.name, job.region.grid, job.scene.gsd, trained.spec.legend, counts[: len(trained.spec.legend)],
        {k: v for k, v in rasters.items() if v}, {k: v for k, v in vectors.items() if v},
        href(job.scene.image, job.raster.parent), taken(job.scene.image), about,
    )  # fmt: skip


def _gcps(job: MapJob) -> tuple[list[Any], Any] | None:
    """Ground control points of a scene without a grid, for the region's pixels."""
    points, crs = job.scene.file.gcps
    if job.region.grid.georeferenced or not points:
        return None
    row, col, *_ = job.region.window
    return [rasterio.control.GroundControlPoint(p.row - row, p.col - col, p.x, p.y, p.z) for p in points], crs


def _notes(job: MapJob, engine: Predictor) -> list[str]:
    scene, wanted, notes = job.scene, engine.trained.spec.bands, []
    if scene.grid.crs is None:
        located = " but control points, which its rasters keep" if _gcps(job) else ""
        notes.append(f"{scene.image} has no CRS{located}, so neither have its outputs (--crs declares one)")
    named = scene.file.named_bands
    if named is None or not set(wanted) <= set(named):
        told = f"tagged {', '.join(named)}" if named else "not named"
        notes.append(f"the bands of {scene.image} are {told} and taken as {', '.join(wanted)}")
    return notes
