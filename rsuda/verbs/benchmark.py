"""Methods x seeds x pairs from one file, run by run in processes of their own; finished runs are never run again."""

from __future__ import annotations

import json
import multiprocessing
import re
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.config import Settings, settings
from rsuda.engine import Engine
from rsuda.errors import InputError, RsudaError, unknown
from rsuda.geo.tiles import random_window
from rsuda.label_free import label_free
from rsuda.learning.device import autocast, pick_device, pick_precision
from rsuda.legend import IGNORE
from rsuda.methods import METHODS
from rsuda.run import CHECKPOINT, CONFIG, load_run
from rsuda.text_file import read_yaml, shown
from rsuda.verbs.adapt import adapt, check_run, domains_of
from rsuda.verbs.evaluate import evaluate
from rsuda.whole_file import whole_file

RESULT = "result.json"
_KEYS = {"about", "settings", "seeds", "pairs", "methods", "baseline", "oracle"}


@dataclass(frozen=True)
class Job:
    """One run of a benchmark."""

    pair: str
    method: str
    seed: int
    settings: Settings
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).is_file()


@dataclass(frozen=True)
class Plan:
    """What a benchmark file asks for.

    Attributes:
        methods: rows of the table, in the file's order.
        baseline, oracle: the rows between which the gap is measured.
    """

    name: str
    about: str
    jobs: tuple[Job, ...]
    pairs: tuple[str, ...]
    methods: tuple[str, ...]
    baseline: str
    oracle: str


def read_plan(file: str | Path, out: str | Path, **given: Any) -> Plan:
    """The runs of a benchmark file.

    The file holds ``settings`` for all runs, ``seeds``, ``pairs``, ``methods``, and the rows that are ``baseline`` and
    ``oracle`` (by default those of that name). Of a pair: settings with source and target, and ``matched``, those that
    bring its domains nearer to each other (colours, bands, GSD). Of a method, a row of the table: settings, of which
    ``method`` is the row's name if left out; ``as_is: true`` leaves out what is ``matched``, ``oracle: true`` trains on
    the target's own labels, ``seeds`` and ``only`` (a list of pairs) restrict the row. A method's settings win over a
    pair's, these over the common ones, and ``given`` over all.

    Raises:
        MissingError: no such file.
        InputError: it is no benchmark file, or names an unknown method or option.
    """
    path = Path(file)
    held = _read(path)
    pairs, methods = held.get("pairs"), held.get("methods")
    if not isinstance(pairs, dict) or not isinstance(methods, dict) or not pairs or not methods:
        raise InputError(f"benchmark file {path} needs 'pairs' and 'methods', each as 'name: settings'")
    baseline, oracle = held.get("baseline", "source-only"), held.get("oracle", "oracle")
    jobs = []
    for where, entry in [*pairs.items(), *methods.items(), ("settings", held.get("settings"))]:
        if not isinstance(entry, dict | None) or len(str(where)) > 80:
            raise InputError(f"{shown(where)} in {path} is no name with 'setting: value' below it: {shown(entry)}")
    for method, own in methods.items():
        own = dict(own or {})
        seeds = own.pop("seeds", held.get("seeds", [0]))
        only = own.pop("only", list(pairs))
        if not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            raise InputError(f"the seeds of {method} in {path} are no list of whole numbers: {shown(seeds)}")
        if not isinstance(only, list) or not all(isinstance(name, str | int) for name in only):
            raise InputError(f"'only' of {method} in {path} is no list of pairs: {shown(only)}")
        for name in only:
            if name not in pairs:
                raise unknown(f"pair of {method} in {path}", str(name), pairs)
            jobs += [
                _job(str(method), own, str(name), pairs[name] or {}, held, seed, Path(out), given) for seed in seeds
            ]
    folders = [j.folder for j in jobs]
    twice = next((j for j in jobs if folders.count(j.folder) > 1 or not j.folder.relative_to(out).parts[2:]), None)
    if twice:
        raise InputError(
            f"'{twice.pair}' and '{twice.method}' in {path} need names of letters and digits, unlike the others'"
        )
    return Plan(path.stem, str(held.get("about", "")), tuple(jobs), tuple(pairs), tuple(methods), baseline, oracle)


def _read(path: Path) -> dict[str, Any]:
    held = read_yaml(path, "benchmark file") or {}
    if not isinstance(held, dict):
        raise InputError(f"benchmark file {path} holds no 'name: value' pairs")
    for key in held:
        if key not in _KEYS:
            raise unknown(f"entry of {path}", str(key), _KEYS)
    return held


def _job(
    method: str, own: dict[str, Any], pair: str, of_pair: dict[str, Any], held: dict[str, Any], seed: int, out: Path,
    given: dict[str, Any],
) -> Job:  # fmt: skip
    own, of_pair = dict(own), dict(of_pair)
    as_oracle, as_is, matched = own.pop("oracle", False), own.pop("as_is", False), of_pair.pop("matched", None) or {}
    if not isinstance(matched, dict):
        raise InputError(f"'matched' of pair '{pair}' are no 'setting: value' pairs: {shown(matched)}")
    merged = {**(held.get("settings") or {}), **of_pair, **({} if as_is else matched), **own}
    known = {f.name for f in fields(Settings)}
    for key in merged:
        if key not in known:
            raise unknown(f"setting of {method} on {pair}", str(key), known)
    name = merged.setdefault("method", "source-only" if as_oracle else method)
    if name not in METHODS:
        raise unknown(f"method of row '{method}'", str(name), METHODS)
    s = settings(**{**merged, "seed": seed, **{k: v for k, v in given.items() if v is not None}})
    METHODS[s.method].check_options(s.method, s.options)
    if s.devices != "1" or s.nodes > 1:
        raise InputError(
            f"row '{method}' asks for devices {s.devices} and nodes {s.nodes}, but a benchmark trains each run on one device and "
            "several runs at a time: name the devices by --device"
        )
    if as_oracle:
        s = replace(s, source=s.target, source_bands=s.target_bands, source_split=s.target_split)
    check_run(s)
    return Job(pair, method, seed, s, folder_of(out, pair, method, seed))


def folder_of(out: Path, pair: str, method: str, seed: int) -> Path:
    """Where a run lies: the names' letters and digits, so that a name cannot lead out of ``out``."""
    slugs = ("-".join(re.findall(r"[a-z0-9.]*[a-z0-9][a-z0-9.]*", name.lower())) for name in (pair, method))
    return out.joinpath(*slugs, str(seed))


def _kept(job: Job) -> None:
    """Raises InputError for a finished run whose settings are not those that the plan has now."""
    was, now = (
        replace(s, weights=Path(s.weights).name)  # the same file may lie elsewhere
        for s in (settings(job.folder / CONFIG), check_run(job.settings)[0])
    )
    free = ("data", "device", "precision", "workers", "score_every")
    changed = [f.name for f in fields(Settings) if f.name not in free and getattr(was, f.name) != getattr(now, f.name)]
    if changed:
        name = changed[0]
        raise InputError(
            f"{job.folder} was run with {name} {getattr(was, name)}, and the file now says {getattr(now, name)}: take another "
            "--out, or remove that folder to run it again"
        )


def run_plan(plan: Plan, devices: list[str]) -> Iterator[tuple[Job, dict[str, Any] | str]]:
    """Run what is not done, one process a run and one run a device at a time; yields each job with its result, or with the
    sentence that says why it has none. A run that was broken off goes on from its checkpoint.

    Raises InputError, before anything runs, for finished runs of other settings, and for domains that cannot be read.
    """
    for job in plan.jobs:
        if job.done:
            _kept(job)
    # the first seed of everything first, so that an early table shows every row
    waiting = sorted((j for j in plan.jobs if not j.done), key=lambda j: j.seed)
    domains: set[tuple[Any, ...]] = set()
    for job in waiting:  # a wrong path shows now, not after hours
        which = (job.settings.source, job.settings.target, job.settings.data)
        if which not in domains:
            domains_of(job.settings)
            domains.add(which)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        free = manager.Queue()
        for device in devices:
            free.put(device)
        threads = max(1, torch.get_num_threads() // len(devices))
        with ProcessPoolExecutor(len(devices), context, max_tasks_per_child=1) as pool:
            running = {pool.submit(_run, job, free, threads): job for job in waiting}
            for ended in as_completed(running):
                job = running[ended]
                try:
                    yield job, ended.result()
                except RsudaError as error:
                    yield job, str(error)
                except BrokenProcessPool:
                    yield job, "its process was killed (out of memory?); run again, finished runs are kept"
                except BaseException:  # a bug, or Ctrl-C: what waits shall not run first
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise


def _run(job: Job, free: Any, threads: int) -> dict[str, Any]:
    """Train, score with and without labels, write ``result.json``."""
    device = free.get()
    try:
        torch.set_num_threads(threads)
        return _result(job, replace(job.settings, device=device), threads)
    finally:
        free.put(device)


def _result(job: Job, s: Settings, threads: int) -> dict[str, Any]:
    target = domains_of(s)[1]
    clock, curve = StepClock(), PseudoLabelCurve(s, target)
    resume = (job.folder / CHECKPOINT).is_file()
    adapt(s, job.folder, overwrite=not resume, resume=resume, quiet=True, callbacks=[clock, curve])
    engine = Engine.of(load_run(job.folder), s.device, s.precision)
    found = evaluate(engine, target, s.score_split)
    device = pick_device(s.device)
    gpu = device.type == "cuda"
    fields = {
        "pair": job.pair, "row": job.method, "method": s.method, "seed": job.seed, "steps": s.steps, "options": s.options,
        "seconds_per_step": clock.median, "peak_memory_mb": _peak(device), "threads": threads,
        "device": torch.cuda.get_device_name(device) if gpu else "cpu", "precision": pick_precision(s.precision, device),
        "label_free": asdict(label_free(engine, target, s.target_split)), "pseudo_labels": curve.curve, **found.as_fields(),
    }  # fmt: skip
    with whole_file(job.folder / RESULT, overwrite=True) as temporary:
        temporary.write_text(json.dumps(fields, indent=1) + "\n")
    return fields


def _peak(device: torch.device) -> int:
    """Highest memory so far in MB: of the GPU, or of this process, which ran nothing else."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class StepClock(Callback):
    """Seconds of each step but the first few; reading of patches included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def median(self) -> float | None:
        steps = np.diff(self.ends[3:])
        return round(float(np.median(steps)), 4) if len(steps) else None


class PseudoLabelCurve(Callback):
    """How good the teacher's labels are on fixed windows of the target's train split, every fifth of the run.

    Reads target labels, for this curve alone; training never sees them. Nothing for methods without pseudo labels.
    """

    def __init__(self, s: Settings, target: Any, windows: int = 16) -> None:
        self.images: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.curve: list[dict[str, Any]] = []
        self.every = max(1, s.steps // 5)
        self.precision = s.precision
        if not hasattr(METHODS[s.method], "pseudo_labels_of") or not target.has_labels(s.target_split):
            return
        self.scenes, self.windows, self.crop, self.legend = (
            target.labelled(s.target_split),
            windows,
            s.crop,
            target.legend,
        )

    def _read(self, spec: Any) -> None:
        rng = np.random.default_rng(7)
        for _ in range(self.windows):
            scene = self.scenes[int(rng.integers(len(self.scenes)))]
            grid = scene.grid_at(spec.gsd)
            window = (*random_window(rng, grid.height, grid.width, self.crop), self.crop, self.crop)
            self.images.append(spec.unit(scene.read(spec.bands, spec.gsd, window).values))
            table = spec.legend.mapping_from(self.legend)
            self.labels.append(table[scene.read_label(self.legend, spec.gsd, window)[0]])

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every or not hasattr(self, "scenes"):
            return
        spec, device = module.spec, module.device
        if not self.images:
            self._read(spec)
        x = torch.from_numpy(np.stack(self.images)).float()
        x = (x - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
        y = torch.from_numpy(np.stack(self.labels))
        with autocast(pick_precision(self.precision, device), device):
            # in batches of the size of training's, by whose statistics a teacher normalises
            found = [module.pseudo_labels_of(part.to(device)) for part in x.split(4)]
        label, confidence = (torch.cat([getattr(f, k) for f in found]).cpu() for k in ("label", "confidence"))
        known = y != IGNORE
        sure = known & (confidence >= 0.8)
        self.curve.append({
            "step": trainer.global_step,
            "accuracy": float((label == y)[known].float().mean()),
            "sure_share": float(sure.sum() / known.sum()),
            "sure_accuracy": float((label == y)[sure].float().mean()) if sure.any() else None,
            "predicted_share": [float(((label == k) & known).sum() / known.sum()) for k in range(len(spec.legend))],
            "true_share": [float(((y == k) & known).sum() / known.sum()) for k in range(len(spec.legend))],
        })  # fmt: skip
