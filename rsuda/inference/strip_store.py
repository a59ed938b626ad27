"""Finished bands of a prediction on disk, so that a broken-off scene goes on from the last of them."""

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
from rsuda.core.errors import unwritten

_PIXELS, _STATE = "planes.raw", "bands.json"


class StripStore:
    """Planes of uint8 pixels (P, H, W) in a folder, written in any order of bands of ``band_rows`` rows.

    Pixels are read and written, never mapped, so that memory stays flat. A folder left by a run of another ``key`` or
    shape is emptied.
    """

    def __init__(self, folder: Path, key: str, planes: int, height: int, width: int, strip_rows: int) -> None:
        self.folder, self.planes, self.height, self.width, self.strip_rows = folder, planes, height, width, strip_rows
        self.bands = -(-height // strip_rows)
        self.state = {"key": key, "shape": [planes, height, width], "band_rows": strip_rows}
        held = self._held()
        if {k: held.get(k) for k in self.state} != self.state:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder.parent)  # apart, so that the user reads of a folder that was asked for
            make_folder(folder)
            with self._opened("wb") as file:
                file.truncate(planes * height * width)
            held = {"done": []}
        self.done: set[int] = set(held["done"])

    def _held(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / _STATE).read_text())
            assert (self.folder / _PIXELS).stat().st_size == self.planes * self.height * self.width
            return found
        except (OSError, ValueError, AssertionError):
            return {}

    @contextmanager
    def _opened(self, mode: str) -> Iterator[BinaryIO]:
        """The file of pixels. Raises WriteError when there is no room for them."""
        try:
            with (self.folder / _PIXELS).open(mode) as file:
                yield cast(BinaryIO, file)
        except OSError as error:
            raise unwritten(self.folder / _PIXELS, error) or error from error

    def rows(self, band: int) -> tuple[int, int]:
        """First and last row of a band."""
        return band * self.strip_rows, min(self.height, (band + 1) * self.strip_rows)

    def missing(self) -> list[tuple[int, int]]:
        """(first, last) rows of what is not done, as few stretches as can be."""
        stretches: list[tuple[int, int]] = []
        for band in (b for b in range(self.bands) if b not in self.done):
            first, last = self.rows(band)
            if stretches and stretches[-1][1] == first:
                first = stretches.pop()[0]
            stretches.append((first, last))
        return stretches

    def write(self, row: int, planes: list[np.ndarray]) -> None:
        """Rows of all planes, each (h, W) uint8; a band whose last row this is counts as done."""
        with self._opened("r+b") as file:
            for number, pixels in enumerate(planes):
                file.seek((number * self.height + row) * self.width)
                file.write(np.ascontiguousarray(pixels).data)
            file.flush()
            os.fsync(file.fileno())  # before the band is called done
        last = row + planes[0].shape[0]
        band = (last - 1) // self.strip_rows
        if last == self.rows(band)[1]:
            self.done.add(band)
            with atomic_write(self.folder / _STATE, overwrite=True) as temporary:
                temporary.write_text(json.dumps({**self.state, "done": sorted(self.done)}))

    def read(self, plane: int, row: int, count: int) -> np.ndarray:
        """(count, W) uint8 of one plane."""
        start = (plane * self.height + row) * self.width
        values = np.fromfile(self.folder / _PIXELS, np.uint8, count * self.width, offset=start)
        return values.reshape(count, self.width)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Leave no folder behind in which nothing is done."""
        if not self.done:
            self.remove()
