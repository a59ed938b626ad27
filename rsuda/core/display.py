"""Format values and text for people: sentences, terminals and spreadsheets."""

from __future__ import annotations

import re
import reprlib
from typing import Any

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
OWN_PICTURE = "RSUDA_PICTURE"  # text in every PNG that rsuda writes; such a PNG is never read as a scene
_LONGEST = 300  # characters
_COLOUR_CODE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\].*?(?:\x07|\x1b\\)|[@-Z^_])")  # and other codes of terminals


def shown(value: Any) -> str:
    """Format a value for a sentence: its ``repr``, shortened to about 300 characters."""
    text = _short.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def printable(text: object) -> str:
    """Format text for a terminal: control characters and invisible characters become escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def quoted(error: object, most: int = _LONGEST) -> str:
    """Quote the first line of another library's error, without colour codes of terminals, up to ``most`` characters.

    An error without a text is quoted by its kind.
    """
    lines = (_COLOUR_CODE.sub("", line).strip() for line in str(error).splitlines())
    return printable(next(filter(None, lines), type(error).__name__)[:most])


def csv_cell(text: object) -> str:
    """Format text for a table that a spreadsheet may open: a text that would be a formula gets a leading apostrophe."""
    return f"'{text}" if str(text)[:1] in tuple("=+-@\t\r") else str(text)


def size_text(count: int) -> str:
    """Write a number of bytes in GiB, or in KiB below a tenth of one."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 // 10 else f"{count / 2**10:.0f} KiB"
