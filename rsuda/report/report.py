"""Report on a run, or several runs of one pair, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsuda.annotation.suggest import Suggestion, suggest, write_suggestions
from rsuda.core.atomic import atomic_write, check_writable
from rsuda.core.errors import ExistsError, InputError, exists
from rsuda.core.spelling import spell
from rsuda.data.checks.files import check_readable, no_data_note
from rsuda.evaluation.label_free import SELECTION
from rsuda.evaluation.metrics import Scores
from rsuda.geo.rasters.raster import is_remote
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.open_scene import open_scene
from rsuda.report import curves, setup
from rsuda.report.annotation import overviews, suggested_windows
from rsuda.report.examples import opening, source_patches, target_patches
from rsuda.report.features import features
from rsuda.report.histograms import band_histograms
from rsuda.report.map_accuracy import MapAccuracy, map_accuracy
from rsuda.report.page import MOST_BYTES, Page, render
from rsuda.report.runs import ReportRun, read_runs
from rsuda.report.scene_map import scene_map
from rsuda.report.scores import Quality, measure, quality_without_labels, scenes_to_measure
from rsuda.report.stages import PAGE, SCENES, WINDOWS, Progress, Stages, split_to_label, stages_of
from rsuda.report.summary import findings, headline
from rsuda.report.views import RunView, open_view

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """What a report reads: runs, their views of the domains, and the scenes to predict.

    Attributes:
        scenes: predicted scenes of ``split``, which has ``scenes_total``; ``labelled`` whether they have labels.
        map_scene: the scene of the map, or None.
        accuracy: the assessment of a map, or None.
    """

    runs: list[ReportRun]
    views: list[RunView]
    scenes: list[Scene]
    labelled: bool
    scenes_total: int
    split: str
    map_scene: Scene | None
    accuracy: MapAccuracy | None


@dataclass(frozen=True)
class Measures:
    """What a report measures: quality by run, the roles of the runs, and the windows to label.

    Attributes:
        before, after: indices of the compared runs, see ``roles``.
        no_suggestions: a sentence where no window can be suggested.
    """

    quality: list[Quality]
    label_free: list[dict[str, float]]
    before: int | None
    after: int
    suggestions: list[Suggestion]
    no_suggestions: str

    @property
    def compared(self) -> list[int]:
        return [i for i in (self.before, self.after) if i is not None]


def report(
    runs: Sequence[str | Path],
    scene: str | Path | None = None,
    out: str | Path = "report.html",
    *,
    accuracy: str | Path | None = None,
    data: str | Path | None = None,
    k: int = 10,
    size: int = 128,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    overwrite: bool = False,
    tell: Tell | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a page that says whether adapting helped, where the model is still wrong, and which windows to label next.

    The target's labels are opened where its validation split has any: a report is for finished runs.

    Args:
        runs: finished run folders of one pair. A source-only run is the 'before'. The adapted run with the highest target
            mIoU (without labels: the highest selection score) is the 'after' of pictures. Tables show all runs.
        scene: a raster to show as a map to click on, predicted by the 'after' model.
        out: the page. The windows to label go beside it as ``<stem>_windows.gpkg``, where the target's scenes have a CRS.
        accuracy: folder of ``rsuda.assess(out=)`` whose results the page shows. By default the folder 'accuracy' beside the
            page, if one of the runs made its map.
        data: folder of the data; the runs' own by default.
        k, size: number of windows to suggest for labelling, and their side in pixels of the model's GSD.
        bands, gsd, crs: of the scene, where its file lacks them; see ``rsuda.predict``.
        device, precision: see ``Predictor.of``; the precision is the runs' own by default.
        tell: called with a sentence before each long stage.
        progress: called with the finished and the whole work, in pixels.

    Returns:
        the page's path.

    Raises:
        ExistsError: the page or the GeoPackage exists and ``overwrite`` is False.
        MissingError, InputError: a run is unfinished, runs have different pairs or legends, the target's data are missing,
            or the scene does not fit the model.
    """
    out, tell = Path(out).expanduser(), tell or (lambda sentence: None)
    windows = out.with_name(f"{out.stem}_windows.gpkg")
    _check_output(out, windows, overwrite=overwrite)
    if k < 1 or size < 32:
        raise InputError(f"{k} windows of {size} px cannot be suggested: ask for at least 1 window of at least 32 px")
    report_runs = read_runs([Path(run) for run in runs])
    assessment = map_accuracy(accuracy, out, report_runs)
    tell("Reading the domains")
    views = [open_view(run, str(data) if data else None, device, precision) for run in report_runs]
    map_scene = None if scene is None else _open(scene, views[0], bands, gsd, crs)
    settings = report_runs[0].settings
    scene_choice = scenes_to_measure(views[0].target_domain, settings.validation.split, settings.target.split)
    material = Material(report_runs, views, *scene_choice, map_scene, assessment)

    stages = stages_of(views, material.scenes, progress)
    measures = _measure(material, k, size, tell, stages)
    in_gis = _is_georeferenced(measures.suggestions, views[measures.after])
    html = render(_page(material, measures, windows.name if in_gis else "", tell))
    stages.of(PAGE)(1, 1)
    if len(html.encode()) > MOST_BYTES:
        raise InputError(
            f"the page would have {len(html.encode()) / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}: report on fewer runs "
            "at once, or with fewer windows"
        )
    windows.unlink(missing_ok=True)  # it exists only with overwrite
    if in_gis:
        after = views[measures.after]
        write_suggestions(measures.suggestions, after.target_domain, after.run.trained.spec, windows)
    with atomic_write(out, overwrite=overwrite) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out


def _measure(material: Material, k: int, size: int, tell: Tell, stages: Stages) -> Measures:
    quality, label_free = [], []
    for number, view in enumerate(material.views):
        tell(f"Predicting {len(material.scenes)} scenes of {view.target_domain.name} by {view.run.name}")
        progress = stages.of(f"{SCENES} {number}")
        quality.append(
            measure(view, material.scenes, material.scenes_total, labelled=material.labelled, progress=progress)
        )
        label_free.append(quality_without_labels(view))
    before, after = roles(material.runs, quality, label_free)
    tell(f"Choosing {k} windows to label")
    return Measures(quality, label_free, before, after, *_suggest(material.views[after], k, size, stages.of(WINDOWS)))


def _page(material: Material, measures: Measures, windows_file: str, tell: Tell) -> Page:
    """Make all pictures, tables and sentences of the page."""
    runs, views, scenes, labelled = material.runs, material.views, material.scenes, material.labelled
    before, after, quality = measures.before, measures.after, measures.quality
    view, target = views[after], views[0].target_domain
    tell("Predicting windows of both domains")
    clouds = [features(views[i], scenes, labelled=labelled) for i in measures.compared]
    drawn_map = None
    if material.map_scene is not None:
        tell(f"Predicting {material.map_scene.name} for the map")
        drawn_map = scene_map(view.predictor, material.map_scene, list(target.scenes.values()))
    examples = target_patches(views, scenes, before, after, labelled=labelled)
    return Page(
        title=headline(runs, quality, before, after, target.name),
        findings=findings(runs, quality, measures.label_free, before, after, measures.suggestions),
        runs=runs,
        views=views,
        quality=quality,
        label_free=measures.label_free,
        before=before,
        after=after,
        order=[*measures.compared, *(i for i in range(len(runs)) if i not in measures.compared)],
        legend=runs[0].trained.spec.legend,
        source=view.source_domain.name if view.source_domain else runs[0].settings.source.title,
        target=target,
        labelled=labelled,
        split=material.split,
        scenes=len(scenes),
        scenes_total=material.scenes_total,
        differences=[] if before is None else setup.differences(runs[before], runs[after]),
        facts=setup.facts(views),
        options=[setup.options(run) for run in runs],
        versions=setup.versions(),
        losses=[curves.losses(run) for run in runs],
        trust=[curves.trust(run) for run in runs],
        metric=curves.metric(runs, before, after),
        by_class=curves.by_class(runs[after]),
        reliability=curves.reliability(runs, [entry.reliability for entry in quality], before, after),
        opening=opening(examples, runs, before, after),
        target_patches=examples,
        source_patches=source_patches(views, before, after),
        features=[cloud for cloud in clouds if cloud is not None],
        bands=band_histograms(view, scenes),
        suggestions=suggested_windows(view, measures.suggestions),
        overviews=overviews(view, measures.suggestions),
        no_suggestions=measures.no_suggestions,
        windows_file=windows_file,
        scene_map=drawn_map,
        accuracy=material.accuracy,
        confusions=_confusion_shares(quality, measures.compared),
        without_clutter=[_without_clutter(scores) for scores in quality],
    )


def roles(
    runs: Sequence[ReportRun], quality: Sequence[Quality], label_free: Sequence[dict[str, float]]
) -> tuple[int | None, int]:
    """Return the indices (before, after): the first source-only run, and the best other one.

    ``before`` has the value None where the runs are all of one kind; ``after`` is then the best of all.
    """
    source_only = [i for i, run in enumerate(runs) if run.source_only]
    adapted_runs = [i for i in range(len(runs)) if i not in source_only]

    def value(i: int) -> float:
        scores = quality[i].scores
        score = scores.miou if scores is not None else label_free[i].get(SELECTION, 0.0)
        return score if np.isfinite(score) else -1.0

    return (source_only[0] if source_only and adapted_runs else None), max(adapted_runs or source_only, key=value)


def _check_output(out: Path, windows: Path, *, overwrite: bool) -> None:
    if out.is_dir():
        raise ExistsError(f"{out} is a folder: name the page, for example {spell('out', out / 'report.html')}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the page {out} must end in .html: pass {spell('out', out.with_name(f'{out.stem}.html'))}")
    for file in (out, windows):
        if file.exists() and not overwrite:
            raise exists(file)
    check_writable(out.parent)


def _open(scene: str | Path, view: RunView, bands: str | None, gsd: float | None, crs: str | None) -> Scene:
    """Open a scene of the target as its domain describes it, or any other raster."""
    if not is_remote(scene) and bands is None and gsd is None and crs is None:
        path = Path(scene).expanduser().resolve()
        for target_scene in view.target_domain.scenes.values():
            if not is_remote(target_scene.image) and Path(target_scene.image).resolve() == path:
                return target_scene
    new_scene = open_scene(scene, view.predictor.trained.spec, bands=bands, gsd=gsd, crs=crs)
    check_readable([new_scene])
    if no_data_note([new_scene]) is not None:
        raise InputError(f"{scene} has no valid pixel, only nodata or transparent ones: choose another scene")
    return new_scene


def _suggest(view: RunView, k: int, size: int, progress: Progress) -> tuple[list[Suggestion], str]:
    """Suggest windows of the target's training split, whose labels no run has read.

    Returns the suggestions and '', or an empty list and the reason.
    """
    try:
        windows = suggest(view.predictor, view.target_domain, split_to_label(view), k, size, progress=progress)
        return windows, ""
    except InputError as error:
        return [], str(error)


def _is_georeferenced(suggestions: list[Suggestion], view: RunView) -> bool:
    """Return whether a GIS can show the windows: all their scenes have a CRS and a geotransform."""
    grids = [view.target_domain.scenes[suggestion.scene].grid for suggestion in suggestions]
    return bool(grids) and all(grid.crs is not None and grid.georeferenced for grid in grids)


def _without_clutter(quality: Quality) -> Scores | None:
    scores = quality.scores
    return Scores(scores.matrix, scores.names, (quality.clutter,)) if scores is not None and quality.clutter else None


def _confusion_shares(quality: Sequence[Quality], both: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """Return confusion matrices as shares of each label's pixels, by run; nan for a class without labelled pixels."""
    shares = []
    for i in both:
        scores = quality[i].scores
        if scores is not None:
            with np.errstate(invalid="ignore"):
                shares.append((i, scores.matrix / scores.matrix.sum(1, keepdims=True)))
    return shares
