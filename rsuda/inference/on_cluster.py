"""Predict strips of scenes on a Dask cluster; the pixels are those that one machine computes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from rsuda.cluster.client import Threads, connect, slots, threads_of
from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.machine import host
from rsuda.core.map_options import MapOptions, PredictorOptions
from rsuda.core.spelling import spell
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.column_tiles import tiled_strips
from rsuda.inference.map_job import MapJob, planes_of
from rsuda.inference.predictor import Predictor
from rsuda.inference.scene_statistics import adapted
from rsuda.inference.strip_store import StripStore
from rsuda.runs.weights import load_run

MAX_STRIPS = 4  # of one task; a task of any size reads one row of windows more than the whole scene would


@dataclass(frozen=True)
class Part:
    """Rows of a scene that a worker predicts on its own.

    Workers read the run and the scene under the same paths. ``options.precision`` is bf16 or fp32, never auto.
    """

    run: str
    digest: str
    options: MapOptions
    scene: Scene
    region: Region
    first: int
    end: int


@lru_cache(maxsize=2)
def _predictor(run: str, digest: str, options: PredictorOptions) -> Predictor:
    """Load a worker's model; the worker keeps it for later parts."""
    trained = load_run(run)
    if trained.digest != digest:
        raise InputError(
            f"the run {run} on {host()} differs from that of the machine that writes the maps: copy it there"
        )
    return Predictor.of(trained, **options.model_dump())


@lru_cache(maxsize=1)
def _adapted(run: str, digest: str, options: MapOptions, scene: Scene) -> Predictor:
    """Adapt a worker's model to a scene; the worker keeps it for later parts of the scene."""
    return adapted(_predictor(run, digest, options.predictor), scene, options.adapt)


Planes = tuple[int, list[np.ndarray]]  # first row; (h, W) uint8 of classes, confidence and perhaps probabilities


def predict_part(part: Part, threads: Threads) -> Planes | RsudaError:
    """Predict a part on a worker.

    Returns an RsudaError instead of raising it: its causes, which are GDAL's, cannot be sent.
    """
    try:
        return _predict(part, threads)
    except RsudaError as error:
        return type(error)(str(error))


def _predict(part: Part, threads: Threads) -> Planes:
    torch.set_num_threads(threads.of_task())  # in every task: the setting belongs to the thread
    predictor = _predictor(part.run, part.digest, part.options.predictor)
    if part.options.adapt != "none":
        predictor = _adapted(part.run, part.digest, part.options, part.scene)
    pieces = tiled_strips(
        predictor,
        part.scene,
        part.region,
        rows=(part.first, part.end),
        strip_rows=part.end - part.first,
        probabilities=part.options.probabilities,
        min_confidence=part.options.min_confidence,
    )
    planes: list[np.ndarray] = []
    for strip in pieces:
        pixels = planes_of(strip, part.options)
        planes = planes or [np.empty((part.end - part.first, part.region.window[3]), np.uint8) for _ in pixels]
        place = np.s_[strip.row - part.first :, strip.col :]
        for plane, values in zip(planes, pixels, strict=True):
            plane[place][: values.shape[0], : values.shape[1]] = values
    return part.first, planes


class Cluster:
    """A Dask cluster that fills the strip stores of maps, in the order in which they were added."""

    def __init__(self, client: Any, threads: int | None) -> None:
        self.client, self.threads = client, threads
        self.waiting: list[tuple[MapJob, Part]] = []
        self.running: dict[Any, MapJob] = {}
        self.unfinished: dict[MapJob, int] = {}
        self.failed: dict[MapJob, RsudaError] = {}

    def add(self, job: MapJob) -> None:
        """Plan the missing strips of an opened job."""
        store, trained = job.store, job.predictor.trained
        stretches = [range(first // store.strip_rows, -(-end // store.strip_rows)) for first, end in store.missing()]
        size = int(np.clip(sum(map(len, stretches)) // (4 * slots(self.client)), 1, MAX_STRIPS))
        pieces = [stretch[k : k + size] for stretch in stretches for k in range(0, len(stretch), size)]
        options = job.options.model_copy(update={"device": "auto", "precision": job.predictor.precision})
        scene = replace(job.scene)  # without what it has read of its file
        for piece in pieces:
            first, end = store.rows(piece[0])[0], store.rows(piece[-1])[1]
            part = Part(str(trained.path), trained.digest, options, scene, job.region, first=first, end=end)
            self.waiting.append((job, part))
        self.unfinished[job] = len(pieces)

    def fill(self, job: MapJob) -> Iterator[int]:
        """Wait until the store of a job is full; yields numbers of its finished pixels. Other stores fill meanwhile.

        Raises the RsudaError that a worker met in the job's scene.
        """
        from distributed import wait

        while self.unfinished[job]:
            if job in self.failed:
                self.waiting = [(owner, part) for owner, part in self.waiting if owner is not job]
                raise self.failed[job]
            self._submit()
            for future in wait(list(self.running), return_when="FIRST_COMPLETED").done:
                owner = self.running.pop(future)
                try:
                    row, planes = _result(future)
                except RsudaError as error:  # of a scene whose turn may come later
                    self.failed[owner] = error
                    continue
                _write(owner.store, row, planes)
                self.unfinished[owner] -= 1
                if owner is job:
                    yield planes[0].size

    def _submit(self) -> None:
        """Give each worker a part and one more to wait for; all other parts wait here."""
        limit, threads = 2 * slots(self.client), threads_of(self.client, self.threads)
        while self.waiting and len(self.running) < limit:
            job, part = self.waiting.pop(0)
            self.running[self.client.submit(predict_part, part, threads, pure=False)] = job


def _write(store: StripStore, row: int, planes: Sequence[np.ndarray]) -> None:
    """Write strip by strip, since a store counts a strip as finished by its last row."""
    for start in range(0, planes[0].shape[0], store.strip_rows):
        store.write(row + start, [plane[start : start + store.strip_rows] for plane in planes])


def _result(future: Any) -> Planes:
    from distributed import KilledWorker

    try:
        result: Planes | RsudaError = future.result()
    except KilledWorker as error:
        raise MissingError(
            "several workers died one after another at the same part of a scene, perhaps out of memory: give them more "
            f"memory, or a smaller {spell('window')} or {spell('batch_size')}; last worker {error.last_worker.address}"
        ) from None
    if isinstance(result, RsudaError):
        raise result
    return result


@contextmanager
def cluster(options: MapOptions) -> Iterator[Cluster]:
    """Connect to the cluster of ``options.scheduler``; for 'local', start ``options.workers`` processes that share the cores.

    Raises InputError and MissingError as ``connect``.
    """
    assert options.scheduler is not None
    threads = options.threads
    if options.scheduler == "local":
        threads = threads or max(1, torch.get_num_threads() // options.workers)
    with connect(options.scheduler, options.workers) as client:
        yield Cluster(client, threads)
