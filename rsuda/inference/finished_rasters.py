"""Read the pixels of a finished map of the same model, scene and settings, so that other polygons need no prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import spell
from rsuda.geo.maps.cog import LOSSLESS, creation_options
from rsuda.geo.polygons.run_lengths import UNKNOWN
from rsuda.geo.rasters.raster import READ_ERRORS, quiet
from rsuda.inference.products import CLASSES, PRODUCTS

KEY = "RSUDA_KEY"  # tag of every raster of a map
_CONFIDENCE, _PROBABILITIES = (product for product in PRODUCTS if product is not CLASSES)


@dataclass(frozen=True)
class FinishedRasters:
    """The rasters of a finished map, without loss.

    Attributes:
        classes, confidence, probabilities: their files; None for one that was not written or is not needed.
    """

    classes: Path
    confidence: Path | None
    probabilities: Path | None

    @staticmethod
    def find(
        path_of: Callable[[str], Path], key: str, shape: tuple[int, int], options: MapOptions
    ) -> FinishedRasters | None:
        """Find the rasters that hold all pixels that the files of a map need; None if one of them is missing.

        Args:
            path_of: path of a product by its name.
            key: of the map, with which the tags of its rasters begin.
            shape: (rows, columns) of the map.
        """
        compression = creation_options(options.co).get("COMPRESS", "DEFLATE").upper()

        def exact(name: str) -> Path | None:
            return path_of(name) if _is_exact(path_of(name), key, shape, compression) else None

        classes, confidence = exact(CLASSES.name), exact(_CONFIDENCE.name)
        probabilities = exact(_PROBABILITIES.name) if options.probabilities else None
        if classes is None or (options.confidence and confidence is None):
            return None
        if options.probabilities and probabilities is None:
            return None
        return FinishedRasters(classes, confidence, probabilities)

    def read(self, row: int, count: int) -> list[np.ndarray]:
        """Read rows of all planes of a strip store, each (count, width) uint8. Unknown confidences are 255."""
        (classes,) = _rows(self.classes, row, count)
        unknown = np.full_like(classes, UNKNOWN)
        confidence = unknown if self.confidence is None else _rows(self.confidence, row, count)[0]
        return [classes, confidence, *([] if self.probabilities is None else _rows(self.probabilities, row, count))]

    @property
    def note(self) -> str:
        """Say that the map was not predicted again."""
        confidence_note = (
            "" if self.confidence else f", without confidence, since the map was made without {spell('confidence')}"
        )
        return (
            f"{self.classes} is of the same model, scene and settings, so it was not predicted again: only the polygons are "
            f"new{confidence_note}"
        )


def _is_exact(path: Path, key: str, shape: tuple[int, int], compression: str) -> bool:
    """Check whether a raster is of the map of a key, and has lost nothing by its compression."""
    try:
        with quiet(), rasterio.open(path) as file:
            file_compression = str(file.profile.get("compress", "none")).upper()
            same = str(file.tags().get(KEY)).startswith(f"{key}-") and file.shape == shape
            return same and file_compression == compression and file_compression in LOSSLESS
    except READ_ERRORS:
        return False


def _rows(path: Path, row: int, count: int) -> list[np.ndarray]:
    with quiet(), rasterio.open(path) as file:
        return list(file.read(window=Window(0, row, file.width, count)))
