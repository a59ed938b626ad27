"""Lightning's loop over a method and its patches, and the sentences for what can break it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.errors import InputError, RsudaError, unwritten
from rsuda.core.settings import CHECKPOINT, Settings
from rsuda.data.pair import Pair
from rsuda.data.patches import loader
from rsuda.learning import distributed as world
from rsuda.methods.base import Method
from rsuda.runs.weights import checkpoint_step
from rsuda.training.checkpoint import AtomicCheckpointIO, CheckpointCallback, DivergedError
from rsuda.training.metrics_csv import MetricsFile
from rsuda.training.processes import Processes
from rsuda.training.progress import LogProgress, TrainingBar

logger = logging.getLogger("rsuda")


def train(
    method: Method, s: Settings, found: Pair, folder: Path, device: torch.device, precision: str, resume: bool,
    quiet: bool, callbacks: list[Callback], team: Processes,
) -> None:  # fmt: skip
    """Train to the last step, writing last.ckpt and metrics.csv; ``resume`` goes on from the checkpoint.

    All processes of the ``team`` take part in every checkpoint, and number 0 alone writes.

    Raises:
        InputError: losses or weights are no numbers any more; a process that reads patches was killed.
        MissingError: a file of the data has gone.
        WriteError: the run folder can no longer be written to.
    """
    first = checkpoint_step(folder) if resume else 0
    batches = loader(found, s, with_target=method.needs_target, first_step=first)

    whole = team.count * s.accumulate * s.batch_size

    def batch(step: int) -> str:
        items = range(step * whole, (step + 1) * whole)
        return "; ".join(batches.dataset.where(i) for i in items)  # type: ignore[attr-defined]

    keep = CheckpointCallback(folder, max(1, s.steps // 10), batch, first)
    with warnings.catch_warnings(), explained(folder, keep):
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # of 1x1 convolutions, channels last: the same memory
        warnings.filterwarnings("ignore", "Grad strides do not match")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        images = whole * (2 if method.needs_target else 1)
        trainer = L.Trainer(
            **team.trainer(device, method.needs_target), max_steps=s.steps, accumulate_grad_batches=s.accumulate,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            logger=MetricsFile(folder, first) if team.first else False, log_every_n_steps=min(10, s.steps),
            plugins=[AtomicCheckpointIO()],
            callbacks=[keep, LogProgress(), *([] if quiet else [TrainingBar(images, s.accumulate)]), *callbacks],
            enable_progress_bar=not quiet, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        if first >= s.steps:
            logger.info("the checkpoint is already at step %d of %d", first, s.steps)
        trainer.fit(method, batches, ckpt_path=str(folder / CHECKPOINT) if resume else None, weights_only=True)
        keep.save(trainer, method)
        world.leave()


@contextmanager
def explained(folder: Path, keep: CheckpointCallback) -> Iterator[None]:
    """What breaks training off, as a sentence that ends with what is kept."""
    try:
        yield
    except DivergedError as error:
        left = (
            "no checkpoint had been written" if keep.saved is None else f"the checkpoint of step {keep.saved} is kept"
        )
        raise DivergedError(f"{error}; {left}") from error
    except RsudaError as error:
        # a worker that reads patches hands over its whole traceback as the message, whose last line is the error
        *_, last = str(error).strip().splitlines()
        last = last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
        raise type(error)(f"{last}; {kept(folder, keep)}") from error
    except (ConnectionError, EOFError) as error:  # what is left of a worker's pipe
        raise _worker_killed(folder, keep) from error
    except OSError as error:
        if told := unwritten(folder, error):
            raise type(told)(f"{told}; {kept(folder, keep)}") from error
        raise
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _worker_killed(folder, keep) from error


def _worker_killed(folder: Path, keep: CheckpointCallback) -> InputError:
    return InputError(
        "a process that reads patches was killed, most likely since memory ran out: take fewer of them, or none by "
        f"--workers 0; {kept(folder, keep)}"
    )


def kept(folder: Path, keep: CheckpointCallback) -> str:
    """What a broken run leaves, and how it goes on."""
    if keep.saved is None:
        return "no checkpoint had been written yet"
    return f"the checkpoint of step {keep.saved} is kept: rsuda adapt --out {folder} --resume goes on from it"
