"""A domain: the scenes of one sensor and place, with their bands, legend and splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spec import band_code
from rsuda.core.spelling import spell_command
from rsuda.geo.scenes.scene import Scene

_OPENED = 100  # scenes whose headers are read for a repr


def natural_order(name: str) -> list[Any]:
    """Sort key of scene names that orders numbers by value: 2_9 comes before 2_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def some_names(names: Iterable[str]) -> str:
    """List a few names for a sentence."""
    texts = list(names) or ["none"]
    return ", ".join(texts[:5]) + (", …" if len(texts) > 5 else "")


@dataclass(frozen=True)
class LabelSet:
    """Matches of one entry of a domain's labels.

    Attributes:
        files: pattern of the files.
        scenes: number of scenes that it labels.
        matches: number of scenes, of the domain or not, that its files have the names of.
        others: examples of files whose names are of no scene.
        about: what sets it apart, such as 'eroded borders'.
    """

    files: str
    scenes: int
    matches: int
    others: tuple[str, ...] = ()
    about: str | None = None

    def __str__(self) -> str:
        about = f" ({self.about})" if self.about else ""
        return f"{self.scenes} of {self.files}{about}"


@dataclass(frozen=True, repr=False)
class Domain:
    """Scenes of one sensor and place.

    Attributes:
        name: name of the domain.
        scenes: all scenes by name; ``label`` is set where a label file exists.
        bands: band names of the images in file order; None to read them from each file.
        legend: the classes; None for a folder of rasters.
        splits: scene names of each split, in order.
        clutter: the class that some protocols leave out of the mean.
        protocol: window and stride of ST-DASegNet's tile list in pixels of the domain's own GSD; None without a list.
        notes: sentences that a user should read once (missing scenes, refused labels).
        label_sets: what each entry of the domain file's labels matches.
        parts: the domains that were joined to this one; empty for a domain of its own.
        hints: scenes by name, each with an old map or rough polygons in place of its label. Adaptation to the domain
            reads them.
    """

    name: str
    scenes: dict[str, Scene]
    bands: tuple[str, ...] | None
    legend: Legend | None = None
    splits: dict[str, list[str]] = field(default_factory=dict)
    clutter: str | None = None
    protocol: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    label_sets: tuple[LabelSet, ...] = ()
    parts: tuple[Domain, ...] = ()
    hints: Mapping[str, Scene] = field(default_factory=dict)

    def split(self, name: str) -> list[Scene]:
        """List the scenes of a split. Raises InputError for an unknown or empty split."""
        if name not in self.splits:
            error = unknown(f"split of domain {self.name}", name, self.splits)
            raise InputError(
                f"{error}; a domain file names its scenes by 'splits: {{{name}: [\"{next(iter(self.scenes), '*')}\"]}}'"
            )
        if not self.splits[name]:
            raise InputError(
                f"split '{name}' of domain {self.name} has no scene in the data folder, which has {some_names(self.scenes)}"
            )
        return [self.scenes[name] for name in self.splits[name]]

    def labelled(self, split: str) -> list[Scene]:
        """List the scenes of a split that must have labels. Raises InputError if a scene has no label file."""
        if split not in self.splits and self.legend is None:
            raise InputError(f"domain {self.name} has no labels{self._label_search()}")
        scenes = self.split(split)
        without_label = [scene.name for scene in scenes if scene.label is None]
        if without_label or self.legend is None:
            names = ", ".join(without_label[:5]) or "its scenes"
            raise InputError(
                f"split '{split}' of domain {self.name} needs labels, but {len(without_label) or len(scenes)} of "
                f"{len(scenes)} scenes have none ({names}){self._label_search()}"
            )
        return scenes

    def _label_search(self) -> str:
        """Describe where labels were looked for and what was found, as the end of a sentence."""
        if self.legend is None:
            return f": write a domain file (YAML) with 'labels' and 'legend', which {spell_command('init', 'FOLDER')} drafts"
        if not self.label_sets:
            return ": add 'labels' to the domain file"
        searches = []
        for labels in self.label_sets:
            others = f", such as {', '.join(labels.others)}, which are of no scene here" if labels.others else ""
            what = f"labels {labels.scenes} scenes{others}" if labels.matches else "matches no file"
            searches.append(f"{labels.files} {what}")
        return f": {'; '.join(searches)}; the same field, as {{tile}}, in both patterns pairs an image with its label"

    def has_labels(self, split: str) -> bool:
        """Check whether a split exists and each of its scenes has a label file; no label is opened."""
        names = self.splits.get(split, [])
        return self.legend is not None and bool(names) and all(self.scenes[name].label is not None for name in names)

    def missing_labels(self, split: str) -> str:
        """Say what a domain without the labels of a split lacks, after 'has'."""
        return "no labels" if self.legend is None else f"no labelled split '{split}'"

    @property
    def gsd(self) -> float:
        """GSD in metres: the median over the scenes (the finer of the two middle ones). Reads the scenes' headers."""
        sizes = sorted(sum(scene.gsd) / 2 for scene in self.scenes.values())
        return round(sizes[(len(sizes) - 1) // 2], 6)

    def __repr__(self) -> str:
        return f"Domain({', '.join([repr(self.name), *(f'{k}: {value}' for k, value in self._summary())])})"

    def _repr_html_(self) -> str:
        """Make a table for notebooks."""
        rows = [(key, escape(value)) for key, value in self._summary()]
        if self.legend is not None:
            rows.append(("classes", _swatches(self.legend)))
        rows += [("note", escape(note)) for note in self.notes]
        return _html_table(self.name, rows)

    def _summary(self) -> list[tuple[str, str]]:
        splits = ", ".join(f"{name} {len(scenes)}" for name, scenes in self.splits.items())
        return [
            ("scenes", str(len(self.scenes))),
            ("bands", band_code(self.bands) if self.bands else "read from each file"),
            ("GSD", self._gsd_text()),
            ("splits", splits or "none"),
        ]

    def _gsd_text(self) -> str:
        has_declared_gsds = all(scene.declared_gsd is not None for scene in self.scenes.values())
        if not self.scenes or not (has_declared_gsds or len(self.scenes) <= _OPENED):
            return "read from each file"
        try:
            return f"{self.gsd:g} m"
        except (InputError, MissingError):
            return "unknown"


def _html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th style='text-align:left'>{key}</th><td>{value}</td></tr>" for key, value in rows)
    return f"<table><caption>{escape(title)}</caption>{body}</table>"


def _swatches(legend: Legend) -> str:
    square = "<span style='display:inline-block;width:1em;height:1em;background:rgb{}'></span>&nbsp;{}"
    return "<br>".join(
        square.format(colour, escape(name)) for name, colour in zip(legend.names, legend.palette, strict=True)
    )
