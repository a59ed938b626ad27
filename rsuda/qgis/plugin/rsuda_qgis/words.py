"""Make the words of a command line of the values of parameters. QGIS is not needed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Pairs = Iterable[tuple[str, Any]]


def command_words(command: str, pairs: Pairs, extra: str = "", as_json: bool = True) -> list[str]:
    """Return the words after ``rsuda``: the command, its arguments, its flags.

    Args:
        command: such as 'predict'.
        pairs: flags with values; the flag of an argument is ''. None, '' and False leave a flag out, True is a flag alone, a
            list repeats the flag, and a tuple follows it.
        extra: further words as a person types them.
        as_json: whether the command answers in JSON.

    Raises:
        ValueError: ``extra`` has an open quote.
    """
    arguments, flags = [], []
    for flag, value in pairs:
        for item in value if isinstance(value, list) else [value]:
            if item is None or item is False or item == "":
                continue
            if not flag:
                arguments.append(_text(item))
            else:
                values = () if item is True else item if isinstance(item, tuple) else (item,)
                flags += [flag, *map(_text, values)]
    return [command, *arguments, *flags, *_split(extra), *(["--json"] if as_json else [])]


def _split(text: str) -> list[str]:
    """Divide a text as a shell does. On Windows a backslash is a part of a path."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if sys.platform == "win32":
        lexer.escape = ""
    return list(lexer)


def _text(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def shell_line(words: Sequence[str]) -> str:
    """Return a command line that can be pasted into a terminal of this system."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else " ".join(map(shlex.quote, words))


def with_labels(sentence: str, labels: Mapping[str, str]) -> str:
    """Name the parameters of the dialog where a sentence names flags of the command line.

    >>> with_labels("run exists: pass --overwrite to replace it", {"--overwrite": "Replace existing files"})
    "run exists: pass 'Replace existing files' (--overwrite) to replace it"
    """
    return re.sub(
        r"(?<![\w-])--[a-z][a-z-]*",
        lambda match: f"'{labels[match[0]]}' ({match[0]})" if match[0] in labels else match[0],
        sentence,
    )
