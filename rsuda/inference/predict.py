"""Predict scenes one by one into maps: classes, probabilities, polygons and their styles."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from rsuda.core.errors import InputError, RsudaError, joined_error
from rsuda.core.map_options import MapOptions
from rsuda.data.checks.files import check_readable
from rsuda.inference.column_tiles import tiled_strips
from rsuda.inference.map_job import MapJob
from rsuda.inference.mosaic_file import joined
from rsuda.inference.on_cluster import Cluster, cluster
from rsuda.inference.plan_maps import CANNOT, plan_maps
from rsuda.inference.prediction import Prediction
from rsuda.inference.predictor import Predictor
from rsuda.inference.scene_statistics import adapted
from rsuda.inference.segmenter import Segmenter
from rsuda.inference.write_map import finished_map, prepared_map, write_map
from rsuda.runs.folders import newest_run
from rsuda.runs.weights import TrainedNetwork, load_run

logger = logging.getLogger("rsuda")


class EmptyError(InputError):
    """A scene, or its part in the area of interest, without a valid pixel."""


Progress = Callable[[Path | str, int, int], None]  # scene, finished pixels, all pixels


OnScene = Callable[[Prediction], None]
PathLike = str | os.PathLike[str]


def predict(
    scenes: PathLike | Sequence[PathLike],
    model: PathLike | Segmenter | TrainedNetwork | None = None,
    out: PathLike | None = None,
    *,
    polygons: str | None = "gpkg",
    min_area: float = 0.0,
    simplify: float = 0.0,
    regularise: Sequence[str] = (),
    confidence: bool = False,
    probabilities: bool = False,
    co: Sequence[str] = (),
    stac: bool = False,
    overwrite: bool = False,
    window: int = 512,
    overlap: int = 128,
    batch_size: int = 4,
    tta: str = "none",
    precision: str = "auto",
    device: str = "auto",
    adapt: str = "none",
    min_confidence: float = 0.0,
    bands: str | None = None,
    gsd: float | None = None,
    nodata: float | None = None,
    crs: str | None = None,
    aoi: PathLike | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    mosaic: bool = False,
    per_tile: bool = False,
    scheduler: str | None = None,
    workers: int = 2,
    threads: int | None = None,
    progress: Progress | None = None,
    on_scene: OnScene | None = None,
) -> list[Prediction]:
    """Map scenes: write a class GeoTIFF and polygons for each.

    A scene that an earlier call finished with the same model and options is skipped. Where only options of the polygons are
    others, the finished map is used and not predicted again. An interrupted scene continues after its last finished strip.
    ``rsuda.core.map_options.MapOptions`` has the range of each option.

    Args:
        scenes: a raster, or several: files, folders, globs, or what GDAL can open ('https://…', 's3://…', '/vsi…').
            Maps that rsuda has written are left out.
        model: a run, its folder, or a loaded model; the newest run in runs/ by default.
        out: folder for the outputs; beside each scene by default, in the working folder for remote scenes.
        polygons: format of the polygons, such as 'gpkg', see core/vector_formats.py; None for no polygons.
        min_area: square metres; smaller patches of the polygons join a neighbour.
        simplify: metres by which borders of polygons are simplified; shared borders stay shared.
        regularise: classes whose footprints are squared, in a separate file.
        confidence, probabilities: whether to write the probability of the class, and of all classes, 0 to 254.
        co: creation options of GDAL's COG driver, 'NAME=VALUE'.
        stac: whether to write a STAC item of the outputs.
        overwrite: whether to replace existing outputs.
        window, overlap: pixels of the model's GSD; a larger overlap costs time and smooths borders a little.
        batch_size: windows in one forward pass.
        tta: test-time augmentation: 'none', 'flips' (4 views) or 'all' (8 views).
        precision: 'auto', 'bf16' or 'fp32'.
        device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.
        adapt: 'none', or 'statistics' for a model whose batch norms have each scene's own statistics, of one pass over
            up to 64 windows. Runs and their files stay as they are.
        min_confidence: probability below which a pixel is 'undecided', a class after those of the model, 0 to 1.
        bands: band order of the scenes, for files that do not name their bands ('RGBIR').
        gsd: metres per pixel, for scenes without a georeference.
        nodata: value that marks pixels without data, in all bands; the scenes' own by default.
        crs: for scenes that have a transform but no CRS ('EPSG:32632'; ISPRS tiles with world files).
        aoi: file of polygons; outputs end at their bounds and hold nodata outside. Scenes outside are left out.
        bounds: (left, bottom, right, top) in the CRS of the scenes, with the same effect.
        mosaic: whether the scenes are tiles of one scene. Windows then reach over their borders, and one map 'mosaic'
            is written, with the virtual raster mosaic.vrt of the tiles.
        per_tile: whether a mosaic has rasters for each tile, and a virtual raster of them, instead of one raster.
        scheduler: address of a Dask scheduler, or 'local' for one of ``workers`` processes on this machine.
        threads: CPU threads of each process; all cores, shared by local workers, by default. Up to 8 threads, files are
            equal to the byte at any number of them, on one machine and on a cluster. With more, or with the statistics of
            scenes, convolutions round differently: a few uint8 probabilities in a million move by 1.
        progress: called with a scene, its finished pixels and all its pixels.
        on_scene: called with each finished scene, before the next one begins.

    Returns:
        the files of each scene; ``classes()``, ``confidences()`` and ``polygons_frame()`` read them back.

    Raises:
        InputError, MissingError, ExistsError: for a named scene before anything is computed. At the end for scenes of a
            folder, glob or archive that cannot be used, and for pixels that cannot be read. Scenes without a valid pixel
            are left out; at the end, if no scene has one.

    Example:
        >>> import rsuda
        >>> scene = "sample_tiles/vaihingen/top/top_mosaic_09cm_area2.tif"
        >>> (written,) = rsuda.predict(scene, "runs/two", "maps", confidence=True)
        >>> written.raster.as_posix(), written.classes().shape == written.confidences().shape
        ('maps/top_mosaic_09cm_area2_classes.tif', True)
        >>> len(written.polygons_frame()) == written.polygon_count
        True
    """
    arguments = locals()
    options = MapOptions.of(**{name: arguments[name] for name in MapOptions.model_fields})
    paths = [scenes] if isinstance(scenes, str | os.PathLike) else scenes
    predictions = []
    for prediction in predict_scenes(
        [path if isinstance(path, str) else Path(path) for path in paths], model, options, progress=progress
    ):
        if on_scene is not None:
            on_scene(prediction)
        predictions.append(prediction)
    return predictions


def predict_scenes(
    scenes: Sequence[str | Path],
    model: PathLike | Segmenter | TrainedNetwork | None,
    options: MapOptions,
    *,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predict scenes one by one and yield each as soon as its files are written.

    The arguments and the errors are those of ``predict``.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    predictor = Predictor.of(_trained(model), **options.predictor.model_dump())
    with joined(scenes, options) as places:
        jobs, errors = plan_maps(places, predictor, options)
        finished = [job.is_finished() for job in jobs]  # raises ExistsError for files of anything else
    count = len(jobs) + len(errors)
    empty: list[EmptyError] = []
    with ExitStack() as stack:
        workers = stack.enter_context(cluster(options)) if options.scheduler else None
        if workers is not None:
            for job in (job for job, skip in zip(jobs, finished, strict=True) if not skip):
                stack.enter_context(job.open())
                job.reuse()
                workers.add(job)
        for job, skip in zip(jobs, finished, strict=True):
            try:
                yield _skip(job) if skip else _finish(job, workers, progress)
            except EmptyError as error:
                empty.append(error)
                if count > 1:
                    logger.info("note: %s: it is left out", error)
            except RsudaError as error:  # the other scenes are predicted all the same
                errors.append(error)
    if empty and len(empty) == len(jobs):
        others = f" (and {len(empty) - 1} other scene{'s' * (len(empty) > 2)})" if len(empty) > 1 else ""
        raise InputError(f"{empty[0]}{others}")
    if errors:
        raise joined_error(errors, count, CANNOT)


def map_scene(
    scene: str | Path, predictor: Predictor, options: MapOptions, *, progress: Progress | None = None
) -> Prediction:
    """Map one scene with a predictor that is ready. Errors are those of ``predict``."""
    (job,), _ = plan_maps([scene], predictor, options)
    return _finish(job, None, progress)


def _trained(model: PathLike | Segmenter | TrainedNetwork | None) -> TrainedNetwork:
    """Load the model of a run; the newest run for None."""
    if isinstance(model, Segmenter | TrainedNetwork):
        return model.trained if isinstance(model, Segmenter) else model
    return load_run(newest_run() if model is None else Path(model))


def _skip(job: MapJob) -> Prediction:
    job.clean_up()
    return finished_map(job)


def _finish(job: MapJob, workers: Cluster | None, progress: Progress | None) -> Prediction:
    """Predict what is missing of a map and write its files."""
    if workers is not None:  # the lock is held since the cluster began
        return _predict(job, workers, progress)
    with job.open():
        # another process may have finished the map since this one began
        return finished_map(job) if job.is_finished() else _predict(job, None, progress)


def _predict(job: MapJob, workers: Cluster | None, progress: Progress | None) -> Prediction:
    began = time.monotonic()
    reused, store = job.reuse(), job.store
    if not store.done:
        check_readable([job.scene])
    with prepared_map(job) as notes:
        pixels_finished = store.width * (store.height - sum(end - first for first, end in store.missing()))
        for pixels in workers.fill(job) if workers else _predict_missing(job):
            pixels_finished += pixels
            if progress:
                progress(job.scene.image, pixels_finished, store.height * store.width)
        if not job.has_data():
            job.discard()
            where = " in the area" if job.region.shapes else ": all of it is nodata or transparent"
            raise EmptyError(f"{job.scene.image} has no valid pixel{where}")
        rasters = job.rasters if reused else None
        prediction = write_map(job, notes)
    job.discard()
    all_notes = prediction.notes if rasters is None else (rasters.note, *prediction.notes)
    return replace(prediction, seconds=time.monotonic() - began, notes=all_notes)


def _predict_missing(job: MapJob) -> Iterator[int]:
    """Predict the missing strips of a map in this process; yields numbers of pixels."""
    ranges = job.store.missing()
    if not ranges:
        return
    predictor = adapted(job.predictor, job.scene, job.options.adapt)
    for first, end in ranges:
        pieces = tiled_strips(
            predictor,
            job.scene,
            job.region,
            rows=(first, end),
            strip_rows=job.store.strip_rows,
            probabilities=job.options.probabilities,
            min_confidence=job.options.min_confidence,
        )
        for strip in pieces:
            job.write(strip)
            yield strip.classes.size
