"""Several rasters of one scene are read as one, by position."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from rsuda.core.errors import InputError
from rsuda.geo.rasters.stack import ExtraRaster
from rsuda.geo.scenes.scene import Scene


def write(path, values, west=0.0, gsd=1.0, crs="EPSG:32633", **profile):
    values = values if values.ndim == 3 else values[None]
    place = {"transform": from_origin(west, 100, gsd, gsd), "crs": crs} if gsd else {}
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[1], width=values.shape[2], count=len(values),
        dtype=values.dtype.name, **place, **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return path


@pytest.fixture
def rgb(tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (3, 40, 60), dtype=np.uint8)
    return write(tmp_path / "rgb.tif", values), values


def stack(image, *more, bands=("red", "green", "blue")):
    return Scene("a", image, bands=bands, more=tuple(ExtraRaster(path, names) for path, names in more))


def test_bands_of_equal_grids_are_read_pixel_by_pixel(tmp_path, rgb):
    height = np.arange(2400, dtype=np.float32).reshape(40, 60) + 0.5
    scene = stack(rgb[0], (write(tmp_path / "h.tif", height), ("height",)))
    raster = scene.read(("height", "blue", "red"), None, (5, 7, 20, 30))
    assert raster.values.dtype == np.float32 and raster.valid.all()
    np.testing.assert_array_equal(raster.values[0], height[5:25, 7:37])
    np.testing.assert_array_equal(raster.values[1:], rgb[1][[2, 0], 5:25, 7:37])
    assert scene.file.band_order == ("red", "green", "blue", "height")
    assert scene.file.dtypes == ("uint8", "uint8", "uint8", "float32")
    np.testing.assert_array_equal(scene.read(("red",), None, (0, 0, 40, 60)).values[0], rgb[1][0])


def test_reference_is_the_finest_and_others_lie_at_their_place(tmp_path, rgb):
    coarse = np.arange(40, dtype=np.uint16).reshape(4, 10) * 100  # 10 m, from 20 m west of the image
    path = write(tmp_path / "coarse.tif", coarse, west=-20, gsd=10)
    first = stack(path, (rgb[0], ("red", "green", "blue")), bands=("swir",))
    assert (first.grid.height, first.grid.width) == (40, 60) and first.gsd == (1, 1)
    raster = first.read(("swir", "red"), None, (0, 0, 40, 60))
    assert raster.values[0, 5, 5] == pytest.approx((coarse[0, 2] + 0), abs=60)
    assert raster.values[0, 35, 55] > raster.values[0, 5, 55] > raster.values[0, 5, 5]
    np.testing.assert_array_equal(raster.values[1], rgb[1][0])


def test_pixel_is_valid_where_all_its_bands_are(tmp_path, rgb):
    height = np.full((40, 60), 5, np.float32)
    height[:, :10] = -9999
    half = write(tmp_path / "half.tif", height[:, :30], nodata=-9999)
    scene = stack(rgb[0], (half, ("height",)))
    valid = scene.read(("red", "height"), None, (0, 0, 40, 60)).valid
    assert not valid[:, :10].any() and valid[:, 11:29].all() and not valid[:, 31:].any()
    np.testing.assert_array_equal(scene.valid(("red", "height"), (0, 0, 40, 60)), valid)
    assert scene.read(("red",), None, (0, 0, 40, 60)).valid.all()


def test_window_does_not_change_a_value(tmp_path, rgb):
    coarse = write(tmp_path / "c.tif", np.random.default_rng(1).random((20, 30), np.float32), gsd=2)
    scene = stack(rgb[0], (coarse, ("height",)))
    for gsd, (height, width) in ((None, (40, 60)), (2.5, (16, 24)), (0.5, (80, 120))):
        whole = scene.read(("height", "green"), gsd, (0, 0, height, width)).values
        part = scene.read(("height", "green"), gsd, (4, 5, 8, 9)).values
        np.testing.assert_allclose(part, whole[:, 4:12, 5:14], rtol=1e-5)


def test_rasters_of_other_places_and_sizes_are_refused(tmp_path, rgb):
    away = write(tmp_path / "away.tif", np.ones((40, 60), np.uint8), west=90000)
    with pytest.raises(InputError, match=r"away.tif .*no ground in common.*longitude.*longitude"):
        _ = stack(rgb[0], (away, ("height",))).file
    bare = write(tmp_path / "bare.tif", np.ones((41, 60), np.uint8), gsd=0)
    with pytest.raises(InputError, match=r"bare.tif is 60 x 41 px.*rgb.tif is 60 x 40 px"):
        _ = stack(rgb[0], (bare, ("height",))).file
    equal = write(tmp_path / "equal.tif", np.ones((40, 60), np.uint8), gsd=0)
    assert stack(rgb[0], (equal, ("height",))).read(("height",), None, (0, 0, 2, 2)).values.sum() == 4


def test_missing_band_is_refused_with_the_bands_of_all_rasters(tmp_path, rgb):
    scene = stack(rgb[0], (write(tmp_path / "h.tif", np.ones((40, 60), np.uint8)), ("height",)))
    with pytest.raises(InputError, match="red, green, blue, height, but ir are needed"):
        scene.read(("ir",), None, (0, 0, 1, 1))


def test_too_many_bands_are_refused(tmp_path):
    path = write(tmp_path / "many.tif", np.ones((600, 2, 2), np.uint8))
    names = [tuple(f"{letter}{number}" for number in range(600)) for letter in "xy"]
    with pytest.raises(InputError, match="have 1200 bands; rsuda reads at most 1000"):
        _ = stack(path, (path, names[1]), bands=names[0]).file
