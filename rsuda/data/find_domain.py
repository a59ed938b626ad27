"""Domains: which files of a data folder are scenes, and what the files do not tell about them.

A domain is a known one (``rsuda/data/known/*.yaml``), a YAML file with the same fields, or a folder or glob of rasters.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.settings import OBJECT
from rsuda.core.spec import band_code, band_names
from rsuda.data.domain_file import KNOWN, fields_of, pattern
from rsuda.data.domain_file import described as described
from rsuda.geo.polygon_labels import VECTORS
from rsuda.geo.raster import SUFFIXES
from rsuda.geo.scene import Scene

_LINKED = 20  # times that links may lead to one folder


@dataclass(frozen=True)
class Domain:
    """Scenes of one sensor and place.

    Attributes:
        scenes: every scene found, by name; ``label`` is set where a label file was found.
        bands: band names of the images in file order; None when each file must tell.
        legend: the classes; None for a folder of rasters.
        splits: split name to scene names, in order.
        clutter: the class that some protocols leave out of the mean.
        protocol: window and stride (pixels of the domain's own GSD) of ST-DASegNet's tile list, where it has one.
        notes: what a user should read once (scenes missing, labels refused).
    """

    name: str
    scenes: dict[str, Scene]
    bands: tuple[str, ...] | None
    legend: Legend | None = None
    splits: dict[str, list[str]] = field(default_factory=dict)
    clutter: str | None = None
    protocol: dict[str, int] | None = None
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> list[Scene]:
        """The scenes of a split. Raises InputError for an unknown or empty split."""
        if name not in self.splits:
            raise unknown(f"split of domain {self.name}", name, self.splits)
        if not self.splits[name]:
            raise InputError(f"split '{name}' of domain {self.name} has no scene in the data folder")
        return [self.scenes[s] for s in self.splits[name]]

    def labelled(self, split: str) -> list[Scene]:
        """The scenes of a split, all of which must have labels. Raises InputError when one has none."""
        scenes = self.split(split)
        bare = [s.name for s in scenes if s.label is None]
        if bare or self.legend is None:
            what = ", ".join(bare[:5]) or "its scenes"
            raise InputError(
                f"split '{split}' of domain {self.name} needs labels, but {len(bare) or len(scenes)} of {len(scenes)} "
                f"scenes have none ({what})"
            )
        return scenes

    def has_labels(self, split: str) -> bool:
        """Whether a split exists and each of its scenes has a label file (no label is opened to find out)."""
        names = self.splits.get(split, [])
        return self.legend is not None and bool(names) and all(self.scenes[n].label is not None for n in names)

    @property
    def gsd(self) -> float:
        """The domain's GSD in metres: the median over its scenes (finer of the two middle ones)."""
        sizes = sorted(sum(s.gsd) / 2 for s in self.scenes.values())
        return round(sizes[(len(sizes) - 1) // 2], 6)


def domain(name: str, data: str | Path | None, bands: str | None = None, gsd: float | None = None) -> Domain:
    """Find a domain's scenes.

    Args:
        name: a known domain, a YAML file, or a folder or glob of rasters.
        data: folder searched for the files of a known domain or YAML file.
        bands: which image variant to use ('RGB', 'IRRG') or, for a folder, the band order of its rasters.
        gsd: metres per pixel of rasters that do not tell, for a folder or glob.

    Raises:
        InputError, MissingError: unknown name, bad field, nothing found; the text says what was looked for and where.
    """
    if name.startswith(OBJECT):
        raise InputError(
            f"the domain '{name.removeprefix(OBJECT)}' was given as an object in Python, so its name finds no files: pass the "
            "object again, as in rsuda.adapt(source, target, out=RUN, resume=True) or rsuda.evaluate(RUN, domain)"
        )
    if name in KNOWN:
        return _from_fields(fields_of(KNOWN[name]), data, bands)
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return _from_fields(fields_of(path), data, bands)
    if path.is_dir() or path.is_file() or any(c in name for c in "*?["):
        return _from_rasters(str(path), bands, gsd)
    if os.sep in name or path.suffix:
        raise MissingError(f"there is no folder, raster or domain file {name}")
    raise unknown("domain", name, [*KNOWN, "a YAML file", "a folder or glob of rasters"])


def _listing(data: str | Path | None, fields: dict[str, Any]) -> list[str]:
    if data is None:
        raise MissingError(f"no data folder for domain {fields['name']}: pass --data or set RSUDA_DATA")
    root = Path(data).expanduser()
    if not root.is_dir():
        raise MissingError(
            f"the data folder {root} is not there; to get the data: {fields.get('get', 'see its publisher')}"
        )
    files: list[str] = []
    real: dict[str, str] = {}
    times: Counter[str] = Counter()
    for folder, inner, names in os.walk(root, followlinks=True):
        real[folder] = os.path.realpath(folder)
        times[real[folder]] += 1
        above = (real.get(str(p)) for p in Path(folder).parents)
        if times[real[folder]] > _LINKED or real[folder] in above:  # a link that leads back, or folders full of links
            inner.clear()
            continue
        inner[:] = sorted(d for d in inner if not d.startswith("."))
        relative = Path(folder).relative_to(root).as_posix()
        files += [
            n if relative == "." else f"{relative}/{n}" for n in names if n.lower().endswith((*SUFFIXES, *VECTORS))
        ]
    return sorted(files)


def _matches(files: Iterable[str], told: str, copies: bool = False) -> dict[str, str]:
    """Scene name to file; ``copies`` allows several files for a scene (ISPRS delivers labels twice) and takes the first."""
    found: dict[str, str] = {}
    expression = pattern(told)
    for file in files:
        match = expression.fullmatch(file)
        if match:
            name = "_".join(match.groupdict().values()) or Path(file).stem
            if name in found and copies:
                continue
            if name in found:
                raise InputError(f"scene '{name}' was found twice in the data folder: {found[name]} and {file}")
            found[name] = file
    return found


def _from_fields(fields: dict[str, Any], data: str | Path | None, bands: str | None) -> Domain:
    files = _listing(data, fields)
    rasters = [f for f in files if f.lower().endswith(SUFFIXES)]
    root = Path(str(data)).expanduser()
    variants = {band_code(band_names(v["bands"])): v for v in fields["images"].values()}
    wanted = band_code(band_names(bands)) if bands else None
    if wanted and wanted not in variants:
        raise unknown(f"band order of domain {fields['name']}", wanted, variants)
    found: dict[str, str] = {}
    code = next(iter(variants))
    for code in [wanted] if wanted else list(variants):
        found = _matches(rasters, variants[code]["files"])
        if found:
            break
    if not found:
        looked = " or ".join(v["files"] for k, v in variants.items() if k == wanted or not wanted)
        raise MissingError(
            f"no image of domain {fields['name']} in {root}: looked for {looked}; to get the data: "
            f"{fields.get('get', 'see its publisher')}"
        )
    kept = fields.get("scenes", ["*"])
    everything, found = found, {n: f for n, f in found.items() if any(fnmatchcase(n, str(p)) for p in kept)}
    if not found:
        raise MissingError(
            f"none of the {len(everything)} scenes in {root} belongs to domain {fields['name']}: looked for "
            f"scenes named {' or '.join(map(str, kept))}, found for example {next(iter(everything))}"
        )
    labels: dict[str, str] = {}
    notes = []
    for told_of_labels in reversed(fields.get("labels", [])):
        matched = _matches(files, str(told_of_labels), copies=True)
        for name, file in list(matched.items()):
            reason = fields.get("bad_labels", {}).get(Path(file).name)
            if reason:
                if name not in labels:
                    notes.append((name, f"label {Path(file).name} is refused: {reason}"))
                del matched[name]
        labels |= matched
    refused = {name: note for name, note in notes if name not in labels}
    bands_here = band_names(variants[code]["bands"])
    scenes = {}
    for name in sorted(found, key=_natural):
        gsd = next((g for p, g in (fields.get("gsd_of") or {}).items() if fnmatchcase(name, str(p))), fields.get("gsd"))
        scenes[name] = Scene(
            name=name, image=root / found[name], label=root / labels[name] if name in labels else None,
            bands=bands_here, declared_gsd=float(gsd) if gsd else None, crs=str(fields["crs"]) if "crs" in fields else None,
        )  # fmt: skip
    splits, told = {}, list(refused.values())
    for split, patterns in fields.get("splits", {"all": ["*"]}).items():
        split = str(split)
        inside = [n for n in scenes if any(fnmatchcase(n, str(p)) for p in patterns)]
        # a scene whose only label is refused leaves the split, by name, rather than spoiling it
        splits[split] = [n for n in inside if n not in refused]
        listed = [p for p in patterns if not any(c in str(p) for c in "*?[")]
        if inside and len(listed) == len(patterns) and len(inside) < len(listed):
            told.append(
                f"{len(inside)} of the {len(listed)} scenes of {fields['name']}'s split '{split}' are in {root}"
            )
    splits.setdefault("all", list(scenes))
    legend = Legend.from_fields(fields["legend"], fields.get("ignore"))
    if fields.get("clutter") and str(fields["clutter"]) not in legend.names:
        raise InputError(f"'clutter: {fields['clutter']}' of domain {fields['name']} is no class of its legend")
    tiling = fields.get("protocol")
    if tiling is not None and not all(
        isinstance(tiling, dict) and type(tiling.get(k)) is int and tiling[k] >= 1 for k in ("window", "stride")
    ):
        raise InputError(f"'protocol' of domain {fields['name']} is not {{window: pixels, stride: pixels}}")
    clutter = str(fields["clutter"]) if fields.get("clutter") else None
    return Domain(str(fields["name"]), scenes, bands_here, legend, splits, clutter, tiling, tuple(told))


def _natural(name: str) -> list[Any]:
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name) if p]


def _from_rasters(place: str, bands: str | None, gsd: float | None) -> Domain:
    path = Path(place)
    if path.is_file():
        files = [place]
    elif path.is_dir():
        found = [f for f in path.rglob("*") if not any(p.startswith(".") for p in f.relative_to(path).parts)]
        files = sorted(str(f) for f in found if f.suffix.lower() in SUFFIXES)
    else:
        files = sorted(f for f in glob.glob(place, recursive=True) if f.lower().endswith(SUFFIXES))
    if not files:
        raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in {place}")
    scenes = {}
    for file in files:
        name = Path(file).stem if Path(file).stem not in scenes else file.replace(os.sep, "_")
        scenes[name] = Scene(name=name, image=Path(file), bands=band_names(bands) if bands else None, declared_gsd=gsd)
    first = next(iter(scenes.values()))
    known = first.file.named_bands
    label = path.name if path.is_dir() else (path.parent.name if path.suffix else path.stem) or "rasters"
    names = list(scenes)
    return Domain(label, scenes, known, None, {"all": names, "train": names})
