"""Store finished strips of a map on disk, so that an interrupted scene continues after the last of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from rsuda.core.atomic import atomic_write, make_folder
from rsuda.core.errors import write_error

# Names of version 0.1.0, whose interrupted maps continue: "bands" of rows are strips.
_PIXELS, _STATE, _STRIP_ROWS = "planes.raw", "bands.json", "band_rows"


class StripStore:
    """Planes of uint8 pixels (P, H, W) in a folder, written in any order of strips.

    Pixels are read and written, never mapped, so that memory stays flat.

    Attributes:
        done: numbers of finished strips.
    """

    def __init__(self, folder: Path, key: str, shape: tuple[int, int, int], strip_rows: int) -> None:
        """Open the store of a folder. A folder of another ``key``, shape or strip height is emptied."""
        self.folder, self.strip_rows = folder, strip_rows
        self.planes, self.height, self.width = shape
        self.strips = -(-self.height // strip_rows)
        self.state = {"key": key, "shape": list(shape), _STRIP_ROWS: strip_rows}
        state = self._read_state()
        if {name: state.get(name) for name in self.state} != self.state:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder.parent)  # apart, so that an error names the folder that the user chose
            make_folder(folder)
            with self._opened("wb") as file:
                file.truncate(self.planes * self.height * self.width)
            state = {"done": []}
        self.done: set[int] = set(state["done"])

    def _read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            assert (self.folder / _PIXELS).stat().st_size == self.planes * self.height * self.width
            return state
        except (OSError, ValueError, AssertionError):
            return {}

    @contextmanager
    def _opened(self, mode: str) -> Iterator[BinaryIO]:
        """Open the file of pixels. Raises WriteError when the disk has no room for them."""
        try:
            with (self.folder / _PIXELS).open(mode) as file:
                yield cast(BinaryIO, file)
        except OSError as error:
            raise write_error(self.folder / _PIXELS, error) or error from error

    def rows(self, strip: int) -> tuple[int, int]:
        """Return the first row of a strip and the row after its last."""
        return strip * self.strip_rows, min(self.height, (strip + 1) * self.strip_rows)

    def missing(self) -> list[tuple[int, int]]:
        """List the unfinished rows as (first, end), in as few stretches as possible."""
        stretches: list[tuple[int, int]] = []
        for strip in (number for number in range(self.strips) if number not in self.done):
            first, end = self.rows(strip)
            if stretches and stretches[-1][1] == first:
                first = stretches.pop()[0]
            stretches.append((first, end))
        return stretches

    def write(self, row: int, planes: list[np.ndarray], col: int = 0) -> None:
        """Write rows of all planes, each (h, w) uint8, from column ``col`` on.

        A strip is finished when the last column of its last row is written; tiles of columns come from left to right.
        """
        end = row + planes[0].shape[0]
        strip = (end - 1) // self.strip_rows
        finished = end == self.rows(strip)[1] and col + planes[0].shape[1] == self.width
        with self._opened("r+b") as file:
            for number, pixels in enumerate(planes):
                start = (number * self.height + row) * self.width + col
                if pixels.shape[1] == self.width:
                    file.seek(start)
                    file.write(np.ascontiguousarray(pixels).data)
                else:
                    for k, line in enumerate(pixels):
                        file.seek(start + k * self.width)
                        file.write(np.ascontiguousarray(line).data)
            if finished:  # all its rows are on the disk before it counts
                file.flush()
                os.fsync(file.fileno())
        if finished:
            self.done.add(strip)
            with atomic_write(self.folder / _STATE, overwrite=True) as temporary:
                temporary.write_text(
                    json.dumps({**self.state, "done": sorted(self.done)}), encoding="utf-8", newline="\n"
                )

    def read(self, plane: int, row: int, count: int) -> np.ndarray:
        """Read rows of one plane, (count, W) uint8."""
        start = (plane * self.height + row) * self.width
        values = np.fromfile(self.folder / _PIXELS, np.uint8, count * self.width, offset=start)
        return values.reshape(count, self.width)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Remove the folder if no strip is finished."""
        if not self.done:
            self.remove()
