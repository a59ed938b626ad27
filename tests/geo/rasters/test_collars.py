"""Test that collars which nothing marks are found, and that ordinary scenes have none."""

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from rsuda.geo.rasters.collars import find_collar
from rsuda.geo.rasters.raster import RasterFile

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ROWS, COLS = np.mgrid[:160, :200]
CORNER = ROWS + COLS < 120
FRAME = np.abs(ROWS - 80) + np.abs(COLS - 100) > 80  # around a scene on its corner
HOLE = (ROWS < 40) & (COLS > 90) & (COLS < 150)  # a missing tile at the border
INSIDE = (ROWS > 40) & (ROWS < 80) & (COLS > 60) & (COLS < 120)
JPEG = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 64, "blockysize": 64}


def scene(bands=3, dtype=np.uint8, level=110):
    rng = np.random.default_rng(0)
    return (level + 40 * np.sin(ROWS / 20 + COLS / 30) + rng.normal(0, 5, (bands, 160, 200))).clip(1, 254).astype(dtype)


@pytest.mark.parametrize("area", [CORNER, FRAME, HOLE], ids=["corner", "frame", "hole"])
@pytest.mark.parametrize("value", [0, 255, 128])
@pytest.mark.parametrize("options", [{}, JPEG], ids=["exact", "jpeg"])
def test_collar_is_found_with_its_value_and_share(write, area, value, options):
    values = scene()
    values[:, area] = value
    collar = find_collar(RasterFile(write("a.tif", values, **options)), [1, 2, 3])
    assert collar.value == value
    assert collar.share == pytest.approx(area.mean(), abs=0.08)
    assert f"nodata={value}" in str(collar)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 65535), (np.uint16, 0), (np.float32, -32768)])
def test_collar_of_other_types_is_found(write, dtype, value):
    values = scene(2).astype(dtype)
    values[:, CORNER] = value
    assert find_collar(RasterFile(write("a.tif", values)), [1, 2]).value == value


def test_what_is_marked_is_no_collar(write):
    values = scene()
    values[:, CORNER] = 0
    path = write("a.tif", values)
    assert find_collar(RasterFile(path, nodata=0), [1, 2, 3]) is None
    assert find_collar(RasterFile(write("b.tif", values, nodata=0)), [1, 2, 3]) is None
    assert find_collar(RasterFile(write("c.tif", values, mask=~CORNER)), [1, 2, 3]) is None
    opaque = np.concatenate([values, np.where(CORNER, 0, 255).astype(np.uint8)[None]])
    tags = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    assert find_collar(RasterFile(write("d.tif", opaque, interpretation=tags)), [1, 2, 3]) is None


def dark_water():
    values = scene()
    values[:, CORNER] = np.random.default_rng(1).normal(9, 4, (3, 160, 200)).clip(0, 255).astype(np.uint8)[:, CORNER]
    return values


def shadow_inside():
    values = scene()
    values[:, INSIDE] = 0
    return values


def specks_at_the_border():
    values = scene()
    values[:, :4, ::25] = 0
    return values


def classes():
    return ((COLS // 50 + ROWS // 40) % 3).astype(np.uint8)[None]


def heights_above_flat_ground():
    houses = (ROWS % 40 > 25) & (COLS % 40 > 25)
    return np.where(houses, 3 + ROWS / 7, 0).astype(np.float32)[None]


@pytest.mark.parametrize(
    "make", [scene, dark_water, shadow_inside, specks_at_the_border, classes, heights_above_flat_ground]
)
def test_ordinary_scenes_have_no_collar(write, make):
    values = make()
    assert find_collar(RasterFile(write("a.tif", values)), list(range(1, len(values) + 1))) is None


def test_every_real_naip_scene_has_no_collar(real_data):
    for path in sorted((real_data / "geotiffs" / "naip").rglob("img/*.tif")):
        assert find_collar(RasterFile(path), [1, 2, 3]) is None


def test_large_file_without_overviews_is_sampled_at_points(write, monkeypatch):
    monkeypatch.setattr("rsuda.geo.rasters.sparse_sample.WHOLE", 1000)
    values = scene()
    values[:, CORNER] = 0
    collar = find_collar(RasterFile(write("a.tif", values)), [1, 2, 3])
    assert collar.share == pytest.approx(CORNER.mean(), abs=0.05)


def wedge():
    """A collar that touches the border at a few pixels only, and is wide inside."""
    values = scene()
    values[:, np.abs(COLS - 100) < ROWS / 2 - 4] = 0
    return values


def rim():
    """A collar whose every pixel lies at the border."""
    values = scene()
    values[:, :3], values[:, -3:] = 0, 0
    return values


@pytest.mark.parametrize("make", [scene, dark_water, shadow_inside, specks_at_the_border, classes, wedge, rim])
def test_rim_of_a_large_file_decides_as_all_of_it(write, monkeypatch, make):
    monkeypatch.setattr("rsuda.geo.rasters.sparse_sample.WHOLE", 1000)
    values = make()
    file, numbers = RasterFile(write("a.tif", values)), list(range(1, len(values) + 1))
    collar = find_collar(file, numbers)
    monkeypatch.setattr("rsuda.geo.rasters.collars._rim_excludes", lambda *points, is_byte: False)
    assert collar == find_collar(file, numbers)
    assert (collar is not None) == (make in (wedge, rim))
