"""YAML and JSON files of strangers, read as plain data within bounds; nothing in them is executed."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from rsuda.core.errors import InputError, MissingError

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000  # with what aliases repeat: a few of them in a row stand for thousands of millions
DEEPEST = 40
_BRACKETS = 200  # open at once; some may be letters of a text

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 80


def shown(value: Any) -> str:
    """A value for a sentence, cut where it is long."""
    text = _shown.repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


def read_yaml(path: Path, what: str) -> Any:
    """What a YAML file holds. ``what`` is what a sentence calls it, such as 'domain file'.

    Raises MissingError where there is no such file, InputError for one that is no YAML, or beyond the bounds above.
    """
    return _read(path, what, "YAML", yaml.safe_load)


def read_json(path: Path, what: str) -> Any:
    """The same of a JSON file."""
    return _read(path, what, "JSON", json.loads)


def checked_json(text: str, what: str) -> Any:
    """What a JSON text holds, such as the one inside a weights file; bounds as for a file."""
    return _parsed(text, what, "JSON", json.loads)


def _read(path: Path, what: str, kind: str, load: Callable[[str], Any]) -> Any:
    try:
        if not path.is_file():
            raise MissingError(f"there is no {what} {shown(str(path)) if len(str(path)) > 300 else path}")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{what} {path} has {size} bytes, more than the {MOST_BYTES} that are read of such a file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not valid {kind}: {error}") from None
    except (OSError, ValueError) as error:  # a name that is none, or a file that may not be read
        if isinstance(error, (MissingError, InputError)):
            raise
        raise MissingError(f"{what} {shown(str(path))} cannot be read: {error.__class__.__name__}") from None
    return _parsed(text, f"{what} {path}", kind, load)


def _parsed(text: str, where: str, kind: str, load: Callable[[str], Any]) -> Any:
    if len(text) > MOST_BYTES:
        raise InputError(f"{where} holds {len(text)} characters, more than {MOST_BYTES}")
    depth = deepest = 0
    for mark in re.finditer(r"[\[{]|[\]}]", text):  # PyYAML takes long to find out
        depth += 1 if mark[0] in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _BRACKETS:
        raise InputError(f"{where} is nested too deeply")
    try:
        found = load(text)
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None
    except Exception as error:  # beside its own errors, PyYAML lets those of Python's constructors through
        raise InputError(f"{where} is not valid {kind}: {' '.join(str(error).split())[:300]}") from None
    for values, (depth, value) in enumerate(_walk(found), 1):
        if depth > DEEPEST or values > MOST_VALUES:
            raise InputError(f"{where} holds more than {MOST_VALUES} values, or nests them deeper than {DEEPEST} times")
        if isinstance(value, int) and value.bit_length() > 63:
            raise InputError(f"{where} holds a whole number of {value.bit_length()} bits, more than 63")
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise InputError(f"{where} holds half a character (a lone surrogate) in {shown(value)}")
    return found


def _walk(tree: Any) -> Iterator[tuple[int, Any]]:
    """Every value with its depth, keys too; one that two aliases name comes twice, one within itself without end."""
    waiting = [(0, tree)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if isinstance(value, dict):
            waiting += [(depth + 1, v) for pair in value.items() for v in pair]
        elif isinstance(value, (list, tuple, set)):
            waiting += [(depth + 1, v) for v in value]
