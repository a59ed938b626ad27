"""Read untrusted YAML and JSON safely: size, depth and number of values are limited, and no code is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from rsuda.core.display import shown
from rsuda.core.errors import InputError, MissingError

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000  # aliases count each time: a few lines of them can stand for thousands of millions of values
DEEPEST = 40
_ADVICE = {  # what is often wrong with YAML that does not parse
    r"(?m)^ *\t": "; indent lines by spaces, not by tabs",
    r"[:,\[] *#[0-9a-fA-F]{6}\b": "; put colours in quotation marks, as '#FF0000'",
}
_BRACKETS = 200  # open at the same time; some may be characters of a text


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a name that is written twice: it would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is written twice", key.start_mark)
            names.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, what: str) -> Any:
    """Read a YAML file as plain data.

    Args:
        what: noun for the file in error messages, such as 'domain file'.

    Raises:
        MissingError: the file is missing or unreadable.
        InputError: the file is not valid YAML or exceeds a limit of this module.
    """
    return _read(path, what, "YAML", lambda text: _Loader(text).get_single_data())


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file as plain data; arguments and errors are those of ``read_yaml``."""
    return _read(path, what, "JSON", json.loads)


def parse_json(text: str, what: str) -> Any:
    """Parse a JSON text, such as the metadata of a weights file, with the limits of ``read_json``."""
    return _parse(text, what, "JSON", json.loads)


def _read(path: Path, what: str, kind: str, load: Callable[[str], Any]) -> Any:
    try:
        if path.is_dir():
            raise MissingError(f"{path} is a folder: name the {what} itself")
        if not path.is_file():
            raise MissingError(f"there is no {what} {shown(str(path)) if len(str(path)) > 300 else path}")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{what} {path} has {size} bytes; at most {MOST_BYTES} are read of such a file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{what} {path} is not valid {kind}, which is UTF-8 text: save it as UTF-8") from None
    except (OSError, ValueError) as error:  # an invalid file name, or a file without read permission
        if isinstance(error, (MissingError, InputError)):
            raise
        raise MissingError(f"{what} {shown(str(path))} cannot be read: {error.__class__.__name__}") from None
    return _parse(text, f"{what} {path}", kind, load)


def _parse(text: str, where: str, kind: str, load: Callable[[str], Any]) -> Any:
    if len(text) > MOST_BYTES:
        raise InputError(f"{where} has {len(text)} characters; at most {MOST_BYTES} are read")
    depth = deepest = 0
    for mark in re.finditer(r"[\[{]|[\]}]", text):  # PyYAML takes long on deep nesting
        depth += 1 if mark[0] in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _BRACKETS:
        raise InputError(f"{where} is nested too deeply")
    try:
        content = load(text)
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None
    except Exception as error:  # beside its own errors, PyYAML passes on those of Python's constructors
        reason = " ".join(str(error).replace(' in "<unicode string>",', " at").split())[:300]
        advice = next((words for sign, words in _ADVICE.items() if kind == "YAML" and re.search(sign, text)), "")
        raise InputError(f"{where} is not valid {kind}: {reason}{advice}") from None
    _check_values(content, where)
    return content


def _check_values(content: Any, where: str) -> None:
    for values, (depth, value) in enumerate(_walk(content), 1):
        if depth > DEEPEST or values > MOST_VALUES:
            raise InputError(f"{where} holds more than {MOST_VALUES} values, or nests them deeper than {DEEPEST} times")
        if isinstance(value, int) and value.bit_length() > 63:
            raise InputError(f"{where} holds a whole number of {value.bit_length()} bits, more than 63")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError(f"{where} holds half a character (a lone surrogate) in {shown(value)}")


def _walk(tree: Any) -> Iterator[tuple[int, Any]]:
    """Yield every value and key with its depth. Aliases repeat their values; a recursive alias yields without end."""
    waiting = [(0, tree)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if isinstance(value, dict):
            waiting += [(depth + 1, part) for pair in value.items() for part in pair]
        elif isinstance(value, (list, tuple, set)):
            waiting += [(depth + 1, part) for part in value]
