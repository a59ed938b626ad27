"""List the rasters of a map. A new raster product is one row of PRODUCTS, and an option of its name in MapOptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rsuda.core.legend import Legend


@dataclass(frozen=True)
class Product:
    """A raster of a map, written as ``<scene>_<name>.tif``.

    Attributes:
        name: of the option that asks for it, of its STAC asset, and in ``Prediction.files``.
        title: of the STAC asset.
        first_plane: number of its first plane in the strip store; further bands follow in order.
        descriptions: of its bands, for a legend.
        per_class: whether it has one band for each class.
    """

    name: str
    title: str
    first_plane: int
    descriptions: Callable[[Legend], list[str]]
    per_class: bool = False


CLASSES = Product("classes", "Classes", 0, lambda legend: ["class"])
PRODUCTS = (
    Product(
        "confidence",
        "Probability of the class",
        1,
        lambda legend: ["confidence: probability of the class, 0 to 254 for 0 to 1"],
    ),
    Product(
        "probabilities",
        "Probabilities of all classes",
        2,
        lambda legend: [f"probability of {name}, 0 to 254 for 0 to 1" for name in legend.names],
        per_class=True,
    ),
    CLASSES,  # the last: where the class raster is in place, all files are
)
