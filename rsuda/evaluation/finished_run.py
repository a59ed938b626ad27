"""Define the result of ``rsuda.adapt``: a run folder and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsuda.core.settings import Settings
from rsuda.runs.folders import PREVIEW, saved_settings

if TYPE_CHECKING:
    from rsuda.evaluation.before import Before
    from rsuda.evaluation.evaluate import Evaluation
    from rsuda.evaluation.label_free import LabelFree
    from rsuda.evaluation.references import Reference


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run. Functions that take a run folder take it too.

    Attributes:
        path: the run folder.
        label_free: scores of the model by the target's images alone.
        scores: of the last checkpoint on the target's labelled split; None without such a split.
        before: the same of the model before adaptation: at the end of the source-only phase, or of the run it starts from.
        references: known scores to compare with, on the sample tiles only.
    """

    path: Path
    label_free: LabelFree
    scores: Evaluation | None = None
    before: Before | None = None
    references: tuple[Reference, ...] = ()

    def __repr__(self) -> str:
        scores = self.scores
        text = f"mIoU {100 * scores.scores.miou:.1f} on {scores.domain} {scores.split}" if scores else "not scored"
        return f"Run({str(self.path)!r}, {text}, selection {self.label_free.selection:.3f})"

    @property
    def preview(self) -> Path:
        """The picture of three target windows before and after adaptation."""
        return self.path / PREVIEW

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def settings(self) -> Settings:
        """Every setting of the run, as its config.yaml has it."""
        return saved_settings(self.path)

    def as_fields(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {
            "run": str(self.path),
            "label_free": self.label_free.as_fields(),
            "scores": self.scores.as_fields() if self.scores else None,
            "before": self.before.as_fields() if self.before else None,
            "references": {reference.what: reference.miou for reference in self.references},
        }
