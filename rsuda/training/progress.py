"""Show the progress of training: a bar in the terminal, lines in the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch.callbacks import Callback, TQDMProgressBar

logger = logging.getLogger("rsuda")


class TrainingBar(TQDMProgressBar):
    """Lightning's bar (loss terms, ETA) with images per second.

    Args:
        images: number of images in a step of all processes.
        batches: number of batches in a step.
    """

    def __init__(self, images: int, batches: int = 1) -> None:
        super().__init__(refresh_rate=5)
        self.batches = batches
        self.images, self.began, self.first = images, time.monotonic(), 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.began, self.first = time.monotonic(), trainer.global_step
        super().on_train_start(trainer, module)

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description("Adapting")
        return bar

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        super().on_train_epoch_start(trainer, *_)
        self.train_progress_bar.set_description("Adapting")

    @property
    def total_train_batches(self) -> int | float:
        return int(self.trainer.max_steps) * self.batches

    def get_metrics(self, trainer: Any, module: Any) -> dict[str, Any]:
        items = super().get_metrics(trainer, module)
        items.pop("v_num", None)
        done = trainer.global_step - self.first
        items["img/s"] = f"{done * self.images / max(1e-9, time.monotonic() - self.began):.1f}"
        return items


class LogProgress(Callback):
    """Callback that logs a line every tenth of the run."""

    last_step = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        if step % max(1, steps // 10) == 0 and step != self.last_step:  # a step may take several batches
            self.last_step = step
            terms = ", ".join(f"{name} {float(value):.3g}" for name, value in trainer.callback_metrics.items())
            logger.debug("step %d of %d: %s", step, steps, terms)
