"""Predict requests one after another in one thread, with a queue of limited length."""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from rsuda.core.errors import InputError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.geo.region import region_of
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


@dataclass(frozen=True)
class Work:
    """A request: the bytes of a GeoTIFF, or the address of one, and how to predict it.

    Attributes:
        format: one of FORMATS.
        deadline: of ``time.monotonic``, after which nothing more is computed.
        answer: receives the bytes of the answer.
    """

    source: bytes | str
    format: str
    options: MapOptions
    deadline: float
    answer: Future[bytes] = field(default_factory=Future)


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
            if isinstance(work.source, bytes):
                scene: str | Path = folder / "window.tif"
                Path(scene).write_bytes(work.source)
            else:
                scene = allowed_source(work.source, self.limits.allow)
            options = work.options.replaced(
                out=folder / "maps", polygons="geojson" if work.format == "geojson" else None
            )
            try:
                self._check_pixels(scene, options)
                prediction = map_scene(scene, self.predictor, options, progress=lambda *_: _check_time(work))
            except RsudaError as error:
                raise type(error)(str(error).replace(f"{folder / 'window.tif'}", "the window")) from None
            file = prediction.polygons if work.format == "geojson" else prediction.raster
            assert file is not None
            return file.read_bytes()

    def _check_pixels(self, scene: str | Path, options: MapOptions) -> None:
        """Check the size of the window from headers alone. Raises TooManyPixelsError."""
        spec = self.predictor.trained.spec
        opened = open_scene(scene, spec, bands=options.bands, gsd=options.gsd, crs=options.crs, nodata=options.nodata)
        region = region_of(opened, None, options.bounds)
        height, width = (region.grid.height, region.grid.width) if region else (0, 0)
        step = opened.step(spec.gsd)
        pixels = max(height * width, round(height * width / (step[0] * step[1])))
        if pixels > self.limits.max_pixels:
            raise TooManyPixelsError(
                f"the window has {pixels} px at the scene's or the model's GSD; this service predicts at most "
                f"{self.limits.max_pixels}"
            )


def _check_time(work: Work) -> None:
    if time.monotonic() > work.deadline or work.answer.cancelled():
        raise OutOfTimeError
