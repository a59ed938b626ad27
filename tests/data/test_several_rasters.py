"""Several rasters a scene, from domain files to scores; the depths of a domain's files."""

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_origin

import rsuda
from rsuda.core.errors import InputError, MissingError
from rsuda.data.checks.pixel_types import byte_bands
from rsuda.data.statistics.domain_statistics import make_spec
from rsuda.geo.rasters.collars import find_collar

CLASSES = (np.indices((96, 96)).sum(0) // 24 % 2).astype(np.uint8)
LEGEND = [{"name": "a", "value": 0, "colour": "#FF0000"}, {"name": "b", "value": 1, "colour": "#00FF00"}]
NAMES = [*(f"B{number:02}" for number in range(1, 9)), "B8A", "B09", "B10", "B11", "B12"]


def write(path, values, gsd=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[1], width=values.shape[2], count=len(values),
        dtype=values.dtype.name, crs="EPSG:32633", transform=from_origin(400000, 5500000, gsd, gsd),
    ) as file:  # fmt: skip
        file.write(values)


def domain_file(folder, images):
    path = folder / "domain.yaml"
    fields = {"images": images, "labels": ["lab/{t}.tif"], "legend": LEGEND, "splits": {"train": ["a"], "val": ["b"]}}
    path.write_text(yaml.safe_dump(fields))
    return path


@pytest.fixture
def heights(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        write(tmp_path / f"rgb/{name}.tif", rng.integers(1, 255, (3, 96, 96), dtype=np.uint8))
        write(tmp_path / f"ndsm/{name}.tif", CLASSES[::2, ::2] * np.float32(9) + np.float32(0.5), gsd=2)
        write(tmp_path / f"lab/{name}.tif", CLASSES)
    parts = [{"files": "rgb/{t}.tif", "bands": "RGB"}, {"files": "ndsm/{t}.tif", "bands": ["height"]}]
    return tmp_path, parts


@pytest.mark.parametrize("as_map", [False, True])
def test_list_of_rasters_is_one_delivery_with_a_range_by_band(heights, as_map):
    folder, parts = heights
    domain = rsuda.domain(domain_file(folder, {"RGBH": parts} if as_map else parts), folder)
    assert domain.bands == ("red", "green", "blue", "height") and list(domain.scenes) == ["a", "b"]
    spec = make_spec(domain.split("train"), domain.bands, 1.0, domain.legend, sampled_at=None, standardise="imagenet")
    assert spec.low == (0, 0, 0, 0.5) and spec.high == (255, 255, 255, 9.5)
    assert find_collar(domain.scenes["a"].file, [1, 4]) is None


def test_bands_in_files_of_their_own_are_named_as_delivered(tmp_path):
    for number, band in enumerate(NAMES):
        step = 2 if band in ("B05", "B06", "B07", "B8A", "B11", "B12") else 1
        write(tmp_path / f"a/T32_a_{band}.tif", (CLASSES + number)[::step, ::step].astype(np.uint16), 10 * step)
    domain = rsuda.domain(domain_file(tmp_path, {"S2": {"files": "{t}/*_{band}.tif", "bands": NAMES}}), tmp_path)
    assert len(domain.bands) == 13 and domain.bands[1:4] == ("blue", "green", "red")
    values = domain.scenes["a"].read(("red", "b12"), None, (0, 0, 96, 96)).values
    np.testing.assert_array_equal(values[0], CLASSES + 3)
    assert abs(values[1] - (CLASSES + 12)).max() <= 1


def test_scene_that_lacks_a_raster_is_left_out_with_a_note(heights):
    folder, parts = heights
    (folder / "ndsm/b.tif").unlink()
    domain = rsuda.domain(domain_file(folder, parts), folder)
    assert list(domain.scenes) == ["a"]
    assert any("1 of 2 scenes" in note and "b (ndsm/{t}.tif)" in note for note in domain.notes)
    (folder / "ndsm/a.tif").unlink()
    with pytest.raises(MissingError, match="no scene of domain domain has all its 2 rasters"):
        rsuda.domain(domain_file(folder, parts), folder)


def test_band_that_occurs_twice_in_a_list_is_refused(heights):
    folder, parts = heights
    with pytest.raises(InputError, match="'red' occurs twice in the rasters of a scene"):
        rsuda.domain(domain_file(folder, [parts[0], {"files": "ndsm/{t}.tif", "bands": ["red"]}]), folder)


@pytest.mark.parametrize("deep", ["a", "b"])
def test_files_of_different_depths_are_refused_in_any_order(tmp_path, deep):
    for name in "ab":
        write(tmp_path / f"{name}.tif", np.ones((3, 8, 8), np.uint16 if name == deep else np.uint8))
    scenes = list(rsuda.domain(tmp_path, bands="RGB").scenes.values())
    with pytest.raises(InputError, match=r"band red is uint\d+ in .*a.tif and uint\d+ in .*b.tif: convert them"):
        byte_bands(scenes, ("red", "green", "blue"))
