"""Plan the maps of scenes before any is predicted: open the scenes, and check their names and the area of interest."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

from rsuda.core.errors import InputError, RsudaError, check_extra, joined_error
from rsuda.core.map_options import MapOptions
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell, spell_command
from rsuda.core.undecided import with_undecided
from rsuda.geo.maps.cog import creation_options
from rsuda.geo.polygons.files import check_located
from rsuda.geo.polygons.polygonise import check_footprints
from rsuda.geo.scenes.region import read_area, region_of
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.choose_scenes import choose_scenes
from rsuda.inference.map_job import MapJob
from rsuda.inference.mosaic_file import MosaicFile
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.scene_statistics import check_batch_norm

logger = logging.getLogger("rsuda")
CANNOT = "scenes could not be predicted"


def plan_maps(
    scenes: Sequence[str | Path], predictor: Predictor, options: MapOptions
) -> tuple[list[MapJob], list[RsudaError]]:
    """Check scenes and options, and plan a map for each scene that the area of interest touches.

    Returns:
        the maps; the errors of scenes in folders, globs and archives that cannot be used.

    Raises:
        InputError, MissingError: a named scene, all scenes, or an option cannot be used. No scene is touched. Two maps
            have one name.
    """
    spec = predictor.trained.spec
    if options.min_confidence:
        with_undecided(spec.legend)
        if not spec.temperature:
            advice = spell_command("calibrate", "RUN", labels="DOMAIN")
            logger.info("note: the model's confidence may be far from its accuracy: %s makes it honest", advice)
    if options.adapt == "statistics":
        check_batch_norm(predictor.trained)
    creation_options(options.co)
    check_footprints(options.regularise, spec.legend)
    if options.stac:
        check_extra("export", "pystac")
    tiles = scenes.tiles if isinstance(scenes, MosaicFile) else ()
    unnamed: frozenset[str | Path] = frozenset()
    if not isinstance(scenes, MosaicFile):
        scenes, notes, unnamed = choose_scenes(scenes)
        for note in notes:
            logger.info("note: %s", note)
    area = read_area(options.aoi) if options.aoi else None
    limits = f"the area of {spell('aoi')}" if options.aoi else f"the rectangle of {spell('bounds')}"
    opened, errors = _open_scenes(scenes, unnamed, spec, options)
    regions = [region_of(scene, area, options.bounds) for scene in opened]
    if opened and not any(regions):
        raise InputError(f"{limits} touches none of the scenes")
    jobs = []
    for scene, region in zip(opened, regions, strict=True):
        if region is None:
            logger.info("note: %s is left out: %s holds none of its pixels", scene.image, limits)
        else:
            check_located(options.polygons, scene.grid.crs is not None, scene.image)
            jobs.append(MapJob(scene, region, predictor, options, tiles if options.per_tile else ()))
    _check_names(jobs)
    return jobs, errors


def _open_scenes(
    scenes: Iterable[str | Path], unnamed: Container[str | Path], spec: Spec, options: MapOptions
) -> tuple[list[Scene], list[RsudaError]]:
    """Open the scenes, and collect the errors of unnamed ones. Raises the error of a named one, or of all."""
    opened: list[Scene] = []
    errors: list[RsudaError] = []
    for path in scenes:
        try:
            opened.append(
                open_scene(path, spec, bands=options.bands, gsd=options.gsd, crs=options.crs, nodata=options.nodata)
            )
        except RsudaError as error:
            if path not in unnamed:
                raise
            errors.append(error)
    if errors and not opened:
        raise joined_error(errors, len(errors), CANNOT)
    if errors:
        more = ", …" if len(errors) > 1 else ""
        count = len(opened) + len(errors)
        logger.info(
            "note: %d of %d scenes cannot be mapped, and the others are: %s%s", len(errors), count, errors[0], more
        )
    return opened, errors


def _check_names(jobs: Sequence[MapJob]) -> None:
    """Raise InputError for two maps of one name, also where the file system ignores case."""
    owners: dict[tuple[Path, str], MapJob] = {}
    for job in jobs:
        other = owners.setdefault((job.folder, normalize("NFC", job.raster.name).casefold()), job)
        if other is not job:
            why = (
                "" if other.raster == job.raster else ", which is the same file on systems that ignore case or accents"
            )
            raise InputError(
                f"{other.scene.image} and {job.scene.image} would both write {job.raster}{why}: use different output folders"
            )
