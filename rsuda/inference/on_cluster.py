"""Bands of scenes spread over a Dask cluster; the pixels are those that one machine alone would get."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from rsuda.cluster.client import Threads, connected, slots, threads_of
from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.geo.region import Region
from rsuda.geo.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import strips
from rsuda.inference.strip_store import StripStore
from rsuda.runs.weights import load_run

MOST_BANDS = 4  # of one task: a task looks at one row of windows more than it needs, whatever its bands


@dataclass(frozen=True)
class Part:
    """Rows of a scene that a worker predicts by itself. Workers must be able to read the run and the scene."""

    run: str
    digest: str
    window: int
    overlap: int
    batch_size: int
    tta: str
    precision: str
    scene: Scene
    region: Region
    first: int
    last: int
    probabilities: bool


@lru_cache(maxsize=2)
def _engine(run: str, digest: str, window: int, overlap: int, batch_size: int, tta: str, precision: str) -> Predictor:
    """A worker keeps its network."""
    trained = load_run(run)
    if trained.digest != digest:
        raise InputError(
            f"the run {run} on {os.uname().nodename} is not the one on the machine that asks: copy it there"
        )
    return Predictor.of(trained, "auto", precision, window, overlap, batch_size, tta)


Planes = tuple[int, list[np.ndarray]]  # first row; (h, W) uint8 of classes, confidence and perhaps probabilities


def predict_part(part: Part, threads: Threads) -> Planes | RsudaError:
    """On a worker. What a user can fix comes back as a value: its causes, which are GDAL's, do not travel."""
    try:
        return _predicted(part, threads)
    except RsudaError as error:
        return type(error)(str(error))


def _predicted(p: Part, threads: Threads) -> Planes:
    torch.set_num_threads(threads.of_task())  # each time: it holds for the thread that says it
    engine = _engine(p.run, p.digest, p.window, p.overlap, p.batch_size, p.tta, p.precision)
    found = list(strips(engine, p.scene, p.region, p.first, p.last, p.probabilities))
    planes = [np.concatenate([s.classes for s in found]), np.concatenate([s.confidence for s in found])]
    if p.probabilities:
        planes += list(np.concatenate([s.probabilities for s in found if s.probabilities is not None], axis=1))
    return p.first, planes


class Cluster:
    """A Dask cluster that has been given stores to fill, in their order."""

    def __init__(self, client: Any, threads: int | None) -> None:
        self.client, self.threads = client, threads
        self.waiting: list[tuple[StripStore, Part]] = []
        self.running: dict[Any, StripStore] = {}
        self.left: dict[int, int] = {}
        self.failed: dict[int, RsudaError] = {}

    def add(self, store: StripStore, engine: Predictor, scene: Scene, region: Region, probabilities: bool) -> None:
        """Ask for all that is missing in a store."""
        missing = [range(first // store.strip_rows, -(-last // store.strip_rows)) for first, last in store.missing()]
        size = int(np.clip(sum(map(len, missing)) // (4 * slots(self.client)), 1, MOST_BANDS))
        parts = [stretch[k : k + size] for stretch in missing for k in range(0, len(stretch), size)]
        bare = replace(scene)  # without what it has read of its file
        for bands in parts:
            rows = store.rows(bands[0])[0], store.rows(bands[-1])[1]
            part = Part(
                str(engine.trained.path), engine.trained.digest, engine.window, engine.overlap, engine.batch_size,
                engine.tta, engine.precision, bare, region, *rows, probabilities,
            )  # fmt: skip
            self.waiting.append((store, part))
        self.left[id(store)] = len(parts)

    def fill(self, store: StripStore) -> Iterator[int]:
        """Work until a store is full; yields rows of it as they are done. Other stores fill meanwhile.

        Raises the RsudaError that a worker met at this store's scene.
        """
        from distributed import wait

        while self.left[id(store)]:
            if id(store) in self.failed:
                self.waiting = [(to, part) for to, part in self.waiting if to is not store]
                raise self.failed[id(store)]
            most, threads = 2 * slots(self.client), threads_of(self.client, self.threads)
            while self.waiting and len(self.running) < most:  # the next ones wait on the workers, all others here
                to, part = self.waiting.pop(0)
                self.running[self.client.submit(predict_part, part, threads, pure=False)] = to
            for future in wait(list(self.running), return_when="FIRST_COMPLETED").done:
                to = self.running.pop(future)
                try:
                    row, planes = _result(future)
                except RsudaError as error:  # of a scene whose turn may not have come
                    self.failed[id(to)] = error
                    continue
                _write(to, row, planes)
                self.left[id(to)] -= 1
                if to is store:
                    yield planes[0].shape[0]


def _write(store: StripStore, row: int, planes: Sequence[np.ndarray]) -> None:
    """Band by band, since a store counts a band as done by its last row."""
    for start in range(0, planes[0].shape[0], store.strip_rows):
        store.write(row + start, [p[start : start + store.strip_rows] for p in planes])


def _result(future: Any) -> Planes:
    from distributed import KilledWorker

    try:
        found: Planes | RsudaError = future.result()
    except KilledWorker as error:
        raise MissingError(
            "several workers died one after another at the same part of a scene (out of memory?): give them more memory, or a "
            f"smaller --tile-size or --batch-size; last worker {error.last_worker.address}"
        ) from None
    if isinstance(found, RsudaError):
        raise found
    return found


@contextmanager
def cluster(scheduler: str, workers: int, threads: int | None = None) -> Iterator[Cluster]:
    """A cluster at an address, or 'local': ``workers`` processes on this machine that share its cores.

    Raises InputError and MissingError as ``connected``.
    """
    if scheduler == "local":
        threads = threads or max(1, torch.get_num_threads() // max(1, workers))
    with connected(scheduler, workers) as client:
        yield Cluster(client, threads)
