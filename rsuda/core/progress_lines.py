"""Print progress as lines, for a program that runs a command and shows a bar of its own."""

from __future__ import annotations

import os
import sys

VARIABLE = "RSUDA_PROGRESS"


class PercentLines:
    """Print 'progress: 40 %' on stderr at each whole percent, where the variable RSUDA_PROGRESS is 'lines'."""

    def __init__(self) -> None:
        self.is_on, self.last = os.environ.get(VARIABLE) == "lines", -1

    def show(self, done: float, total: float) -> None:
        """Print the progress of ``done`` of ``total``; a share that was printed before is left out."""
        percent = int(100 * done / total) if total else 100
        if self.is_on and percent != self.last:
            self.last = percent
            print(f"progress: {percent} %", file=sys.stderr, flush=True)
