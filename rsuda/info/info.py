"""Describe rasters, runs and domains, and check a raster against a model."""

from __future__ import annotations

import csv
import glob
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.crosswalk import unshared_note
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError, MissingError
from rsuda.core.hub import HubAddress, local_model
from rsuda.core.settings import CONFIG, Settings
from rsuda.core.spec import Spec, band_code, band_names
from rsuda.data import find_domain
from rsuda.data.checks.files import check_pixels
from rsuda.data.checks.labels import label_notes, outside_note, scene_notes
from rsuda.data.checks.validity import collar_notes, label_nodata_notes
from rsuda.data.domain_files.domain_file import KNOWN, describe, unknown_domain
from rsuda.data.domains.archives import ARCHIVE
from rsuda.data.domains.domain import Domain, natural_order
from rsuda.data.domains.stac_domain import is_stac
from rsuda.geo.rasters.info import raster_facts
from rsuda.geo.rasters.raster import is_remote
from rsuda.geo.scenes.files import is_pattern
from rsuda.geo.scenes.scene import Scene
from rsuda.runs.folders import SPEC, WEIGHTS, newest_run, saved_settings

QUICK = 60_000_000  # label pixels that are counted; more would take long
_MOST_WARNINGS = 20
_MOST_NAMES = 10  # of scenes


def info(
    what: str | os.PathLike[str] | Domain | Any,
    model: str | os.PathLike[str] | None = None,
    data: str | Path | None = None,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Describe a raster, a run or a domain by values that JSON can hold; the key ``kind`` says which it is.

    Args:
        what: raster (file, or another name that GDAL opens), run folder, model of a hub (hf://org/name), or domain. A
            domain is a name, domain file, folder or glob of rasters, Domain or torchgeo dataset.
        model: run or model of a hub to check a raster against; by default the newest run in runs/, if there is one.
        data: folder of the files of a domain.
        bands, gsd, crs, nodata: of a raster without them.

    Raises:
        InputError, MissingError: unknown name, or a file that cannot be opened.

    Example:
        >>> import rsuda
        >>> facts = rsuda.info("sample_tiles/vaihingen/top/top_mosaic_09cm_area2.tif")
        >>> facts["kind"], facts["driver"], [b["type"] for b in facts["bands"]], facts["gsd"]
        ('raster', 'GTiff', ['uint8', 'uint8', 'uint8'], [0.09, 0.09])
    """
    if not isinstance(what, str | os.PathLike):
        return domain_facts(find_domain.domain(what))
    name = os.fspath(what)
    run, path = _run_at(name), Path(name).expanduser()
    if run is not None:
        return run_facts(run) | {"run": str(HubAddress.of(name) or run)}
    if is_stac(name):
        return domain_facts(find_domain.domain(name, data, bands=bands, gsd=gsd))
    if is_remote(name):
        return _raster(name, model, bands, gsd, crs, nodata)
    if name in KNOWN or path.suffix in (".yaml", ".yml"):
        return _with_class_note(_described_domain(name, data, bands, nodata), model)
    if path.is_file() and path.suffix.lower() != ARCHIVE:
        return _raster(str(path), model, bands, gsd, crs, nodata)
    if path.exists() or (is_pattern(name) and glob.glob(name, recursive=True)):
        return domain_facts(find_domain.domain(name, data, bands=bands, gsd=gsd, nodata=nodata))
    if len(path.parts) > 1 or path.suffix:
        raise MissingError(f"there is no file, run or folder {name}")
    raise unknown_domain(name, "a raster", "a run folder")


def _run_at(name: str) -> Path | None:
    """Find the folder of the run that a path, a weights file or an address on a hub names; None without a run."""
    path = local_model(name)
    if (path / CONFIG).is_file() or (path / WEIGHTS).is_file():
        return path
    return path.parent if path.name == WEIGHTS and path.is_file() else None


def with_old_keys(facts: dict[str, Any]) -> dict[str, Any]:
    """Add the keys ``fit`` and ``odd`` of earlier versions for ``rsuda info --json``; they leave with the next release."""
    old = {"suitability": "fit", "warnings": "odd"}
    return facts | {old[key]: value for key, value in facts.items() if key in old}


def _raster(
    path: str, model: Any, bands: str | None, gsd: float | None, crs: str | None, nodata: float | None
) -> dict[str, Any]:
    facts = raster_facts(path, band_names(bands) if bands else None, nodata)
    try:
        run = local_model(model) if model is not None else newest_run()
    except MissingError:
        return facts  # no run to check against
    from rsuda.info.suitability import suitability  # imports torch

    return {**facts, "suitability": {"run": str(run), **suitability(path, _spec(run), bands, gsd, crs, nodata)}}


def _network_facts(run: Path) -> dict[str, Any]:
    """Read the content of a run's spec.json."""
    file = run / SPEC
    if not file.is_file():
        raise MissingError(f"{run} is not a run folder, or its training is not finished: {SPEC} is missing")
    facts = read_json(file, "model description")
    if not isinstance(facts, dict) or "spec" not in facts:
        raise InputError(f"{file} is not a description of a model: the field 'spec' is missing")
    return facts


def _spec(run: Path) -> Spec:
    return Spec.from_fields(_network_facts(run)["spec"])


def _settings_facts(settings: Settings) -> dict[str, Any]:
    """Read the settings of a run: the main ones by short names, the others by their dotted names."""
    main = {"source.name", "target.name", "preset", "training.steps", "training.seed"}
    others = {k: value for k, value in settings.by_name().items() if k not in main and not k.startswith("method.")}
    return {
        "source": settings.source.title,
        "target": settings.target.name,
        "method": settings.method.name,
        "preset": settings.preset,
        "steps": settings.training.steps,
        "seed": settings.training.seed,
        "method_options": settings.method.options,
        "settings": {name: value for name, value in others.items() if value is not None},
    }


def run_facts(run: Path) -> dict[str, Any]:
    """Describe a run folder, finished or not: pair, method, options, steps, spec, scores, files. No weights are loaded."""
    facts: dict[str, Any] = {"kind": "run", "run": str(run), "finished": (run / WEIGHTS).is_file()}
    if (run / CONFIG).is_file():
        facts |= _settings_facts(saved_settings(run)) | {"steps_logged": _last_step(run / "metrics.csv")}
    if (run / SPEC).is_file():
        network = _network_facts(run)
        spec = Spec.from_fields(network["spec"])
        facts["rsuda"] = network.get("rsuda")  # version of the training
        fields = spec.as_fields()
        facts["spec"] = {k: value for k, value in fields.items() if k != "legend"} | {
            "classes": list(spec.legend.names)
        }
    scores = (_scores(file) for file in sorted(run.glob("scores_*.json")))
    facts["scores"] = [score for score in scores if score]
    label_free = run / "label_free.json"
    facts["label_free"] = _read_scores(label_free) if label_free.is_file() else None
    facts["files"] = {file.name: file.stat().st_size for file in sorted(run.iterdir()) if file.is_file()}
    facts["bytes"] = sum(facts["files"].values())
    return facts


def _read_scores(file: Path) -> Any:
    try:
        return read_json(file, "file of scores")
    except (InputError, MissingError):
        return None


def _scores(file: Path) -> dict[str, Any] | None:
    scores = _read_scores(file)
    if not isinstance(scores, dict) or "miou" not in scores:
        return None
    keys = ("domain", "split", "protocol", "scenes", "tiles", "miou", "mf1", "accuracy", "kappa")
    classes = scores.get("classes")
    items = classes.items() if isinstance(classes, dict) else ()
    iou = {name: values.get("iou") for name, values in items if isinstance(values, dict)}
    return {key: scores.get(key) for key in keys} | {"iou": iou}


def _last_step(metrics: Path) -> int | None:
    """Find the last step in a run's metrics, counted from 1; None for an unreadable table or one without steps."""
    if not metrics.is_file():
        return None
    try:
        with metrics.open(newline="", encoding="utf-8") as file:
            cells = [row.get("step") or "" for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error):
        return None
    steps = [int(cell) for cell in cells if re.fullmatch("[0-9]{1,12}", cell)]
    return max(steps) + 1 if steps else None


def _with_class_note(facts: dict[str, Any], model: Any) -> dict[str, Any]:
    """Add a warning on the classes that a domain and a model do not share."""
    if model is None or not facts.get("classes"):
        return facts
    classes = run_facts(local_model(model))["spec"]["classes"]
    note = unshared_note(classes, facts["classes"], facts["name"])
    return facts | {"warnings": [*facts.get("warnings", []), *([note] if note else [])]}


def _described_domain(name: str, data: str | Path | None, bands: str | None, nodata: float | None) -> dict[str, Any]:
    """Collect the description of a domain, and what the data folder has of it."""
    description = describe(name)
    try:
        result = find_domain.domain(name, data, bands=bands, nodata=nodata)
    except MissingError as error:
        raise MissingError(f"{error}; rsuda domains {shlex.quote(name)} describes them") from None
    patterns = (text for texts in description["splits"].values() for text in texts)
    scene_names = {text for text in patterns if not any(sign in text for sign in "*?[")}
    missing_scenes = sorted(scene_names - set(result.scenes), key=natural_order)
    return {
        **domain_facts(result),
        **{key: description[key] for key in ("about", "images", "labels", "get")},
        "missing": missing_scenes,
    }


def domain_facts(domain: Domain) -> dict[str, Any]:
    """Describe a domain: scenes by split, labels, bands, GSD, CRS and class shares."""
    warnings = list(domain.notes)
    sizes, systems = [], set()
    for scene in domain.scenes.values():
        try:
            sizes.append(sum(scene.gsd) / 2)
            systems.add(scene.grid.crs.to_string() if scene.grid.crs else "none")
        except (InputError, MissingError) as error:
            _warn(warnings, error)
    warnings += check_pixels(list(domain.scenes.values()))
    warnings += collar_notes(domain.name, list(domain.scenes.values()), domain.bands)
    warnings += scene_notes(list(domain.scenes.values()))
    if domain.label_sets and not any(scene.label for scene in domain.scenes.values()):
        patterns = "; ".join(str(labels) for labels in domain.label_sets)
        in_catalogue = domain.name in KNOWN
        mend = "unpack each archive into a folder of its name" if in_catalogue else "correct labels in the domain file"
        warnings.append(f"no scene has labels (files that match: {patterns}): {mend}")
    shares, off_legend = _count_classes(domain, warnings)
    return {
        "kind": "domain",
        "name": domain.name,
        "scenes": len(domain.scenes),
        "scene_names": list(domain.scenes)[:_MOST_NAMES],
        "splits": {
            split: {"scenes": len(names), "labelled": sum(domain.scenes[scene].label is not None for scene in names)}
            for split, names in domain.splits.items()
        },
        "label_sets": [str(labels) for labels in domain.label_sets],
        "hinted_scenes": len(domain.hints) or None,
        "bands": band_code(domain.bands) if domain.bands else None,
        "gsd": [round(min(sizes), 6), round(max(sizes), 6)] if sizes else None,
        "crs": sorted(systems),
        "classes": list(domain.legend.names) if domain.legend else None,
        "class_shares": shares,
        "off_legend_pixels": off_legend,
        "warnings": warnings,
    }


def _warn(warnings: list[str], error: Exception) -> None:
    if len(warnings) < _MOST_WARNINGS and str(error) not in warnings:
        warnings.append(str(error))


def _count_classes(domain: Domain, warnings: list[str]) -> tuple[dict[str, float] | None, int | None]:
    """Measure the class shares of all labelled pixels, and count the label pixels outside of the legend.

    Both are None without labels, or where there are too many to count quickly.
    """
    legend, scenes = domain.legend, [scene for scene in domain.scenes.values() if scene.label is not None]
    if legend is None or not scenes or _count_pixels(scenes) > QUICK:
        return None, None
    try:
        warnings += [*label_notes(scenes, legend), *label_nodata_notes(scenes, legend)]
    except (InputError, MissingError) as error:
        _warn(warnings, error)
    counts, off_legend = np.zeros(256, np.int64), 0
    for scene in scenes:
        try:
            label, outside = scene.whole_label(legend)
            counts += np.bincount(label.ravel(), minlength=256)
            off_legend += outside
        except (InputError, MissingError) as error:
            _warn(warnings, error)
    total = int(counts[: len(legend)].sum())
    if off_legend:
        share = off_legend / (total + off_legend)
        warnings.append(f"{max(share, 0.001):.1%} of the label pixels are {outside_note(scenes, legend)}")
    if not total:
        if not off_legend and not warnings:
            _warn(warnings, InputError("no label pixel has a class: all are nodata, masked, transparent or uncovered"))
        return None, off_legend
    shares = {name: round(float(count / total), 4) for name, count in zip(legend.names, counts, strict=False)}
    return shares, off_legend


def _count_pixels(scenes: Iterable[Scene]) -> int:
    """Count the pixels of the scenes whose headers can be read."""
    pixels = 0
    for scene in scenes:
        try:
            pixels += scene.file.grid.height * scene.file.grid.width
        except (InputError, MissingError):
            continue
    return pixels
