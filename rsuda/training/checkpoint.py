"""Checkpoints of a run: when one is written, that it is whole, and that it holds nothing that is not a number."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError
from rsuda.learning.distributed import all_gather, world_size
from rsuda.runs.folders import CHECKPOINT


class DivergedError(InputError):
    """Losses or weights that are no numbers any more; going on from the checkpoint would come to the same."""


SECONDS = 600  # between two checkpoints at most
_EVERY = 10  # steps after which losses are looked at, which waits for the GPU; the log does so as often


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the one before and renames it, so that there is always a whole one.

    Lightning's own goes through the system's folder of temporary files, which may be another disk; then it is copied.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        held = io.BytesIO()  # torch.save into a file hides what the system says of a full disk
        torch.save(checkpoint, held)
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_bytes(held.getbuffer())


class CheckpointCallback(Checkpoint):
    """Writes ``last.ckpt`` every so many steps, after ten minutes without one, and after the last step.

    Before each, losses since the last look and all weights are checked: a checkpoint is never replaced by one that holds
    what is no number. The losses are gathered on the device, so that no step waits for it. Processes that train together
    decide alike, since each takes part in writing.

    Args:
        every: optimiser steps.
        batch: says of a step (from 0) which scenes and windows it was shown.
        first: the step that a resumed run goes on from.
        seconds: between two checkpoints at most.
    """

    def __init__(
        self, folder: Path, every: int, batch: Callable[[int], str], first: int = 0, seconds: float = SECONDS
    ) -> None:
        self.file, self.every, self.batch, self.seconds = folder / CHECKPOINT, every, batch, seconds
        self.saved: int | None = first or None
        self.done = first  # steps
        self.began = time.monotonic()
        self.bad: Tensor | None = None  # first step whose loss was no number, -1 while there is none

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.began = time.monotonic()
        self.bad = torch.tensor(-1, device=module.device)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        step = trainer.global_step
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        assert self.bad is not None
        self.bad = torch.where((self.bad < 0) & ~torch.isfinite(loss.detach()), self.done, self.bad)
        if step == self.done:  # one of several batches of a step
            return
        self.done = step
        due = step % self.every == 0 or step == trainer.max_steps or self._late(step, module.device)
        if due or step % _EVERY == 0:
            self._check_losses(trainer)
        if due:
            self.save(trainer, module)

    def save(self, trainer: Any, module: Any) -> None:
        """Raises DivergedError instead of writing weights that are no numbers, WriteError when there is no room."""
        step = trainer.global_step
        if step == self.saved:
            return
        if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
            raise self._complaint("weights", step - 1, trainer)
        for logger in trainer.loggers:  # first, so that rows before the checkpoint are there when it is
            if step and step % trainer.log_every_n_steps == 0:  # Lightning logs a step after its callbacks
                terms = {k: float(v) for k, v in trainer.logged_metrics.items()}
                logger.log_metrics({**terms, "epoch": trainer.current_epoch}, step - 1)
            logger.save()
        trainer.save_checkpoint(self.file)
        self.saved, self.began = step, time.monotonic()

    def _late(self, step: int, device: torch.device) -> bool:
        late = time.monotonic() - self.began > self.seconds
        if world_size() == 1:
            return late
        # the clocks of several processes differ, and to agree takes a message
        return step % _EVERY == 0 and bool(all_gather(torch.tensor([late], device=device)).any())

    def _check_losses(self, trainer: Any) -> None:
        assert self.bad is not None
        bad = all_gather(self.bad[None])
        if (bad >= 0).any():
            raise self._complaint("loss", int(bad[bad >= 0].min()), trainer)

    def _complaint(self, what: str, step: int, trainer: Any) -> DivergedError:
        return DivergedError(
            f"the {what} became infinite or no number in step {step + 1} of {trainer.max_steps} ({self.batch(step)}): look at "
            "these windows, and train anew with a smaller lr in a --config"
            + (" or with --precision fp32" if "bf16" in str(trainer.precision) else "")
        )
