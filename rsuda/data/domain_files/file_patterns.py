"""Match the files of a data folder, and of other folders that patterns name, with the patterns of a domain file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from rsuda.core.display import shown
from rsuda.core.errors import InputError
from rsuda.data.domains.archives import ARCHIVE, files_in_archives
from rsuda.geo.polygons.input import VECTORS
from rsuda.geo.rasters.raster import SUFFIXES

_WILDCARDS, _FOLDERS = 3, 2  # wildcards between two slashes and '**/' in a pattern; matching more would take too long
_LINKED = 20  # visits of a folder that links lead to


def pattern(text: str) -> re.Pattern[str]:
    """Compile a glob with named fields, '**/top_{tile}_RGB.tif', for paths relative to the data folder.

    The case of the extension does not count: '.tif' also matches '.TIF'.

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
    stem, extension = re.fullmatch(r"(.*?)((?:\.[A-Za-z0-9]+)?)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    for piece in re.split(r"(\*\*/|\*|\?|\{\w+\})", stem):
        if piece.startswith("{") and piece.endswith("}"):
            expression += _named_group(piece[1:-1], expression, text)
        else:
            expression += {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}.get(piece, re.escape(piece))
    return re.compile(f"{expression}(?i:{re.escape(extension)})")


def _named_group(name: str, expression: str, text: str) -> str:
    """Make the group of a field; a field that occurs again must match the same text."""
    if not name.isidentifier() or not name.isascii():
        raise InputError(
            f"'{{{name}}}' in the pattern {shown(text)} of a domain file is not a field name: write {{tile}}, for example"
        )
    return rf"(?P={name})" if f"<{name}>" in expression else rf"(?P<{name}>[^/]+?)"


def _count_wildcards(part: str) -> int:
    """Count * and {field} between two slashes; '?' matches in one way only, and '**' is counted elsewhere."""
    return 0 if part == "**" else len(re.findall(r"\*|\{\w+\}", part))


def has_signs(text: str) -> bool:
    """Check whether a pattern has a wildcard or a field, so that it may match several files."""
    return re.search(r"[*?]|\{\w+\}", text) is not None


def is_outside(path: str) -> bool:
    """Check whether a pattern or path is absolute or leads out of the data folder."""
    return os.path.isabs(path) or path.startswith(("../", "~"))


def list_files(root: Path, patterns: Iterable[str] = ()) -> list[str]:
    """List the rasters and vector files below the data folder, by relative paths, and those outside that patterns name.

    Args:
        patterns: absolute ones, or ones that begin with '../' or '~', add the files below their fixed folder. Files of rarer
            kinds (ENVI's .dat, GML, …) are listed only where a pattern ends as they do.

    Raises:
        InputError: a pattern outside of the data folder names no folder to search.
    """
    patterns = list(patterns)
    suffixes = (*SUFFIXES, *VECTORS, *filter(None, {_ending(text) for text in patterns} - {ARCHIVE}))
    files = _files_below(root, suffixes)
    bases = set()
    for text in filter(is_outside, patterns):
        folders = text.split("/")[:-1]
        folders = folders[: next((k for k, part in enumerate(folders) if has_signs(part)), len(folders))]
        if not any(part.strip("./~") for part in folders):
            raise InputError(f"the pattern {shown(text)} of a domain file names no folder to search: begin with one")
        bases.add("/".join(folders))
    for base in sorted(bases):
        folder = root / Path(base).expanduser()
        files += [f"{base}/{file}" for file in (_files_below(folder, suffixes) if folder.is_dir() else ())]
    return list(dict.fromkeys(files))


def _ending(text: str) -> str:
    """Return the suffix that all files of a pattern have, in lower case; '' where a wildcard or a field is in it."""
    suffix = Path(text).suffix.lower()
    return "" if has_signs(suffix) else suffix


def _files_below(root: Path, suffixes: tuple[str, ...]) -> list[str]:
    """List relative paths of all files with these suffixes below a folder, also of rasters in archives.

    Hidden folders are skipped.
    """
    files: list[str] = []
    archives: list[str] = []
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
        prefix = "" if relative == "." else f"{relative}/"
        files += [f"{prefix}{name}" for name in names if name.lower().endswith(suffixes)]
        archives += [f"{prefix}{name}" for name in names if name.lower().endswith(ARCHIVE) and name[0] != "."]
    return sorted(files) + (files_in_archives(root, sorted(archives), files) if archives else [])


def match_files(files: Iterable[str], text: str, *, copies: bool = False) -> dict[str, str]:
    """Map scene names to files that match a pattern.

    Args:
        copies: take the first of several files of a scene (ISPRS delivers labels twice) instead of refusing them.

    Raises:
        InputError: a scene has several files, and ``copies`` is False.
    """
    matches: dict[str, str] = {}
    expression, outside = pattern(text), is_outside(text)
    for file in files:
        match = expression.fullmatch(file)
        if match is None or is_outside(file) != outside:
            continue
        name = "_".join(match.groupdict().values()) or Path(file).stem
        if name not in matches:
            matches[name] = file
        elif not copies:
            advice = "" if "{" in text else ": write a field where their paths differ, as in {dir}/" + Path(text).name
            raise InputError(f"scene '{name}' occurs twice in the data folder: {matches[name]} and {file}{advice}")
    return matches


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, text) for text in patterns)
