"""Write checkpoints of a run: at which steps, whole, and with finite numbers only."""

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
from rsuda.core.spelling import spell
from rsuda.learning.distributed import all_gather, world_size
from rsuda.runs.folders import CHECKPOINT
from rsuda.training.metrics_csv import MetricsFile


class DivergedError(InputError):
    """Losses or weights became infinite or nan; training again from the checkpoint would end in the same way."""


SECONDS = 600  # longest time between two checkpoints
_EVERY = 10  # steps between two checks of the losses, which wait for the GPU; the log waits as often


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint files that are renamed onto the previous one, so that a whole one always exists.

    Lightning's class writes to the system's temporary folder and copies from there if that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()  # torch.save into a file hides the system's error for a full disk
        torch.save(checkpoint, buffer)
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class CheckpointCallback(Checkpoint):
    """Callback that writes ``last.ckpt`` every N steps, after ten minutes without one, and after the last step.

    Before each, it checks the losses since the previous check and all weights. So a checkpoint with infinite or nan
    values never replaces a good one. Losses are collected on the device, so that no step waits for it. Processes that
    train together decide together, since all of them take part in writing.

    Args:
        folder: the run folder.
        every: optimizer steps between two checkpoints.
        batch: describes the scenes and windows of a step (from 0).
        first: the step that a resumed run continues from.
        seconds: longest time between two checkpoints.
    """

    def __init__(
        self, folder: Path, every: int, batch: Callable[[int], str], first: int = 0, seconds: float = SECONDS
    ) -> None:
        self.file, self.every, self.batch, self.seconds = folder / CHECKPOINT, every, batch, seconds
        self.step_on_disk: int | None = first or None
        self.done = first  # steps
        self.began = time.monotonic()
        self.bad: Tensor | None = None  # first step whose loss was not finite, -1 without one

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
        """Write a checkpoint. Raises DivergedError for weights that are not finite, WriteError for a full disk."""
        step = trainer.global_step
        if step == self.step_on_disk:
            return
        if not all(bool(torch.isfinite(weights).all()) for weights in module.parameters()):
            raise self._complaint("weights", step - 1, trainer)
        for logger in trainer.loggers:  # first, so that the rows before a checkpoint exist with it
            if not isinstance(logger, MetricsFile):
                continue
            if step and step % trainer.log_every_n_steps == 0:  # Lightning logs a step after its callbacks
                terms = {name: float(value) for name, value in trainer.logged_metrics.items()}
                logger.log_metrics({**terms, "epoch": trainer.current_epoch}, step - 1)
            logger.save()
        trainer.save_checkpoint(self.file)
        self.step_on_disk, self.began = step, time.monotonic()

    def _late(self, step: int, device: torch.device) -> bool:
        late = time.monotonic() - self.began > self.seconds
        if world_size() == 1:
            return late
        # the clocks of several processes differ, and an agreement takes a message
        return step % _EVERY == 0 and bool(all_gather(torch.tensor([late], device=device)).any())

    def _check_losses(self, trainer: Any) -> None:
        assert self.bad is not None
        bad = all_gather(self.bad[None])
        if (bad >= 0).any():
            raise self._complaint("loss", int(bad[bad >= 0].min()), trainer)

    def _complaint(self, what: str, step: int, trainer: Any) -> DivergedError:
        return DivergedError(
            f"the {what} became infinite or nan in step {step + 1} of {trainer.max_steps} ({self.batch(step)}): check these "
            "windows, and train again with a smaller learning rate"
            + (f" or with {spell('precision', 'fp32')}" if "bf16" in str(trainer.precision) else "")
        )
