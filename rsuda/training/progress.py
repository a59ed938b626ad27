"""How far training is: a bar for those who watch, lines for those who read the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch.callbacks import Callback, TQDMProgressBar

logger = logging.getLogger("rsuda")


class TrainingBar(TQDMProgressBar):
    """Lightning's bar (loss terms, ETA) with images per second, of ``images`` and ``batches`` a step."""

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
    """A line in the log every tenth of the run, for those who watch a file instead of a bar."""

    told = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        step, last = trainer.global_step, trainer.max_steps
        if step % max(1, last // 10) == 0 and step != self.told:  # a step may take several batches
            self.told = step
            terms = ", ".join(f"{k} {float(v):.3g}" for k, v in trainer.callback_metrics.items())
            logger.debug("step %d of %d: %s", step, last, terms)
