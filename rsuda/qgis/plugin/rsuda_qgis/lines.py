"""Read what the command prints: progress, notes, the error, the answer. QGIS is not needed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_PERCENT = re.compile(r"^progress: (\d+(?:\.\d+)?) ?%$")
_STEP = re.compile(r"^step (\d+) of (\d+)\b")


def percent(line: str) -> float | None:
    """Return the progress that a line tells, 0 to 100; None for other lines.

    >>> percent("progress: 40 %"), percent("step 30 of 120, 2 min left, loss 0.81"), percent("note: step by step")
    (40.0, 25.0, None)
    """
    match = _PERCENT.match(line)
    if match:
        return min(100.0, float(match[1]))
    match = _STEP.match(line)
    return min(100.0, 100 * int(match[1]) / int(match[2])) if match and int(match[2]) else None


def is_progress_alone(line: str) -> bool:
    """Tell whether a line says the percentage and nothing else, so that a log may leave it out."""
    return _PERCENT.match(line) is not None


def error_sentence(code: int, lines: Sequence[str]) -> str:
    """Return the sentence that says why the command failed.

    Args:
        code: exit code; 2 is an error of the input, whose sentence follows 'Error:'.
        lines: of stderr.
    """
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if starts:
        first, *rest = lines[starts[-1] :]
        return " ".join([first[len("Error: ") :], *(line.strip() for line in rest)]).strip()
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    if code < 0 or code > 128:
        signal = -code if code < 0 else code - 128
        return f"the command was ended by signal {signal}, perhaps for want of memory: {last}"
    return f"the command failed with exit code {code}, which is a fault of rsuda: {last} (the log has all lines)"


def read_answer(text: str) -> Any:
    """Read the JSON of stdout: all of it, or its last line.

    Raises:
        ValueError: there is no JSON.
    """
    text = text.strip()
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text.rpartition("\n")[2])
