"""Find the labels of a domain file's scenes in a data folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rsuda.data.file_patterns import match_files

if TYPE_CHECKING:
    from rsuda.data.domain_file import DomainFile


def match_labels(fields: DomainFile, files: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Label files by scene, the first pattern first; and notes on scenes whose only label is refused."""
    labels: dict[str, str] = {}
    notes: dict[str, str] = {}
    files = list(files)
    for text in reversed(fields.labels):
        for name, file in match_files(files, text, copies=True).items():
            reason = fields.bad_labels.get(Path(file).name)
            if not reason:
                labels[name] = file
            elif name not in labels:
                notes[name] = f"label {Path(file).name} is refused: {reason}"
    return labels, {name: note for name, note in notes.items() if name not in labels}
