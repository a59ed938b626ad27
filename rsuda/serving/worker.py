"""Predict requests one after another in one thread, with a queue of limited length."""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rsuda.core.errors import InputError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.stac_item import footprint
from rsuda.geo.rasters.openers import opened_by
from rsuda.geo.scenes.region import region_of
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predict import map_scene
from rsuda.inference.predictor import Predictor
from rsuda.serving.serve_options import ServeOptions
from rsuda.serving.sources import allowed_source

logger = logging.getLogger("rsuda")

FORMATS = {"geotiff": "image/tiff; application=geotiff", "geojson": "application/geo+json"}


class TooManyPixelsError(InputError):
    """A window that is larger than the service predicts."""


class QueueFullError(Exception):
    """A request for which the queue has no place."""


class OutOfTimeError(Exception):
    """A request whose time is up."""


class ClientLeftError(Exception):
    """A request whose client has closed the connection."""


@dataclass(frozen=True)
class Work:
    """A request: the bytes of a GeoTIFF, or the address of one, and how to predict it.

    Attributes:
        format: one of FORMATS.
        deadline: of ``time.monotonic``, after which nothing more is computed.
        answer: receives the bytes of the answer.
        client_left: set when the client has left and nobody needs the answer.
    """

    source: bytes | str
    format: str
    options: MapOptions
    deadline: float
    answer: Future[bytes] = field(default_factory=Future)
    client_left: threading.Event = field(default_factory=threading.Event)


class Worker:
    """One model in one thread. Requests wait in a queue; a request that is given up stops at its next strip."""

    def __init__(self, predictor: Predictor, limits: ServeOptions) -> None:
        self.predictor, self.limits = predictor, limits
        self.finished = 0
        self._queue: queue.Queue[Work | None] = queue.Queue(limits.queue + 1)
        self._thread = threading.Thread(target=self._run, name="rsuda-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Return the number of requests that wait."""
        return self._queue.qsize()

    def submit(self, work: Work) -> None:
        """Queue a request. Raises QueueFullError."""
        if self._queue.qsize() >= self.limits.queue:
            raise QueueFullError
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            raise QueueFullError from None

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            if not work.answer.set_running_or_notify_cancel():
                continue
            try:
                answer = self._predict(work)
            except (RsudaError, OutOfTimeError) as error:
                work.answer.set_exception(error)
            except BaseException as error:  # whatever a strange file makes a library raise; the service goes on
                logger.exception("a request failed")
                work.answer.set_exception(error)
            else:
                work.answer.set_result(answer)
            self.finished += 1

    def _predict(self, work: Work) -> bytes:
        _check_time(work)
        with tempfile.TemporaryDirectory(prefix="rsuda-serve-") as name:
            folder = Path(name)
            options = work.options.replaced(
                out=folder / "maps", polygons="geojson" if work.format == "geojson" else None
            )
            try:
                with self._scene(work, folder) as scene:
                    self._check_window(scene, options)
                    prediction = map_scene(scene, self.predictor, options, progress=lambda *_: _check_time(work))
            except RsudaError as error:
                sentence = str(error).replace(f"{folder / 'window.tif'}", "the window")
                raise type(error)(sentence.replace(f"{folder}", "the service's folder")) from None
            file = prediction.polygons if work.format == "geojson" else prediction.raster
            assert file is not None
            return file.read_bytes()

    @contextmanager
    def _scene(self, work: Work, folder: Path) -> Iterator[str | Path]:
        """Give the raster of a request. GDAL reads a file on a web server through the service, which follows no redirection."""
        if isinstance(work.source, bytes):
            (folder / "window.tif").write_bytes(work.source)
            yield folder / "window.tif"
            return
        source = allowed_source(work.source, self.limits.allow, work.deadline)
        if isinstance(source, Path):
            yield source
            return
        try:
            with opened_by(source.address, source.open) as address:
                yield address
                if source.problem:  # whatever was read without the missing bytes
                    raise source.problem
        except RsudaError as error:
            _check_time(work)
            raise source.problem or error from None
        finally:
            source.close()

    def _check_window(self, scene: str | Path, options: MapOptions) -> None:
        """Check the size of the window from headers alone. Raises TooManyPixelsError.

        Raises InputError for polygons without a place on Earth, since GeoJSON is in longitude and latitude (RFC 7946).
        """
        spec = self.predictor.trained.spec
        raster = open_scene(scene, spec, bands=options.bands, gsd=options.gsd, crs=options.crs, nodata=options.nodata)
        if options.polygons:
            _check_place(raster.grid)
        region = region_of(raster, None, options.bounds)
        height, width = (region.grid.height, region.grid.width) if region else (0, 0)
        step = raster.step(spec.gsd)
        pixels = max(height * width, round(height * width / (step[0] * step[1])))
        if pixels > self.limits.max_pixels:
            raise TooManyPixelsError(
                f"the window has {pixels} px at the scene's or the model's GSD; this service predicts at most "
                f"{self.limits.max_pixels}"
            )


def _check_place(grid: Grid) -> None:
    """Check that polygons have a place in longitude and latitude. Raises InputError."""
    if not (grid.georeferenced and grid.crs):
        lack, advice = ("CRS", "pass its `crs`, or ") if grid.georeferenced else ("georeference", "")
        reason = f"has no {lack}"
    elif footprint(grid)[0] is None:
        reason, advice = "lies where its CRS has no longitude and latitude", "correct its georeference, or "
    else:
        return
    raise InputError(
        f"the raster {reason}, and GeoJSON is in longitude and latitude: {advice}ask for the format geotiff"
    )


def _check_time(work: Work) -> None:
    if time.monotonic() > work.deadline or work.client_left.is_set():
        raise OutOfTimeError
