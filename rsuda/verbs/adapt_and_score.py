"""A run to its end: training, then scores without labels and, where the target has some, with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuda.config import Settings
from rsuda.label_free import LabelFree
from rsuda.run import saved_settings
from rsuda.verbs.adapt import Given, adapt, domains_of
from rsuda.verbs.evaluate import Evaluation, score_run, score_without_labels

logger = logging.getLogger("rsuda")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run. It may stand wherever a run folder is asked for.

    Attributes:
        path: the run folder.
        label_free: how good the network is by the target's images alone.
        scores: of the last checkpoint on the target's labelled split; None where there is none.
    """

    path: Path
    label_free: LabelFree
    scores: Evaluation | None = None

    def __repr__(self) -> str:
        s = self.scores
        told = f"mIoU {100 * s.scores.miou:.1f} on {s.domain} {s.split}" if s else "not scored"
        return f"Run({str(self.path)!r}, {told}, information {self.label_free.information:.3f})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def settings(self) -> Settings:
        """Every option of the run, as its config.yaml has it."""
        return saved_settings(self.path)

    def as_fields(self) -> dict[str, Any]:
        return {
            "run": str(self.path),
            "label_free": vars(self.label_free),
            "scores": self.scores.as_fields() if self.scores else None,
        }


def adapt_and_score(
    s: Settings,
    folder: Path,
    domains: Given = (None, None),
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = False,
    tell: Callable[[str], None] = logger.info,
) -> Run:
    """Train a run, score it without labels, and with them where the target has a labelled split.

    Args:
        domains: source and target, where they are objects instead of the names in the settings.
        tell: what is told to the user on the way.

    Raises:
        InputError, MissingError, ExistsError: as the sentence says; nothing is written then.
    """
    adapt(s, folder, overwrite, resume, quiet, given=domains)
    target = domains_of(s, domains)[1]
    label_free, _ = score_without_labels(folder, target, s.target_split, device=s.device, precision=s.precision)
    scores = None
    if target.has_labels(s.score_split):
        scores, _ = score_run(folder, target, s.score_split, device=s.device, precision=s.precision)
    else:
        tell(f"{target.name} has no labelled split '{s.score_split}', so nothing was scored.")
    return Run(folder, label_free, scores)
