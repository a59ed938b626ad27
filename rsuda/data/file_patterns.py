"""Match the files of a data folder with the patterns of a domain file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from rsuda.core.display import shown
from rsuda.core.errors import InputError
from rsuda.geo.polygon_labels import VECTORS
from rsuda.geo.raster import SUFFIXES

_WILDCARDS, _FOLDERS = 3, 2  # wildcards between two slashes and '**/' in a pattern; matching more would take too long
_LINKED = 20  # visits of a folder that links lead to


def pattern(text: str) -> re.Pattern[str]:
    """Compile a glob with named fields, '**/top_{tile}_RGB.tif', for paths relative to the data folder.

    Raises:
        InputError: a field is not an identifier, or the pattern has too many wildcards to match quickly.
    """
    text = re.sub(r"(\*\*/)+", "**/", text)
    if len(text) > 500 or text.count("**/") > _FOLDERS or max(map(_count_wildcards, text.split("/"))) > _WILDCARDS:
        raise InputError(
            f"the pattern {shown(text)} of a domain file is too long or has too many wildcards: use at most 500 characters, "
            f"{_FOLDERS} '**/', and {_WILDCARDS} of * and {{field}} between two slashes"
        )
    expression = ""
    for piece in re.split(r"(\*\*/|\*|\?|\{\w+\})", text):
        if piece.startswith("{") and piece.endswith("}"):
            expression += _named_group(piece[1:-1], expression, text)
        else:
            expression += {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}.get(piece, re.escape(piece))
    return re.compile(expression)


def _named_group(name: str, expression: str, text: str) -> str:
    """The group of a field; a field that occurs again must match the same text."""
    if not name.isidentifier() or not name.isascii():
        raise InputError(
            f"'{{{name}}}' in the pattern {shown(text)} of a domain file is not a field name: write {{tile}}, for example"
        )
    return rf"(?P={name})" if f"<{name}>" in expression else rf"(?P<{name}>[^/]+?)"


def _count_wildcards(part: str) -> int:
    """Count * and {field} between two slashes; '?' matches in one way only, and '**' is counted elsewhere."""
    return 0 if part == "**" else len(re.findall(r"\*|\{\w+\}", part))


def list_files(root: Path) -> list[str]:
    """Paths, relative to the data folder, of all rasters and vector files below it; hidden folders are skipped."""
    files: list[str] = []
    real: dict[str, str] = {}
    visits: Counter[str] = Counter()
    for folder, inner, names in os.walk(root, followlinks=True):
        real[folder] = os.path.realpath(folder)
        visits[real[folder]] += 1
        parents = (real.get(str(parent)) for parent in Path(folder).parents)
        if (
            visits[real[folder]] > _LINKED or real[folder] in parents
        ):  # a link that leads back, or folders full of links
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        relative = Path(folder).relative_to(root).as_posix()
        readable = [name for name in names if name.lower().endswith((*SUFFIXES, *VECTORS))]
        files += readable if relative == "." else [f"{relative}/{name}" for name in readable]
    return sorted(files)


def match_files(files: Iterable[str], text: str, *, copies: bool = False) -> dict[str, str]:
    """Map scene names to files that match a pattern.

    Args:
        copies: take the first of several files of a scene (ISPRS delivers labels twice) instead of refusing them.
    """
    matches: dict[str, str] = {}
    expression = pattern(text)
    for file in files:
        match = expression.fullmatch(file)
        if match is None:
            continue
        name = "_".join(match.groupdict().values()) or Path(file).stem
        if name not in matches:
            matches[name] = file
        elif not copies:
            raise InputError(f"scene '{name}' occurs twice in the data folder: {matches[name]} and {file}")
    return matches


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, text) for text in patterns)
