"""What is this, a raster, a run or a domain, and does it fit?"""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.documents import read_json
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.settings import CONFIG, SPEC, WEIGHTS
from rsuda.core.spec import Spec, band_code, band_names
from rsuda.data.domain import Domain
from rsuda.data.domain_file import KNOWN, describe
from rsuda.data.find_domain import domain
from rsuda.geo.raster import is_remote
from rsuda.geo.raster_info import raster_facts
from rsuda.runs.resolve import newest_run, saved_settings

QUICK = 60_000_000  # label pixels that are counted; more would take long


def info(
    what: str | os.PathLike[str] | Domain | Any,
    model: str | os.PathLike[str] | None = None,
    data: str | Path | None = None,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
) -> dict[str, Any]:
    """Facts about a raster, a run or a domain, as JSON could hold them; ``kind`` says which it is.

    Args:
        what: raster (file or what GDAL opens), run folder, name of a domain, domain file, folder or glob of rasters,
            Domain or torchgeo dataset.
        model: run whose network a raster is to fit; the newest in runs/ by default, if there is one.
        data: folder of the files of a domain.
        bands, gsd, crs: of a raster that does not tell.

    Raises:
        InputError, MissingError: there is no such thing, or it cannot be opened at all.

    Example:
        >>> import rsuda
        >>> facts = rsuda.info("sample_tiles/vaihingen/top/top_mosaic_09cm_area2.tif")
        >>> facts["kind"], facts["driver"], [b["type"] for b in facts["bands"]], facts["gsd"]
        ('raster', 'GTiff', ['uint8', 'uint8', 'uint8'], [0.09, 0.09])
    """
    if not isinstance(what, str | os.PathLike):
        return domain_facts(domain(what))
    name = os.fspath(what)
    path = Path(name).expanduser()
    if is_remote(name):
        return _raster(name, model, bands, gsd, crs)
    if (path / CONFIG).is_file() or (path / WEIGHTS).is_file():
        return run_facts(path)
    if path.name == WEIGHTS and path.is_file():
        return run_facts(path.parent)
    if name in KNOWN or path.suffix in (".yaml", ".yml"):
        return _known(name, data, bands)
    if path.is_file():
        return _raster(str(path), model, bands, gsd, crs)
    if path.is_dir() or (any(c in name for c in "*?[") and glob.glob(name, recursive=True)):
        return domain_facts(domain(name, data, bands=bands, gsd=gsd))
    if os.sep in name or path.suffix:
        raise MissingError(f"there is no file, run or folder {name}")
    raise unknown("domain", name, [*KNOWN, "a raster", "a run folder"])


def _raster(path: str, model: Any, bands: str | None, gsd: float | None, crs: str | None) -> dict[str, Any]:
    facts = raster_facts(path, band_names(bands) if bands else None)
    try:
        run = Path(model) if model is not None else newest_run()
    except MissingError:
        return facts  # none asked for, and none there
    from rsuda.info.suitability import fit  # with it comes torch

    found = fit(path, _spec(run), bands, gsd, crs)
    return {**facts, "fit": {"run": str(run), **found}}


def _about(run: Path) -> dict[str, Any]:
    file = run / SPEC
    if not file.is_file():
        raise MissingError(f"{run} holds no {SPEC}: it is no run folder, or its training has not ended")
    about = read_json(file, "network's description")
    if not isinstance(about, dict) or "spec" not in about:
        raise InputError(f"{file} does not say what network it describes")
    return about


def _spec(run: Path) -> Spec:
    return Spec.from_fields(_about(run)["spec"])


def run_facts(run: Path) -> dict[str, Any]:
    """Pair, method, options, steps, spec, scores, files of a run folder, finished or not. No weights are loaded."""
    facts: dict[str, Any] = {"kind": "run", "run": str(run), "finished": (run / WEIGHTS).is_file()}
    if (run / CONFIG).is_file():
        s = asdict(saved_settings(run))
        first = ("source", "target", "method", "preset", "steps", "seed")
        facts |= {k: s[k] for k in first} | {"steps_logged": _last_step(run / "metrics.csv")}
        facts["method_options"] = s["options"]
        facts["settings"] = {k: v for k, v in s.items() if k not in (*first, "options") and v is not None}
    if (run / SPEC).is_file():
        about = _about(run)
        spec = Spec.from_fields(about["spec"])
        facts["rsuda"] = about.get("rsuda")  # the version that trained it
        facts["spec"] = {
            "bands": list(spec.bands), "gsd": spec.gsd, "low": list(spec.low), "high": list(spec.high),
            "mean": list(spec.mean), "std": list(spec.std), "classes": list(spec.legend.names),
        }  # fmt: skip
    facts["scores"] = [found for f in sorted(run.glob("scores_*.json")) if (found := _scores(f))]
    without = run / "label_free.json"
    facts["label_free"] = _json(without) if without.is_file() else None
    facts["files"] = {f.name: f.stat().st_size for f in sorted(run.iterdir()) if f.is_file()}
    facts["bytes"] = sum(facts["files"].values())
    return facts


def _json(file: Path) -> Any:
    try:
        return read_json(file, "file of scores")
    except (InputError, MissingError):
        return None


def _scores(file: Path) -> dict[str, Any] | None:
    found = _json(file)
    if not isinstance(found, dict) or "miou" not in found:
        return None
    kept = ("domain", "split", "protocol", "scenes", "tiles", "miou", "mf1", "accuracy", "kappa")
    classes = found.get("classes")
    held = classes.items() if isinstance(classes, dict) else ()
    return {k: found.get(k) for k in kept} | {"iou": {n: v.get("iou") for n, v in held if isinstance(v, dict)}}


def _last_step(metrics: Path) -> int | None:
    """The last step in a run's metrics, counted from 1."""
    if not metrics.is_file():
        return None
    try:
        with metrics.open(newline="") as file:
            steps = [
                int(row["step"]) for row in csv.DictReader(file) if re.fullmatch("[0-9]{1,12}", row.get("step") or "")
            ]
    except (UnicodeDecodeError, csv.Error):
        return None  # no table, so it tells no step
    return max(steps) + 1 if steps else None


def _known(name: str, data: str | Path | None, bands: str | None) -> dict[str, Any]:
    """What a domain's description says, and what of it is in the data folder."""
    about = describe(name)
    kept = {k: about[k] for k in ("about", "images", "labels", "get")}
    try:
        found = domain(name, data, bands=bands)
    except MissingError as error:
        return {"kind": "domain", **about, "files": str(error)}
    listed = {s for patterns in about["splits"].values() for s in map(str, patterns) if not any(c in s for c in "*?[")}
    return {**domain_facts(found), **kept, "missing": sorted(listed - set(found.scenes), key=_natural)}


def _natural(name: str) -> list[Any]:
    """A key by which 2_9 comes before 2_10."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in name.split("_")]


def domain_facts(found: Domain) -> dict[str, Any]:
    """Scenes by split, labels, bands, GSD, CRS and class shares of a domain whose files are there."""
    scenes, odd = list(found.scenes.values()), list(found.notes)
    sizes, systems = [], set()
    for scene in scenes:
        try:
            sizes.append(sum(scene.gsd) / 2)
            systems.add(scene.grid.crs.to_string() if scene.grid.crs else "none")
        except (InputError, MissingError) as error:
            if len(odd) < 20:
                odd.append(str(error))
    return {
        "kind": "domain", "name": found.name, "scenes": len(scenes),
        "splits": {
            k: {"scenes": len(names), "labelled": sum(found.scenes[n].label is not None for n in names)}
            for k, names in found.splits.items()
        },
        "bands": band_code(found.bands) if found.bands else None,
        "gsd": [round(min(sizes), 6), round(max(sizes), 6)] if sizes else None, "crs": sorted(systems),
        "classes": list(found.legend.names) if found.legend else None, "class_shares": _shares(found, odd), "odd": odd,
    }  # fmt: skip


def _shares(found: Domain, odd: list[str]) -> dict[str, float] | None:
    """Class shares of all labelled pixels; None without labels, or where there are too many to count quickly."""
    legend, labelled = found.legend, [s for s in found.scenes.values() if s.label is not None]
    if legend is None or not labelled or _pixels(s.file.grid for s in _readable(labelled)) > QUICK:
        return None
    counts = np.zeros(256, np.int64)
    for scene in labelled:
        try:
            counts += np.bincount(scene.whole_label(legend)[0].ravel(), minlength=256)
        except (InputError, MissingError) as error:
            if len(odd) < 20:
                odd.append(str(error))
    total = int(counts[: len(legend)].sum())
    return {n: round(float(c / total), 4) for n, c in zip(legend.names, counts, strict=False)} if total else None


def _readable(scenes: Iterable[Any]) -> list[Any]:
    found = []
    for scene in scenes:
        try:
            scene.file  # noqa: B018 (its header is read here)
            found.append(scene)
        except (InputError, MissingError):
            continue
    return found


def _pixels(grids: Iterable[Any]) -> int:
    return sum(g.height * g.width for g in grids)
