"""Show the progress of training: a bar in the terminal, lines in the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch.callbacks import Callback, TQDMProgressBar

from rsuda.core.progress_lines import PercentLines

logger = logging.getLogger("rsuda")


class TrainingBar(TQDMProgressBar):
    """Lightning's bar (time left) with the loss, the trusted share of pseudo labels, and images per second.

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
        items = dict(_plain(trainer.callback_metrics))
        done = trainer.global_step - self.first
        items["img/s"] = f"{done * self.images / max(1e-9, time.monotonic() - self.began):.1f}"
        return items


class LogProgress(Callback):
    """Callback that logs a line every tenth of the run: time left, loss and trust in words, then every term as a detail.

    Args:
        bar: whether a bar shows the same, so that the line in words is a detail too.
    """

    last_step = 0

    def __init__(self, bar: bool) -> None:
        self.level = logging.DEBUG if bar else logging.INFO
        self.lines = PercentLines()
        self.began, self.first = time.monotonic(), 0

    def on_train_start(self, trainer: Any, *_: Any) -> None:
        self.began, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        if trainer.is_global_zero:
            self.lines.show(step, steps)
        if step % max(1, steps // 10) == 0 and step != self.last_step:  # a step may take several batches
            self.last_step = step
            seconds = (time.monotonic() - self.began) / max(1, step - self.first) * (steps - step)
            time_left = f", {_duration(seconds)} left" if step < steps else ""
            words = "".join(f", {name} {value}" for name, value in _plain(trainer.callback_metrics))
            logger.log(self.level, "step %d of %d%s%s", step, steps, time_left, words)
            terms = ", ".join(f"{name} {float(value):.3g}" for name, value in trainer.callback_metrics.items())
            logger.debug("details of step %d: %s", step, terms)


def _plain(terms: Any) -> list[tuple[str, str]]:
    """Choose the terms that a user without the paper understands: the loss, and how many pseudo labels are trusted."""
    items = [("loss", f"{float(terms['loss']):.3g}")] if "loss" in terms else []
    return items + ([("pseudo labels trusted", f"{float(terms['quality']):.0%}")] if "quality" in terms else [])


def _duration(seconds: float) -> str:
    """Say a time in the unit that fits, such as '40 s', '3 min' or '2 h 10 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
