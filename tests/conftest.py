"""Scenes which know where they are, and real data where it is at hand."""

import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from tiny_cities import build, options, train_watched


@pytest.fixture(scope="session")
def located(tmp_path_factory):
    """A writer of GeoTIFFs whose pixels hold their own place: band 1 is the x, band 2 the y of the pixel's centre.

    With the defaults all values are whole numbers, so that integer types hold them as exactly as float32.
    """
    folder, number = tmp_path_factory.mktemp("located"), count()

    def write(
        height=40, width=50, gsd=2.0, crs="EPSG:32633", rotation=0.0, south_up=False, dtype="float32", origin=(500, 900)
    ):
        scale = Affine.scale(gsd, gsd if south_up else -gsd)
        transform = Affine.translation(*origin) * Affine.rotation(rotation) * scale
        cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        path = folder / f"{next(number)}.tif"
        profile = {"driver": "GTiff", "height": height, "width": width, "count": 2, "dtype": dtype, "crs": crs}
        with rasterio.open(path, "w", transform=transform, tiled=True, blockxsize=16, blockysize=16, **profile) as file:
            file.write(np.stack(transform * (cols, rows)).astype(dtype))
        return path

    return write


@pytest.fixture
def write(tmp_path):
    """A writer of any small raster below ``tmp_path``, by its name's ending; ``values`` are (bands, H, W)."""
    drivers = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}

    def write(name, values, colormap=None, interpretation=None, mask=None, **profile):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(values)
        size = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
        with rasterio.open(path, "w", driver=drivers[path.suffix], **size, **profile) as file:
            file.write(values)
            if colormap:
                file.write_colormap(1, colormap)
            if interpretation:
                file.colorinterp = interpretation
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


@pytest.fixture(scope="session")
def real_data():
    """The folder of real imagery; tests that need it are skipped where it is not at hand."""
    folder = os.environ.get("RSUDA_REAL_DATA")
    if not folder:
        pytest.skip("RSUDA_REAL_DATA is not set: no real imagery here")
    return Path(folder)


HOSTILE = "<script>alert(1)</script>"  # a class and a domain that would be scripts in a careless page


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A source-only and an adapted run of a few steps, of cities whose names are hostile, and a report on both with a map."""
    from rsuda.data.find_domain import domain
    from rsuda.evaluation.label_free import label_free, write_label_free
    from rsuda.inference.predictor import Predictor
    from rsuda.report.report import report
    from rsuda.runs.weights import load_run

    folder = tmp_path_factory.mktemp("reported")
    build(folder, ("a & b", HOSTILE, "c"), f"west {HOSTILE}")
    west = domain(str(folder / "west.yaml"), folder)
    for method in ("source-only", "dacs"):
        own = {"start": 0.0} if method == "dacs" else {}
        train_watched(options(folder, method=method, score_every=2, options=own), folder / method, quiet=True)
        found = label_free(Predictor.of(load_run(folder / method), "cpu", "fp32"), west, windows=2, size=64)
        write_label_free(found, folder / method)
    runs = [folder / "source-only", folder / "dacs"]
    report(runs, folder / "west_1_image.tif", folder / "report.html", k=3, size=32, device="cpu", precision="fp32")
    return folder
