"""Networks that need no training since they answer from pixel values, and the small scenes they are shown."""

from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.transform import from_origin
from torch import nn

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import TrainedNetwork

NORTH_UP = from_origin(500_000, 6_000_000, 0.5, 0.5)
GEOMETRIES = {
    "north-up": NORTH_UP,
    "south-up": Affine(0.5, 0, 500_000, 0, 0.5, 6_000_000),
    "rotated": Affine.translation(500_000, 6_000_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5),
}
NAMES = ("road", "roof", "tree", "water", "soil")


class Oracle(nn.Module):
    """Logits by a plain function of images (B, bands, H, W)."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, image):
        return self.answer(image)


def legend(names=NAMES):
    return Legend(tuple(names), tuple(((40 * k, 255 - 40 * k, 7),) for k in range(len(names))))


def trained(answer, bands=("red", "green"), gsd=0.5, low=0.0, high=1.0, names=NAMES, digest="oracle"):
    """An oracle as a trained network; it sees raw pixel values unless ``low`` and ``high`` say otherwise."""
    n = len(bands)
    spec = Spec(tuple(bands), gsd, (low,) * n, (high,) * n, (0.0,) * n, (1.0,) * n, legend(names))
    return TrainedNetwork(Oracle(answer), spec, Path("oracle"), "oracle", digest)


def sure(index, classes=len(NAMES)):
    """Logits (B, K, H, W) that are certain of class indices (B, H, W)."""
    return 20.0 * nn.functional.one_hot(index.long(), classes).permute(0, 3, 1, 2).float()


def by_value(image):
    """The class is the first band's value."""
    return sure(image[:, 0].round().clamp(0, len(NAMES) - 1))


def engine(network, window=64, overlap=16, batch_size=3):
    return Predictor.of(network, "cpu", "fp32", window=window, overlap=overlap, batch_size=batch_size)


RUN = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "polygons": None}


def write(path, values, transform=NORTH_UP, crs="EPSG:32632", nodata=None, descriptions=None):
    """Values (bands, H, W) as a GeoTIFF; ``transform`` and ``crs`` may be None."""
    values = np.asarray(values)
    profile = {"driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2]}
    profile |= {"dtype": values.dtype, "nodata": nodata, "crs": crs}
    if transform is not None:
        profile["transform"] = transform
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
        for k, name in enumerate(descriptions or [], 1):
            file.set_band_description(k, name)
    return path


def positions(height, width):
    """An image that knows where it is: bands of the row and the column of each pixel."""
    return np.stack(np.mgrid[:height, :width]).astype(np.uint16)


def blocks(row, col, size):
    """Class of pixel positions: blocks of ``size`` pixels, each unlike its eight neighbours."""
    return (row // size + 2 * (col // size)) % len(NAMES)


def geometer(size):
    """An oracle that knows the class of each position, from the position that the pixels tell.

    A mean of pixel indices lies half a pixel before the position of its centre.
    """
    return lambda image: sure(blocks(image[:, 0] + 0.5, image[:, 1] + 0.5, torch.tensor(float(size))))
