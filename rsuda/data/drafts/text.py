"""Write the text of a drafted domain file: YAML with comments that say what the files hold and what to check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from rsuda.core.display import printable
from rsuda.data.drafts.images import DraftImages
from rsuda.data.drafts.legend import DraftClass


@dataclass(frozen=True)
class Delivery:
    """Images of one pattern: their files and what they hold."""

    pattern: str
    files: int
    images: DraftImages


@dataclass
class Draft:
    """Content of a drafted domain file.

    Attributes:
        name: of the domain.
        folder: that was looked through, for the comments.
        deliveries: of the images, the first to be used.
        heights: patterns of surface models.
        labels: entries of ``labels``, each a pattern or a mapping; the first counts.
        label_comments: what each entry is.
        other_labels: patterns of further label sets, which are written as comments.
        legend: the classes; empty without labels.
        ignore: values of labels that stand for no class.
        tolerance: distance of pixels from the colours or values of smeared labels; 0 for exact ones.
        legend_comment: where the classes come from.
        splits: patterns of scene names by split.
        notes: sentences for the user.
    """

    name: str
    folder: str
    deliveries: list[Delivery]
    heights: list[str] = field(default_factory=list)
    labels: list[str | dict[str, Any]] = field(default_factory=list)
    label_comments: list[str] = field(default_factory=list)
    other_labels: list[str] = field(default_factory=list)
    legend: tuple[DraftClass, ...] = ()
    ignore: tuple[int, ...] = ()
    tolerance: int = 0
    legend_comment: list[str] = field(default_factory=list)
    splits: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def draft_text(draft: Draft, commands: Sequence[str]) -> str:
    """Make the text of a domain file.

    Args:
        commands: what to run next, for the comment at the top.
    """
    lines = [
        f"# Drafted by rsuda init from {printable(draft.folder)}. Check it and name the classes; then:",
        *(f"#   {printable(command)}" for command in commands),
        "# docs/domain_file.md describes every field.",
        f"name: {_quoted(draft.name)}",
        '# about: "sensor, place and date"',
        "",
        *_place(draft.deliveries[0].images),
        "",
        "images:",
        *_images(draft.deliveries),
    ]
    lines += [f"  # heights, which are not used: {printable(pattern)}" for pattern in draft.heights]
    if draft.labels:
        lines += ["", "labels:  # a scene uses the first that it has", *_labels(draft), "", *_legend(draft)]
    else:
        lines += ["", "# without labels: a target. A source needs 'labels' and 'legend'."]
    lines += ["", *_splits(draft.splits, bool(draft.labels))]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _flow(value: Any) -> str:
    """Write a value in YAML's short form, which can hold all that JSON can."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _key(key: str) -> str:
    """Write a key, without quotation marks where YAML reads it as the same text."""
    return key if key.isascii() and key.isidentifier() and yaml.safe_load(key) == key else _quoted(key)


def _place(images: DraftImages) -> list[str]:
    """Write the lines on GSD, CRS and nodata."""
    lines = []
    if images.gsd is None:
        lines.append("# gsd: 0.5  # metres per pixel: the images do not say it, so write it")
    elif images.gsd[0] == images.gsd[1]:
        lines.append(f"# gsd: {images.gsd[0]:g}  # metres per pixel, as the images say; a value here overrides them")
    else:
        lines.append(f"# the images have {images.gsd[0]:g} to {images.gsd[1]:g} m per pixel; gsd: overrides them")
    if "none" in images.systems and images.gsd is not None:
        lines.append('# crs: "EPSG:32633"  # some images have a transform but no CRS: write it')
    else:
        lines.append(f"# CRS of the images: {', '.join(images.systems[:5])}")
    if images.nodata:
        lines.append(f"# nodata of the images: {', '.join(f'{value:g}' for value in images.nodata)}")
    return lines


def _images(deliveries: Sequence[Delivery]) -> list[str]:
    lines: list[str] = []
    codes: set[str] = set()
    for delivery in deliveries:
        images, again = delivery.images, delivery.images.code in codes
        codes.add(images.code)
        bands = images.code if "," not in images.code and "_" not in images.code else list(images.bands)
        name = images.code if len(images.code) <= 12 and images.code.isalnum() else f"bands{len(images.bands)}"
        lines.append(
            f"  # {delivery.files} file{'s' * (delivery.files > 1)}, {', '.join(images.dtypes)}; "
            f"bands {images.bands_from}"
        )
        entry = {"files": delivery.pattern, "bands": bands}
        lines.append(f"  {'# the same bands again: ' if again else ''}{_key(name)}: {_flow(entry)}")
    return lines


def _labels(draft: Draft) -> list[str]:
    lines = []
    for entry, comment in zip(draft.labels, draft.label_comments, strict=True):
        lines += [f"  # {printable(line)}" for line in comment.splitlines()]
        lines.append(f"  - {_flow(entry)}")
    return lines + [f"  # - {_flow(pattern)}" for pattern in draft.other_labels]


def _legend(draft: Draft) -> list[str]:
    lines = [f"# {printable(line)}" for line in draft.legend_comment]
    lines.append("legend:")
    for item in draft.legend:
        entry: dict[str, Any] = {"name": item.name}
        if item.value is not None:
            entry["value"] = item.value
        share = "" if item.share is None else f"  # {_percent(item.share)} of the label pixels read"
        if item.value is None and item.colour == "#000000" and item.name.startswith("colour"):
            share += "; black is often a border or nodata: then move it to ignore"
        lines.append(f"  - {_flow(entry | {'colour': item.colour})}{share}")
    if draft.ignore:
        lines.append(f"ignore: {_flow(list(draft.ignore))}  # nodata of the labels")
    else:
        lines.append("# ignore: []  # values or colours that do not count; move classes of no interest there")
    if draft.tolerance:
        lines.append(f"tolerance: {draft.tolerance}  # distance of smeared label pixels from the colour of their class")
    return lines


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _splits(splits: Mapping[str, Sequence[str]], labelled: bool) -> list[str]:
    lines = ["splits:", *(f"  {_key(name)}: {_flow(list(patterns))}" for name, patterns in splits.items())]
    if labelled and "val" not in splits:
        lines.append('  # val: ["a*", "scene_7"]  # labelled scenes to score by; leave them out of train')
    return lines
