"""What is to be done for each scene: its files, whether they are there already, and the key that tells."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

from rsuda.core.errors import ExistsError, InputError, check_extra
from rsuda.core.spec import Spec, band_names
from rsuda.core.version import __version__
from rsuda.geo.attribute_table import SUFFIX as ATTRIBUTES
from rsuda.geo.cog import creation_options
from rsuda.geo.polygons import check_format
from rsuda.geo.raster import is_remote
from rsuda.geo.region import Region
from rsuda.geo.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import check_gsd


@dataclass(frozen=True)
class MapOptions:
    """What is written for each scene.

    Attributes:
        folder: for the outputs; None for beside each scene (the working folder, for remote scenes).
        polygons: 'gpkg', 'fgb', 'geojson', 'parquet', or None for no polygons.
        min_area: square metres; smaller patches of the polygons take the class of a neighbour.
        simplify: metres; borders of the polygons are simplified by this much, those of neighbours alike.
        regularise: classes whose footprints, squared to right angles, go to a file of their own.
        confidence, probabilities: rasters of the probability of the class, and of all classes, 0 to 254 for 0..1.
        co: creation options of GDAL's COG driver, 'NAME=VALUE'.
        stac: a STAC item of the outputs.
    """

    folder: Path | None = None
    polygons: str | None = "gpkg"
    min_area: float = 0.0
    simplify: float = 0.0
    regularise: tuple[str, ...] = ()
    confidence: bool = False
    probabilities: bool = False
    co: tuple[str, ...] = ()
    overwrite: bool = False
    stac: bool = False

    def __post_init__(self) -> None:
        if self.polygons is not None:
            check_format(self.polygons)
        for name, value in (("min-area", self.min_area), ("simplify", self.simplify)):
            if not 0 <= value < float("inf"):
                raise InputError(f"--{name} must be at least 0, not {value:g}")
        if self.regularise and self.polygons is None:
            raise InputError("--regularise squares polygons, so it needs a --format other than none")
        if self.stac:
            check_extra("export", "pystac")
        creation_options(self.co)


@dataclass(frozen=True)
class MapJob:
    """A scene that can be predicted, and files that may be written.

    Attributes:
        key: of scene, network and everything that changes the result; the class raster carries it.
    """

    scene: Scene
    region: Region
    raster: Path
    polygons: Path | None
    footprints: Path | None
    confidence: Path | None
    probabilities: Path | None
    stac: Path | None
    key: str
    outputs: MapOptions

    @property
    def attributes(self) -> Path:
        """The class raster's attribute table."""
        return self.raster.with_name(self.raster.name + ATTRIBUTES)

    @property
    def files(self) -> list[Path]:
        """Data files, the class raster last: where it is, all are."""
        data = (self.confidence, self.probabilities, self.footprints, self.polygons, self.stac, self.attributes)
        return [*(f for f in data if f), self.raster]

    @property
    def work(self) -> Path:
        """The folder of what is not finished, hidden beside the outputs."""
        return self.raster.parent / f".{self.raster.stem}-{self.key[:12]}"


def open_scene(path: str | Path, engine: Predictor, bands: str | None, gsd: float | None, crs: str | None) -> Scene:
    """A scene that the network can be shown. Everything that a user can get wrong about it shows here."""
    return scene_for(path, engine.trained.spec, bands, gsd, crs)


def scene_for(path: str | Path, spec: Spec, bands: str | None, gsd: float | None, crs: str | None) -> Scene:
    """The same by what the network expects of pixels, without the network."""
    image = path if is_remote(path) else Path(path)
    stem = re.sub(r"[?#].*", "", str(path)).rstrip("/").rpartition("/")[2] if is_remote(path) else Path(path).name
    name = re.sub(r"[\x00-\x1f\x7f]", "_", Path(stem).stem)  # GDAL's writers take no line breaks
    scene = Scene(name, image, None, band_names(bands) if bands else None, gsd, crs)
    if len(os.fsencode(scene.name)) > 200 or not scene.name:
        raise InputError(f"'{scene.name[:50]}…' is no name that outputs could have: call the file {path} otherwise")
    scene.file.band_numbers(spec.bands)
    check_gsd(scene, spec.gsd)
    if scene.file.grid.height * scene.file.grid.width == 0:
        raise InputError(f"{path} has no pixels")
    return scene


def job_of(scene: Scene, region: Region, engine: Predictor, outputs: MapOptions) -> MapJob:
    folder = outputs.folder or (Path() if is_remote(scene.image) else Path(scene.image).parent)
    o = outputs

    def file(asked: object, ending: str) -> Path | None:
        return folder / f"{scene.name}_{ending}" if asked else None

    raster = file(True, "classes.tif")
    assert raster is not None
    return MapJob(
        scene, region, raster, file(o.polygons, f"polygons.{o.polygons}"),
        file(o.regularise, f"footprints.{o.polygons}"), file(o.confidence, "confidence.tif"),
        file(o.probabilities, "probabilities.tif"), file(o.stac, "stac.json"), _key(scene, region, engine), outputs,
    )  # fmt: skip


def _key(scene: Scene, region: Region, engine: Predictor) -> str:
    """A digest of what the pixels of the result depend on."""
    file = None if is_remote(scene.image) else os.stat(scene.image)
    told = {
        "version": __version__, "network": engine.trained.digest, "scene": Path(str(scene.image)).name,
        "file": file and [file.st_size, file.st_mtime_ns], "grid": [scene.grid.height, scene.grid.width],
        "bands": scene.bands, "gsd": scene.gsd, "crs": scene.grid.crs and scene.grid.crs.to_wkt(),
        "region": [region.window, repr(region.shapes)], "window": engine.window, "overlap": engine.overlap, "tta": engine.tta,
        "precision": engine.precision,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_finished(job: MapJob) -> bool:
    """Whether all files of a job are there, made by this very job. Raises ExistsError for files made by anything else."""
    if job.outputs.overwrite:
        return False
    there = [f for f in job.files if f.exists()]
    if not there or (job.work / "moving").exists():  # broken off while the files were moved into their places
        return False
    if there == job.files and _key_of(job.raster) == tag_of(job):
        return True
    raise ExistsError(f"{there[0]} exists: pass --overwrite to replace it, or choose another --out")


def tag_of(job: MapJob) -> str:
    """The key with the options that change the files and not the pixels."""
    o = job.outputs
    made = json.dumps(
        [o.polygons, o.min_area, o.simplify, o.regularise, o.confidence, o.probabilities, sorted(o.co), o.stac]
    )
    return f"{job.key}-{hashlib.sha256(made.encode()).hexdigest()[:8]}"


def _key_of(raster: Path) -> str | None:
    try:
        with rasterio.open(raster) as file:
            key: str | None = file.tags().get("RSUDA_KEY")
            return key
    except RasterioError:
        return None
