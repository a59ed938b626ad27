"""Turn the progress of the stages of a page into that of the whole page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rsuda.geo.scenes.scene import Scene
from rsuda.report.views import RunView

Progress = Callable[[float, float], None]  # of the finished and the whole work

SCENES, WINDOWS, PAGE = "scenes of run", "windows to label", "page"
_PICTURES = 0.1  # work of the pictures, as a share of all other work


@dataclass(frozen=True)
class Stages:
    """Stages of a page, one after another.

    Attributes:
        work: of each stage by name, in their order, in any unit.
        show: called with the finished and the whole work.
    """

    work: Mapping[str, float]
    show: Progress

    def of(self, name: str) -> Progress:
        """Return the progress of a stage, which adds the work of the stages before it."""
        names = list(self.work)
        before, total = sum(self.work[stage] for stage in names[: names.index(name)]), sum(self.work.values())

        def show(done: float, whole: float) -> None:
            self.show(before + self.work[name] * done / max(whole, 1e-9), total)

        return show


def stages_of(views: Sequence[RunView], scenes: Sequence[Scene], progress: Progress | None) -> Stages:
    """List the stages of a page: the scenes of each run, the windows to label, and pictures; pixels are their work."""
    target = views[0].target_domain
    to_label = target.splits.get(split_to_label(views[0]), ())
    scoring, suggestion = _pixels(scenes), _pixels([target.scenes[name] for name in to_label])
    work: dict[str, float] = {f"{SCENES} {number}": scoring for number in range(len(views))}
    work[WINDOWS] = suggestion
    work[PAGE] = _PICTURES * sum(work.values())
    return Stages(work, progress or (lambda done, total: None))


def split_to_label(view: RunView) -> str:
    """Return the split of the target that windows are suggested of: that of training, or all scenes."""
    split = view.run.settings.target.split
    return split if view.target_domain.splits.get(split) else "all"


def _pixels(scenes: Sequence[Scene]) -> float:
    return float(sum(scene.grid.height * scene.grid.width for scene in scenes))
