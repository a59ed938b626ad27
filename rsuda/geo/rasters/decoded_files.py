"""A cache of decoded PNG and JPEG files, which can only be decoded whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np

Pixels = tuple[np.ndarray, np.ndarray | None]  # values (bands, H, W), and (H, W) bool where masks show them


class DecodedFiles:
    """The files used last, up to a number of bytes together; threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, decode: Callable[[], Pixels]) -> Pixels:
        """Return the pixels of a key, decoded now if the cache does not have them. The newest entry always stays."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        entry = decode()
        with self._lock:
            self._entries[key] = entry
            while len(self._entries) > 1 and self._bytes() > self.most_bytes:
                self._entries.popitem(last=False)
        return entry

    def _bytes(self) -> int:
        return sum(values.nbytes + (0 if valid is None else valid.nbytes) for values, valid in self._entries.values())
