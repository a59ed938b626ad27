"""From a scene to class probabilities on the network's grid, classes on the scene's own grid, and files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsuda import __version__
from rsuda.device import autocast, pick_device, pick_precision
from rsuda.errors import ExistsError, InputError
from rsuda.legend import IGNORE
from rsuda.network import STRIDE
from rsuda.raster import axis_weights, weigh, write_classes
from rsuda.run import Trained, load_run
from rsuda.scene import Scene
from rsuda.spec import band_names
from rsuda.tiles import blend_weights, starts
from rsuda.vector import check_format, polygonise, write_polygons

FARTHEST = 20  # a scene whose GSD is further from the network's than this factor is refused


@dataclass(frozen=True)
class Prediction:
    """``classes`` (H, W) uint8, 255 where the scene has no data; ``confidence`` (H, W) uint8, 0 to 254 for 0..1."""

    classes: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Written:
    """What was written for a scene: files, polygon count, square metres by class, seconds, notes for the user."""

    scene: Path
    raster: Path
    polygons: Path | None
    polygon_count: int | None
    area_m2: dict[str, float]
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Engine:
    """A network on a device, with its windowing.

    Attributes:
        window: pixels per side of the windows fed to the network, a multiple of 32.
        overlap: pixels that neighbouring windows share at least.
    """

    trained: Trained
    device: torch.device
    precision: str
    window: int = 512
    overlap: int = 128
    batch_size: int = 4

    @staticmethod
    def of(
        trained: Trained,
        device: str = "auto",
        precision: str = "auto",
        window: int = 512,
        overlap: int = 128,
        batch_size: int = 4,
    ) -> Engine:
        """Raises InputError when the window is not a multiple of 32, the overlap does not fit in it, or a batch is empty."""
        if window < STRIDE or window % STRIDE:
            raise InputError(f"the tile size must be a multiple of {STRIDE}, not {window}")
        if not 0 <= overlap < window:
            raise InputError(f"the overlap must be at least 0 and below the tile size {window}, not {overlap}")
        if batch_size < 1:
            raise InputError(f"the batch size must be at least 1, not {batch_size}")
        where = pick_device(device)
        trained.model.to(where).to(memory_format=torch.channels_last).eval()
        return Engine(trained, where, pick_precision(precision, where), window, overlap, batch_size)

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (B, K, h, w) float32 of images (B, bands, h, w) on 0..1."""
        spec = self.trained.spec
        mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
        x = ((torch.from_numpy(images) - mean) / std).to(self.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.precision, self.device):
            logits = self.trained.model(x)
        return logits.float().softmax(1).cpu().numpy()

    def scene(self, scene: Scene) -> Prediction:
        """Predict a whole scene, on its own grid.

        The scene is read at the network's GSD in overlapping windows, whose probabilities are blended by a partition of
        unity; the blend is brought to the scene's own pixels and only then turned into classes.
        """
        spec = self.trained.spec
        check_gsd(scene, spec.gsd)
        grid = scene.grid_at(spec.gsd)
        blend = np.zeros((len(spec.legend), grid.height, grid.width), np.float32)
        rows, cols = (starts(n, self.window, self.window - self.overlap) for n in (grid.height, grid.width))
        down, across = blend_weights(grid.height, self.window, rows), blend_weights(grid.width, self.window, cols)
        places = [(i, j) for i in range(len(rows)) for j in range(len(cols))]
        for k in range(0, len(places), self.batch_size):
            some = places[k : k + self.batch_size]
            images = np.stack([self._read(scene, rows[i], cols[j], grid.height, grid.width) for i, j in some])
            for (i, j), found in zip(some, self.probabilities(images), strict=True):
                height, width = min(self.window, grid.height - rows[i]), min(self.window, grid.width - cols[j])
                weight = down[i][:height, None] * across[j][None, :width]
                blend[:, rows[i] : rows[i] + height, cols[j] : cols[j] + width] += found[:, :height, :width] * weight
        return self._on_own_grid(blend, scene)

    def tile(self, scene: Scene, row: int, col: int, size: int) -> np.ndarray:
        """Classes (size, size) of one tile of the scene's own pixels, predicted by itself, as published protocols do."""
        spec, step = self.trained.spec, scene.step(self.trained.spec.gsd)
        patch = scene.read(spec.bands, None, (row, col, size, size))
        image = spec.unit(patch.values) * patch.valid
        counts = [max(1, round(size / s)) for s in step]
        there = [axis_weights(size, 0.0, size / n, n)[2] for n in counts]
        back = [axis_weights(n, 0.0, n / size, size)[2] for n in counts]
        resized = weigh(image, *there)
        missing = [(0, 0), *((0, -n % STRIDE) for n in counts)]
        found = self.probabilities(np.pad(resized, missing, mode="symmetric")[None])[0, :, : counts[0], : counts[1]]
        return np.where(patch.valid, weigh(found, *back).argmax(0), IGNORE).astype(np.uint8)

    def _read(self, scene: Scene, row: int, col: int, height: int, width: int) -> np.ndarray:
        """A window on 0..1, mirrored at the scene's edge where the scene is smaller than the window."""
        inside = min(self.window, height - row), min(self.window, width - col)
        spec = self.trained.spec
        patch = scene.read(spec.bands, spec.gsd, (row, col, *inside))
        image = spec.unit(patch.values) * patch.valid
        missing = [(0, 0), (0, self.window - inside[0]), (0, self.window - inside[1])]
        return np.pad(image, missing, mode="symmetric").astype(np.float32)

    def _on_own_grid(self, blend: np.ndarray, scene: Scene) -> Prediction:
        step = scene.step(self.trained.spec.gsd)
        height, width = scene.grid.height, scene.grid.width
        classes, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
        left, right, across = axis_weights(blend.shape[2], 0.0, 1 / step[1], width)
        for row, count in strips(height):
            top, bottom, down = axis_weights(blend.shape[1], row / step[0], 1 / step[0], count)
            own = (
                blend[:, row : row + count] if step == (1, 1) else weigh(blend[:, top:bottom, left:right], down, across)
            )
            valid = scene.read(self.trained.spec.bands, None, (row, 0, count, width)).valid
            classes[row : row + count] = np.where(valid, own.argmax(0), IGNORE)
            confidence[row : row + count] = np.where(valid, np.rint(own.max(0) * 254), IGNORE)
        return Prediction(classes, confidence)


def check_gsd(scene: Scene, gsd: float) -> None:
    """Raises InputError for a scene that has no GSD, or one so far from the network's that nothing could be told apart."""
    apart = max(max(s, 1 / s) for s in scene.step(gsd))
    if apart > FARTHEST:
        raise InputError(
            f"the pixels of {scene.image} are {max(scene.gsd):g} m long and those of the network {gsd:g} m, {apart:.0f}-fold "
            "apart: resample the scene, or declare its GSD if the file is wrong"
        )


def strips(height: int, rows: int = 512) -> Iterator[tuple[int, int]]:
    """(first row, rows) of strips that cover a height."""
    for row in range(0, height, rows):
        yield row, min(rows, height - row)


def predict(
    scenes: Sequence[str | Path],
    model: str | Path | Trained,
    out: str | Path | None = None,
    polygons: str | None = "gpkg",
    confidence: bool = False,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    overwrite: bool = False,
    **engine: Any,
) -> Iterator[Written]:
    """Predict scenes one by one, and write a class GeoTIFF and polygons for each.

    Args:
        scenes: rasters GDAL can read.
        model: a run folder, or a loaded one.
        out: folder for the outputs; beside each scene by default.
        polygons: 'gpkg', 'fgb', 'geojson', 'parquet', or None for no polygons.
        confidence: add a band with the winning probability to the class raster (which then holds no colour table).
        bands: band order of the scenes, where their files do not tell ('RGBIR').
        gsd: metres per pixel, for scenes without a georeference.
        crs: for scenes that have a transform but no CRS ('EPSG:32632'; ISPRS tiles with world files).
        engine: device, precision, window, overlap, batch_size; see Engine.

    Raises:
        InputError, MissingError, ExistsError: before anything is computed, for any of the scenes.
    """
    trained = model if isinstance(model, Trained) else load_run(model)
    running = Engine.of(trained, **engine)
    if polygons is not None:
        check_format(polygons)
    jobs = [_job(Path(s), trained, out, polygons, bands, gsd, crs, overwrite) for s in scenes]
    named: dict[Path, Path] = {}
    for scene, raster, _ in jobs:
        if raster in named:
            raise InputError(f"{named[raster]} and {scene.image} would both be written to {raster}: predict them apart")
        named[raster] = scene.image
    for scene, raster, vector in jobs:
        yield _write(running, scene, raster, vector, confidence, overwrite)


def _job(
    path: Path, trained: Trained, out: str | Path | None, polygons: str | None, bands: str | None, gsd: float | None,
    crs: str | None, overwrite: bool,
) -> tuple[Scene, Path, Path | None]:  # fmt: skip
    """A scene that can be predicted, and its outputs, which may be written. Everything a user can get wrong shows here."""
    scene = Scene(path.stem, path, None, band_names(bands) if bands else None, gsd, crs)
    scene.file.band_numbers(trained.spec.bands)
    check_gsd(scene, trained.spec.gsd)
    if scene.file.grid.height * scene.file.grid.width == 0:
        raise InputError(f"{path} has no pixels")
    folder = Path(out) if out else path.parent
    raster = folder / f"{path.stem}_classes.tif"
    vector = folder / f"{path.stem}_classes.{polygons}" if polygons else None
    for file in (raster, vector):
        if file is not None and file.exists() and not overwrite:
            raise ExistsError(f"{file} exists: pass --overwrite to replace it, or choose another --out")
    return scene, raster, vector


def _write(
    engine: Engine, scene: Scene, raster: Path, vector: Path | None, confidence: bool, overwrite: bool
) -> Written:
    spec, began = engine.trained.spec, time.monotonic()
    found = engine.scene(scene)
    if (found.classes == IGNORE).all():
        raise InputError(f"{scene.image} has no valid pixel: all of it is nodata or transparent")
    tags = {
        "SOFTWARE": f"rsuda {__version__}", "RSUDA_RUN": engine.trained.path.name, "RSUDA_METHOD": engine.trained.method,
        "RSUDA_BANDS": ",".join(spec.bands), "RSUDA_GSD": f"{spec.gsd:g}", "RSUDA_PRECISION": engine.precision,
        "RSUDA_WINDOW": f"{engine.window}, overlap {engine.overlap}",
    }  # fmt: skip
    second = found.confidence if confidence else None
    write_classes(raster, found.classes, scene.grid, spec.legend, second, tags, overwrite)
    count = None
    if vector is not None:
        frame = polygonise(found.classes, scene.grid, spec.legend, scene.gsd)
        write_polygons(frame, vector, overwrite)
        count = len(frame)
    counts = np.bincount(found.classes.ravel(), minlength=256)[: len(spec.legend)]
    area = {n: float(c * scene.gsd[0] * scene.gsd[1]) for n, c in zip(spec.legend.names, counts, strict=True)}
    notes = []
    if scene.grid.crs is None:
        notes.append(f"{scene.image} has no CRS, so neither have its outputs (--crs declares one)")
    named = scene.file.named_bands
    if named is None or not set(spec.bands) <= set(named):
        told = f"tagged {', '.join(named)}" if named else "not named"
        notes.append(f"the bands of {scene.image} are {told} and taken as {', '.join(spec.bands)}")
    return Written(scene.image, raster, vector, count, area, time.monotonic() - began, tuple(notes))
