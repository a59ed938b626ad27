"""Fit a method to its patches with Lightning, and explain what can break it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.errors import InputError, Interrupted, RsudaError, write_error
from rsuda.core.settings import Settings
from rsuda.core.spelling import spell, spell_command
from rsuda.data.pairs.pair import Pair
from rsuda.data.pairs.patches import loader
from rsuda.learning import distributed
from rsuda.runs.folders import CHECKPOINT
from rsuda.runs.weights import checkpoint_step
from rsuda.training.checkpoint import AtomicCheckpointIO, CheckpointCallback, DivergedError
from rsuda.training.loggers import build_loggers
from rsuda.training.method_module import MethodModule
from rsuda.training.metrics_csv import MetricsFile
from rsuda.training.processes import Processes
from rsuda.training.progress import LogProgress, TrainingBar

logger = logging.getLogger("rsuda")


def fit(
    module: MethodModule,
    settings: Settings,
    domain_pair: Pair,
    folder: Path,
    device: torch.device,
    precision: str,
    *,
    resume: bool,
    quiet: bool,
    callbacks: list[Callback],
    team: Processes,
) -> None:
    """Train to the last step, writing last.ckpt and metrics.csv; ``resume`` goes on from the checkpoint.

    All processes of the ``team`` take part in every checkpoint, and number 0 alone writes.

    Raises:
        InputError: losses or weights are infinite or nan, or a process that reads patches was killed.
        MissingError: a file of the data has gone.
        WriteError: the run folder can no longer be written to.
    """
    method, first = module.method, checkpoint_step(folder) if resume else 0
    patches = team.count * settings.training.accumulate * settings.training.batch_size  # of each domain in a step
    items = {
        f"{domain}_items": range(*(min(step * patches, sys.maxsize) for step in (steps.start, steps.stop)))
        for domain, steps in (("source", method.source_steps), ("target", method.target_steps))
    }
    batches = loader(domain_pair, settings, with_target=method.needs_target, first_step=first, **items)

    def windows_of(step: int) -> str:
        items = range(step * patches, (step + 1) * patches)
        return "; ".join(batches.dataset.where(i) for i in items)  # type: ignore[attr-defined]

    checkpoint = CheckpointCallback(folder, max(1, settings.training.steps // 10), windows_of, first)
    images = patches * sum(settings.training.steps - 1 in steps for steps in (method.source_steps, method.target_steps))
    bars = [] if quiet else [TrainingBar(images, settings.training.accumulate)]
    with _quiet_lightning(), explained(folder, checkpoint):
        trainer = L.Trainer(
            **team.trainer(device, method.needs_target),
            max_steps=settings.training.steps,
            accumulate_grad_batches=settings.training.accumulate,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            logger=[MetricsFile(folder, first), *build_loggers(settings, folder, first)] if team.first else False,
            log_every_n_steps=min(10, settings.training.steps),
            plugins=[AtomicCheckpointIO()],
            callbacks=[checkpoint, LogProgress(bool(bars)), *bars, *callbacks],
            enable_progress_bar=not quiet,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        if first >= settings.training.steps:
            logger.info("the checkpoint is already at step %d of %d", first, settings.training.steps)
        with _interruptible(trainer, folder, checkpoint):
            trainer.fit(module, batches, ckpt_path=str(folder / CHECKPOINT) if resume else None, weights_only=True)
        checkpoint.save(trainer, module)
        distributed.leave_group()


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice, and torch's on the strides of 1x1 convolutions, which are the same memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", "Grad strides do not match")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield


@contextmanager
def _interruptible(trainer: L.Trainer, folder: Path, checkpoint: CheckpointCallback) -> Iterator[None]:
    """Raise Interrupted for Ctrl-C, which Lightning turns into an exit with code 1 and a deaf process."""
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
        again = spell_command("adapt", out=folder, resume=True)
        step = f"interrupted at step {trainer.global_step} of {trainer.max_steps}"
        if checkpoint.step_on_disk is None:
            goes_on = f"no checkpoint had been written yet: {again} begins again"
        else:
            goes_on = f"{again} goes on from step {checkpoint.step_on_disk}"
        raise Interrupted(f"{step}; {goes_on}") from None


@contextmanager
def explained(folder: Path, checkpoint: CheckpointCallback) -> Iterator[None]:
    """Raise what breaks training off as a sentence that ends with what the run folder holds."""
    try:
        yield
    except DivergedError as error:
        checkpoint_note = (
            "no checkpoint had been written"
            if checkpoint.step_on_disk is None
            else f"the checkpoint of step {checkpoint.step_on_disk} is kept"
        )
        raise DivergedError(f"{error}; {checkpoint_note}") from error
    except RsudaError as error:
        # a worker that reads patches hands over its whole traceback as the message, whose last line is the error
        *_, last = str(error).strip().splitlines()
        last = last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
        raise type(error)(f"{last}; {left_behind(folder, checkpoint)}") from error
    except (ConnectionError, EOFError) as error:  # what is left of a worker's pipe
        raise _worker_killed(folder, checkpoint) from error
    except OSError as error:
        if message := write_error(folder, error):
            raise type(message)(f"{message}; {left_behind(folder, checkpoint)}") from error
        raise
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _worker_killed(folder, checkpoint) from error


def _worker_killed(folder: Path, checkpoint: CheckpointCallback) -> InputError:
    return InputError(
        "a process that reads patches was killed, most likely since memory ran out: take fewer of them, or none by "
        f"{spell('workers', 0)}; {left_behind(folder, checkpoint)}"
    )


def left_behind(folder: Path, checkpoint: CheckpointCallback) -> str:
    """Say which checkpoint a broken run has, and how it goes on."""
    if checkpoint.step_on_disk is None:
        return "no checkpoint had been written yet"
    again = spell_command("adapt", out=folder, resume=True)
    return f"the checkpoint of step {checkpoint.step_on_disk} is kept: {again} goes on from it"
