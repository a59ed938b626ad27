"""A run, or several of one pair, as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.annotation.suggest import Suggestion, suggest, write_suggestions
from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError
from rsuda.evaluation.metrics import Scores
from rsuda.geo.raster import is_remote
from rsuda.geo.scene import Scene
from rsuda.inference.open_scene import open_scene
from rsuda.report import curves
from rsuda.report import setup as facts
from rsuda.report.annotation import nexts, overviews
from rsuda.report.examples import source_patches, target_patches
from rsuda.report.features import features
from rsuda.report.histograms import bands as colour_bands
from rsuda.report.page import MOST_BYTES, render
from rsuda.report.runs import read_runs
from rsuda.report.scene_map import scene_map
from rsuda.report.scores import Quality, measure, quality_without_labels, scenes_to_measure
from rsuda.report.summary import answers, headline
from rsuda.report.views import RunView, open_view

Tell = Callable[[str], None]


def report(
    runs: Sequence[str | Path],
    scene: str | Path | None = None,
    out: str | Path = "report.html",
    data: str | Path | None = None,
    k: int = 10,
    size: int = 128,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    tell: Tell | None = None,
) -> Path:
    """Write a page that says whether adapting helped, where it is still wrong, and which windows to label next.

    The target's labels are opened where its score split has any: this is for looking at runs that are finished.

    Args:
        runs: finished run folders of one pair. A source-only one is the 'before'; the adapted one with the highest target
            mIoU (without labels: the highest information score) is the 'after' of pictures, all are in the tables.
        scene: a raster to show as a map to click on, as the 'after' network predicts it.
        out: the page; the windows to label go beside it as ``<stem>_windows.gpkg``, where the target's scenes have a CRS.
        data: folder of the data; the runs' own by default.
        k, size: how many windows to suggest for labelling, and their side in pixels of the network's GSD.
        bands, gsd, crs: of the scene, where its file does not tell; see predict.
        device, precision: see Engine.
        tell: called with a sentence before each long stage.

    Returns:
        the page's path.

    Raises:
        ExistsError: the page or the GeoPackage exists and ``overwrite`` is not set.
        MissingError, InputError: a run is not finished, runs are of different pairs or legends, the target's data are not
            there, the network cannot be shown the scene.
    """
    out, tell = Path(out), tell or (lambda sentence: None)
    windows = out.with_name(f"{out.stem}_windows.gpkg")
    _may_write(out, windows, overwrite)
    if k < 1 or size < 32:
        raise InputError(f"at least 1 window of at least 32 px must be asked for, not {k} of {size} px")
    found = read_runs([Path(r) for r in runs])
    tell("Reading the domains")
    eyes = [open_view(run, str(data) if data else None, device, precision) for run in found]
    opened = None if scene is None else _open(scene, eyes[0], bands, gsd, crs)

    s = found[0].settings
    scenes, labelled, of, split = scenes_to_measure(eyes[0].target_domain, s.score_split, s.target_split)
    quality, free = [], []
    for e in eyes:
        tell(f"Predicting {len(scenes)} scenes of {e.target_domain.name} by {e.run.name}")
        quality.append(measure(e, scenes, labelled, of))
        free.append(quality_without_labels(e))
    before, after = roles(eyes, quality, free)

    tell("Looking at windows of both domains")
    patches = target_patches(eyes, scenes, labelled, before, after)
    sources = source_patches(eyes, before, after)
    chosen = [i for i in (before, after) if i is not None]
    clouds = [f for f in (features(eyes[i], scenes, labelled) for i in chosen) if f is not None]
    colours = colour_bands(eyes[after], scenes)

    tell(f"Choosing {k} windows to label")
    suggested, why_not = _suggested(eyes[after], k, size)
    in_gis = _has_place(suggested, eyes[after])
    drawn = None
    if opened is not None:
        tell(f"Predicting {opened.name} for the map")
        drawn = scene_map(eyes[after].engine, opened, list(eyes[0].target_domain.scenes.values()))

    legend, target = found[0].trained.spec.legend, eyes[0].target_domain
    page = render(
        title=headline(found, quality, before, after, target.name),
        answers=answers(found, quality, free, before, after, suggested),
        runs=found, eyes=eyes, quality=quality, free=free, before=before, after=after, order=_order(found, before, after),
        legend=legend, source=eyes[after].source_domain.name if eyes[after].source_domain else s.source, target=target,  # type: ignore[union-attr]
        labelled=labelled, split=split, scenes=len(scenes), of=of,
        unlike=[] if before is None else facts.unlike(found[before], found[after]),
        facts=facts.facts(eyes), options=[facts.options(r) for r in found], versions=facts.versions(),
        losses=[curves.losses(r) for r in found], trust=[curves.trust(r) for r in found],
        metric=curves.metric(found, before, after), by_class=curves.by_class(found[after]),
        patches=patches, sources=sources, clouds=clouds, bands=colours,
        nexts=nexts(eyes[after], suggested), overviews=overviews(eyes[after], suggested), why_not=why_not,
        windows=windows.name if in_gis else "", map=drawn, confusions=_shares(quality, chosen),
        without_clutter=[_without_clutter(q) for q in quality],
    )  # fmt: skip
    if len(page.encode()) > MOST_BYTES:
        raise InputError(
            f"the page would have {len(page.encode()) / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}: report on fewer runs "
            "at once, or with fewer windows"
        )
    windows.unlink(missing_ok=True)  # only with overwrite is there one
    if in_gis:
        write_suggestions(suggested, target, eyes[after].run.trained.spec, windows)
    with atomic_write(out, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def roles(
    eyes: Sequence[RunView], quality: Sequence[Quality], free: Sequence[dict[str, float]]
) -> tuple[int | None, int]:
    """(before, after): the first source-only run, and the best of the others; a lone kind of run is 'after'."""
    plain = [i for i, e in enumerate(eyes) if e.run.source_only]
    adapted = [i for i in range(len(eyes)) if i not in plain]

    def good(i: int) -> float:
        scores = quality[i].scores
        value = scores.miou if scores is not None else free[i].get("information", 0.0)
        return value if np.isfinite(value) else -1.0

    return (plain[0] if plain and adapted else None), max(adapted or plain, key=good)


def _order(found: Sequence[Any], before: int | None, after: int) -> list[int]:
    """Runs as the tables show them: before, after, the others."""
    first = [i for i in (before, after) if i is not None]
    return [*first, *(i for i in range(len(found)) if i not in first)]


def _may_write(out: Path, windows: Path, overwrite: bool) -> None:
    if out.is_dir():
        raise ExistsError(f"{out} is a folder: name the page, for example --out {out / 'report.html'}")
    for file in (out, windows):
        if file.exists() and not overwrite:
            raise ExistsError(f"{file} exists: pass --overwrite to replace it, or choose another --out")


def _open(scene: str | Path, eyes: RunView, bands: str | None, gsd: float | None, crs: str | None) -> Scene:
    """A scene of the target as its domain knows it, or any other raster."""
    if not is_remote(scene) and bands is None and gsd is None and crs is None:
        for known in eyes.target_domain.scenes.values():
            if not is_remote(known.image) and Path(known.image).resolve() == Path(scene).expanduser().resolve():
                return known
    return open_scene(scene, eyes.engine.trained.spec, bands=bands, gsd=gsd, crs=crs)


def _suggested(eyes: RunView, k: int, size: int) -> tuple[list[Suggestion], str]:
    """Windows of the target's training split, whose labels no run has read; a sentence where there are none."""
    split = eyes.run.settings.target_split
    split = split if eyes.target_domain.splits.get(split) else "all"
    try:
        return suggest(eyes.engine, eyes.target_domain, split, k, size), ""
    except InputError as error:
        return [], str(error)


def _has_place(found: list[Suggestion], eyes: RunView) -> bool:
    """Whether the windows' scenes lie somewhere on the ground, so that a GIS can show them."""
    grids = [eyes.target_domain.scenes[s.scene].grid for s in found]
    return bool(grids) and all(g.crs is not None and g.georeferenced for g in grids)


def _without_clutter(q: Quality) -> Scores | None:
    return Scores(q.scores.matrix, q.scores.names, (q.clutter,)) if q.scores is not None and q.clutter else None


def _shares(quality: Sequence[Quality], chosen: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """By run that is shown, the confusion matrix as shares of each label's pixels; nan for a class without any."""
    found = []
    for i in chosen:
        scores = quality[i].scores
        if scores is not None:
            with np.errstate(invalid="ignore"):
                found.append((i, scores.matrix / scores.matrix.sum(1, keepdims=True)))
    return found
