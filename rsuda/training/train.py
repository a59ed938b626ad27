"""Train a method on a domain pair and leave a run folder."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.atomic import atomic_write, leftovers, make_folder
from rsuda.core.errors import ExistsError, MissingError, RsudaError, write_error
from rsuda.core.locks import LOCK, exclusive
from rsuda.core.settings import CONFIG, Settings, dump
from rsuda.data.find_domain import Objects, find_domains
from rsuda.data.pair import Pair
from rsuda.data.patches import target_batches
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.learning.target_statistics import estimate_statistics
from rsuda.methods.base import Method
from rsuda.runs.folders import CHECKPOINT, CURVE, SPEC, WEIGHTS
from rsuda.runs.weights import checkpoint_step, save_run
from rsuda.training.build import build, check_run, common_ground, with_class_weights
from rsuda.training.loop import fit
from rsuda.training.method_module import MethodModule
from rsuda.training.metrics_csv import METRICS
from rsuda.training.processes import Processes, processes
from rsuda.training.provenance import ABOUT, about_run, changes_on_resume, write_about

STATISTICS_BATCHES = 25

logger = logging.getLogger("rsuda")


def may_write(folder: Path, overwrite: bool, resume: bool) -> None:
    """Refuse a run folder that exists, or one that cannot be resumed."""
    if resume:
        if not (folder / CHECKPOINT).is_file() and (folder / WEIGHTS).is_file():
            raise MissingError(
                f"{folder} is finished but holds no {CHECKPOINT}, so it cannot be resumed: --overwrite trains it again"
            )
        return
    if next((path for path in (folder, *folder.parents) if path.is_file()), None):
        raise ExistsError(f"{folder} cannot be a folder, since it or a parent is a file: choose another --out")
    if folder.is_dir() and not overwrite and {*folder.iterdir()} - {folder / LOCK, *leftovers(folder)}:
        raise ExistsError(
            f"{folder} exists: pass --resume to go on with it, --overwrite to replace it, or another --out"
        )


def prepare(folder: Path) -> None:
    """Make the run folder, without the results of a run that it replaces."""
    make_folder(folder)
    # the configuration first: without it nobody goes on with half of what was removed
    old = (CONFIG, WEIGHTS, SPEC, CHECKPOINT, CURVE, METRICS, ABOUT, "hparams.yaml", "log.txt", "label_free.json")
    for name in old:
        (folder / name).unlink(missing_ok=True)
    for scores in folder.glob("scores_*"):
        scores.unlink()


def adapt(
    settings: Settings,
    folder: Path,
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = False,
    callbacks: list[Callback] | None = None,
    objects: Objects = (None, None),
) -> Method:
    """Train; write config.yaml, weights.safetensors, spec.json, run.json, last.ckpt, metrics.csv and log.txt into
    ``folder``.

    Whenever the process ends, each of these files is complete or absent. ``resume`` continues from the last checkpoint, or
    from step 0 without one, to the weights of an uninterrupted run. If several processes train together, number 0 writes
    and returns.

    Args:
        objects: source and target as objects; the settings name the others.

    Raises:
        InputError, MissingError: data or settings that cannot be trained on; see ``rsuda.training.loop.fit``.
        SystemExit: in the processes other than number 0, at the end of training.
        ExistsError: the folder holds another run, or another process is writing it.
        WriteError: the folder cannot be written to.
    """
    device = pick_device(settings.training.device)
    team = processes(settings.training.devices, settings.training.nodes, device)
    settings, notes = check_run(settings, team.count)
    settings = settings.changed({"training.devices": team.devices})
    if team.first:
        may_write(folder, overwrite, resume)
    with ExitStack() as locks:
        if team.first and folder.is_dir():  # before minutes are spent on reading labels
            locks.enter_context(exclusive(folder / LOCK, f"the run {folder}"))
        if device.type == "cpu":
            keep_freed_memory()
        precision = pick_precision(settings.training.precision, device)
        domains = find_domains(settings, objects)
        pair, start = common_ground(settings, domains)
        configured, settings = settings, with_class_weights(settings, pair)
        module = build(settings, pair, start)
        module.to(memory_format=torch.channels_last)
        if not team.first:
            _train_along(module, settings, pair, folder, device, precision, resume, callbacks or [], team)
        # only now, when nothing of the input can be wrong any more
        if not folder.is_dir():
            make_folder(folder)
            locks.enter_context(exclusive(folder / LOCK, f"the run {folder}"))
            may_write(folder, overwrite, resume)  # somebody else may have been faster
        for leftover in leftovers(folder):
            shutil.rmtree(leftover, ignore_errors=True)
        if resume and not (folder / CHECKPOINT).is_file():
            resume = False
            notes.append(f"{folder} was stopped before its first checkpoint, so it starts from step 0")
        try:
            if not resume:
                prepare(folder)
            with atomic_write(folder / CONFIG, overwrite=True) as temporary:
                temporary.write_text(dump(configured))
            about = about_run(pair, device, precision)
            if resume:
                notes += changes_on_resume(folder, about, checkpoint_step(folder))
            else:
                write_about(folder, about)
            log = _Log(folder / "log.txt")
        except OSError as error:
            raise write_error(folder, error) or error from error
        logger.addHandler(log)
        if logger.level == logging.NOTSET:  # called from Python: the file gets what the command line's gets
            logger.setLevel(logging.DEBUG)
        try:
            for note in [*notes, *pair.notes]:
                logger.warning("note: %s", note)
            _trained(module, settings, pair, folder, device, precision, resume, quiet, callbacks or [], team)
        except RsudaError as error:
            logger.debug("broken off: %s", error)
            raise
        finally:
            logger.removeHandler(log)
            log.close()
    return module.method


def _train_along(
    module: MethodModule,
    settings: Settings,
    pair: Pair,
    folder: Path,
    device: torch.device,
    precision: str,
    resume: bool,
    callbacks: list[Callback],
    team: Processes,
) -> NoReturn:
    """What processes other than number 0 do: they train with it, write nothing, and end."""
    logger.setLevel(logging.ERROR)
    resume = resume and (folder / CHECKPOINT).is_file()
    fit(module, settings, pair, folder, device, precision, resume=resume, quiet=True, callbacks=callbacks, team=team)
    raise SystemExit(0)


def _trained(
    module: MethodModule,
    settings: Settings,
    pair: Pair,
    folder: Path,
    device: torch.device,
    precision: str,
    resume: bool,
    quiet: bool,
    callbacks: list[Callback],
    team: Processes,
) -> None:
    spec, began = pair.target_spec, time.monotonic()
    logger.info(
        "%s -> %s by %s: %d source scenes, %d target scenes, bands %s, GSD %s, %s, %s on %s",
        settings.source.name,
        settings.target.name,
        settings.method.name,
        len(pair.source),
        len(pair.target),
        ", ".join(spec.bands),
        f"{pair.gsd:g} m" if pair.gsd else "native",
        f"{settings.network.encoder} {settings.network.decoder}",
        precision,
        device,
    )
    logger.info(
        "class shares of the source: %s",
        ", ".join(f"{name} {share:.1%}" for name, share in zip(spec.legend.names, pair.class_shares, strict=True)),
    )
    if resume:
        logger.info("going on from the checkpoint of step %d", checkpoint_step(folder))
    how = settings.training
    if team.count > 1 or how.accumulate > 1:
        logger.info(
            "%d processes on %d nodes, %d batches a step: %d patches of each domain in a step",
            team.count,
            team.nodes,
            how.accumulate,
            team.count * how.accumulate * how.batch_size,
        )
    fit(module, settings, pair, folder, device, precision, resume=resume, quiet=quiet, callbacks=callbacks, team=team)
    if settings.align.target_statistics:
        with autocast(precision, device):
            # by number 0 alone, in batches as large as those that batch norm was trained on
            whole = settings.changed({"training.batch_size": settings.training.batch_size * team.count})
            images = (x.to(device) for x in target_batches(pair, whole, STATISTICS_BATCHES))
            norms = estimate_statistics(module.method.model.to(device), images)
        logger.info("the running statistics of %d batch norms were estimated on the target", norms)
    save_run(folder, module.method.model, spec, settings.method.name)
    logger.info("trained %d steps in %.0f s; wrote %s", settings.training.steps, time.monotonic() - began, folder)


class _Log(logging.FileHandler):
    """A run's log.txt. A disk that is full is told once, by what ends the run, and not by every line."""

    def __init__(self, file: Path) -> None:
        if file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n"):  # torn by a power cut
            with file.open("a") as opened:
                opened.write("\n")
        super().__init__(file)
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self.setLevel(logging.DEBUG)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()
