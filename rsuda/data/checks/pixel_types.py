"""Check that the files of a domain have pixels of the same depth, band by band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsuda.core.errors import InputError
from rsuda.geo.scenes.scene import Scene


def byte_bands(scenes: Sequence[Scene], bands: tuple[str, ...]) -> np.ndarray:
    """Find which bands have 8-bit pixels: (bands,) bool. Only headers are read.

    Raises:
        InputError: a band is 8-bit, of more bits, or floating in some files and differs in others; or a file lacks a band.
    """
    depths: list[dict[str, tuple[str, str]]] = [{} for _ in bands]  # of each band: a file of each depth, with its type
    for scene in scenes:
        types = scene.file.dtypes
        for examples, number in zip(depths, scene.file.band_numbers(bands), strict=True):
            example = str(scene.image), types[number - 1]
            examples[_depth(types[number - 1])] = min(example, examples.get(_depth(types[number - 1]), example))
    for band, examples in zip(bands, depths, strict=True):
        if len(examples) > 1:
            (first, kind), (second, other) = sorted(examples.values())[:2]
            raise InputError(
                f"files of one domain have pixels of different depths: band {band} is {kind} in {first} and {other} in "
                f"{second}: convert them to one type and range (gdal_translate -ot … -scale), or make a domain of each"
            )
    return np.array([next(iter(examples)) == "8-bit" for examples in depths])


def _depth(name: str) -> str:
    if name == "uint8":
        return "8-bit"
    return "float" if name.startswith("float") else "integer"
