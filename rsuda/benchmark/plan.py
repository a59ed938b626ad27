"""Read methods x seeds x pairs from one file and run them; finished runs are never run again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsuda.benchmark.job import BenchmarkRun
from rsuda.benchmark.on_cluster import one_a_pair, spread_jobs
from rsuda.benchmark.on_this_machine import run_here
from rsuda.core.display import shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, unknown
from rsuda.core.settings import by_section, check_names, is_auto, make_settings, merged, preset
from rsuda.core.spelling import spell
from rsuda.data.find_domain import find_domains
from rsuda.methods import METHODS, option_names, options_of, presets_of
from rsuda.runs.folders import saved_settings
from rsuda.runs.resolve import FREE_TO_CHANGE
from rsuda.training.build import check_run

_KEYS = {"about", "settings", "seeds", "pairs", "methods", "baseline", "oracle", "control"}


@dataclass(frozen=True)
class Plan:
    """Runs and comparisons of a benchmark file.

    Attributes:
        methods: rows of the table, in the file's order.
        baseline, oracle: the rows between which the gap is measured.
        control: the row that all others are compared with, seed by seed.
        twins: for a row, the one that differs from it by a single mechanism; the two are compared as well.
    """

    name: str
    about: str
    jobs: tuple[BenchmarkRun, ...]
    pairs: tuple[str, ...]
    methods: tuple[str, ...]
    baseline: str
    oracle: str
    control: str = ""
    twins: Mapping[str, str] = field(default_factory=dict)


def read_plan(file: str | Path, out: str | Path, changes: Mapping[str, Any] | None = None) -> Plan:
    """Read the runs of a benchmark file.

    The file holds ``settings`` for all runs, ``seeds``, ``pairs`` and ``methods``. It names the rows with which the
    table compares the others: ``baseline``, ``oracle`` (by default those of that name) and ``control`` (by default the
    baseline). A pair has settings with source and target. Its ``matched`` are those that bring its domains nearer to
    each other (colours, bands, GSD). A method is a row of the table. It has settings, of which ``method`` is the row's
    name if left out. ``as_is: true`` aligns nothing and leaves out what is ``matched``, ``oracle: true`` trains on the
    target's own labels. ``twin`` names another row that the table compares it with. ``seeds`` and ``only`` (a list of
    pairs) restrict the row. A method's settings win over a pair's, these over the common ones, and ``changes``, by
    dotted names, over all.

    Raises:
        MissingError: the file is missing.
        InputError: it is not a benchmark file, or names an unknown method, row or option.
    """
    path = Path(file).expanduser()
    fields = _read(path)
    pairs, methods = fields["pairs"], fields["methods"]
    twins, jobs = {}, []
    for method, entry in methods.items():
        row = dict(entry or {})
        if "twin" in row:
            twins[str(method)] = _other_row(f"twin of {method} in {path}", row.pop("twin"), methods, method)
        seeds, only = _restrictions(str(method), row, fields, path)
        jobs += [
            _job(str(method), row, str(name), pairs[name] or {}, fields, seed, Path(out), changes or {})
            for name in only
            for seed in seeds
        ]
    _check_folders(jobs, path, Path(out))
    ends = {"baseline": "source-only", "oracle": "oracle"}
    ends["control"] = fields.get("baseline", ends["baseline"])
    rows = {what: _other_row(f"{what} of {path}", fields[what], methods) for what in ends if what in fields}
    about = str(fields.get("about", ""))
    return Plan(path.stem, about, tuple(jobs), tuple(pairs), tuple(methods), **{**ends, **rows}, twins=twins)


def _other_row(what: str, name: Any, methods: Mapping[str, Any], but: str | None = None) -> str:
    """Return the name of a row. Raises InputError for one that the file lacks, or that is the row ``but`` itself."""
    others = [str(method) for method in methods if method != but]
    if name not in others:
        raise unknown(what, shown(name) if not isinstance(name, str) else name, others or ["none"])
    return str(name)


def _restrictions(method: str, row: dict[str, Any], fields: dict[str, Any], path: Path) -> tuple[list[int], list[Any]]:
    """Take ``seeds`` and ``only`` from a row. Raises InputError where they are invalid."""
    seeds = row.pop("seeds", fields.get("seeds", [0]))
    only = row.pop("only", list(fields["pairs"]))
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        raise InputError(
            f"the seeds of {method} in {path} are {shown(seeds)}; write a list of whole numbers, such as [0, 1, 2]"
        )
    if not isinstance(only, list) or not all(isinstance(name, str | int) for name in only):
        raise InputError(
            f"'only' of {method} in {path} is {shown(only)}; write a list of pairs, such as {list(fields['pairs'])[:1]}"
        )
    for name in only:
        if name not in fields["pairs"]:
            raise unknown(f"pair of {method} in {path}", str(name), fields["pairs"])
    return seeds, only


def _check_folders(jobs: list[BenchmarkRun], path: Path, out: Path) -> None:
    """Raise InputError where two runs would have one folder."""
    folders = [job.folder for job in jobs]
    twice = next(
        (job for job in jobs if folders.count(job.folder) > 1 or not job.folder.relative_to(out).parts[2:]), None
    )
    if twice:
        raise InputError(
            f"'{twice.pair}' and '{twice.method}' in {path} name no folder of their own: write names whose letters and digits "
            "differ from the others'"
        )


def _read(path: Path) -> dict[str, Any]:
    fields = read_yaml(path, "benchmark file") or {}
    if not isinstance(fields, dict):
        raise InputError(f"benchmark file {path} holds no 'name: value' pairs")
    for key in fields:
        if key not in _KEYS:
            raise unknown(f"entry of {path}", str(key), _KEYS)
    pairs, methods = fields.get("pairs"), fields.get("methods")
    if not isinstance(pairs, dict) or not isinstance(methods, dict) or not pairs or not methods:
        raise InputError(f"benchmark file {path} needs 'pairs' and 'methods', each as 'name: settings'")
    for where, entry in [*pairs.items(), *methods.items(), ("settings", fields.get("settings"))]:
        if not isinstance(entry, dict | None) or len(str(where)) > 80:
            raise InputError(
                f"{shown(where)} in {path} is {shown(entry)}; write a name of at most 80 characters, and 'setting: value' "
                "below it"
            )
    return fields


def _job(
    method: str,
    row: dict[str, Any],
    pair: str,
    of_pair: dict[str, Any],
    fields: dict[str, Any],
    seed: int,
    out: Path,
    changes: Mapping[str, Any],
) -> BenchmarkRun:
    row, of_pair = dict(row), dict(of_pair)
    as_oracle, as_is, matched = row.pop("oracle", False), row.pop("as_is", False), of_pair.pop("matched", None) or {}
    if not isinstance(matched, dict):
        raise InputError(f"'matched' of pair '{pair}' is {shown(matched)}; write 'setting: value' pairs")
    what = f"setting of {method} on {pair}"
    alone = {"align": preset("raw")["align"]}
    layers = (*([alone] if as_is else []), fields.get("settings") or {}, of_pair, {} if as_is else matched, row)
    values = merged(*(by_section(layer, what, old_names=True) for layer in layers))
    name = values.setdefault("method", {}).setdefault("name", "source-only" if as_oracle else method)
    if name not in METHODS and ".py:" not in str(name):  # a file is looked for below
        raise unknown(f"method of row '{method}'", str(name), METHODS)
    check_names(values, option_names(name), what, name)
    settings = make_settings(merged(values, by_section({"training.seed": seed, **changes})), presets_of=presets_of)
    options_of(settings.method.name, settings.method.options)
    if settings.training.devices != "1" or settings.training.nodes > 1:
        raise InputError(
            f"row '{method}' asks for devices {settings.training.devices} and nodes {settings.training.nodes}, but "
            "a benchmark trains each run on one device, and several runs at a time: leave them out of the row"
        )
    if as_oracle:
        settings = settings.changed({"source": settings.target.model_dump()})
    try:
        check_run(settings)
    except InputError as error:
        raise InputError(f"{method} on {pair}: {error}") from None
    return BenchmarkRun(pair, method, seed, settings, folder_of(out, pair, method, seed))


def folder_of(out: Path, pair: str, method: str, seed: int) -> Path:
    """Return the folder of a run, of the names' letters and digits, so that a name cannot lead out of ``out``."""
    slugs = ("-".join(re.findall(r"[a-z0-9.]*[a-z0-9][a-z0-9.]*", name.lower())) for name in (pair, method))
    return out.joinpath(*slugs, str(seed))


def _kept(job: BenchmarkRun) -> None:
    """Raise InputError for a finished run whose settings are not those that the plan has now."""
    before, now = (
        # the same weights may have moved to another folder
        settings.changed({"network.weights": Path(settings.network.weights).name}).by_name()
        for settings in (saved_settings(job.folder), check_run(job.settings)[0])
    )
    free = set(FREE_TO_CHANGE) - {"training.steps"}
    changed = [
        name
        for name in {**before, **now}
        if name not in free and before.get(name) != now.get(name) and not is_auto(name, now.get(name))
    ]
    if changed:
        name = changed[0]
        raise InputError(
            f"{job.folder} was run with {name} {before.get(name)}, and the file now says {now.get(name)}: take another "
            f"{spell('out')}, or remove that folder to run it again"
        )


def run_plan(
    plan: Plan, devices: list[str], scheduler: str | None = None, workers: int = 2, threads: int | None = None
) -> Iterator[tuple[BenchmarkRun, dict[str, Any] | str]]:
    """Run what is not done, one process a device and one run a process at a time. Yields each job with its result, or
    with the sentence that says why it has none. An interrupted run continues from its checkpoint.

    Args:
        devices: 'auto', 'cpu' or 'cuda:N'; a device that is named twice gets two processes.
        scheduler: address of a Dask scheduler, or 'local' for one of ``workers`` processes on this machine. Its workers
            run the plan, one run a thread of theirs at a time, on the one device. They need the data and the plan's
            folder under the same path. The run of a worker that dies goes on on another one.
        threads: CPU threads of each run; by default a machine's cores, shared by the runs on it.

    Raises InputError, before anything runs, for finished runs of other settings and for domains that cannot be read. It
    does the same for workers that do not see what this machine sees.
    """
    if threads is not None and threads < 1:
        raise InputError(f"{spell('threads')} is {threads}; it must be at least 1")
    if scheduler and len(devices) > 1:
        raise InputError(
            f"{spell('scheduler')} takes one device for all workers, not {', '.join(devices)}: start a worker "
            "for each GPU, with CUDA_VISIBLE_DEVICES"
        )
    for job in plan.jobs:
        if job.done:
            _kept(job)
    # the first seed of everything first, so that an early table shows every row
    waiting = sorted((job for job in plan.jobs if not job.done), key=lambda job: job.seed)
    for settings in one_a_pair(waiting):  # a wrong path shows now, not after hours
        find_domains(settings)
    if scheduler and waiting:
        yield from spread_jobs(waiting, devices[0], scheduler, workers, threads)
    else:
        yield from run_here(waiting, devices, threads)
