"""Changes between two maps: their pixels, areas, raster and polygons, and the errors by a sample."""

import csv
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from test_sample_and_assess import LEGEND, NAMES, UTM, write_map

from rsuda.accuracy.assess import assess
from rsuda.accuracy.change import change
from rsuda.accuracy.sample import sample
from rsuda.core.errors import ExistsError, InputError

FIRST = np.zeros((80, 60), np.uint8)
FIRST[:, 30:], FIRST[70:] = 1, 255
SECOND = FIRST.copy()
SECOND[10:20, 10:50], SECOND[0, 0] = 2, 255


def test_transitions_have_areas_a_raster_and_polygons_of_what_changed(tmp_path):
    one, two = (write_map(tmp_path / f"{k}.tif", part) for k, part in enumerate((FIRST, SECOND)))
    result = change(one, two, tmp_path / "change")
    expected = np.array([[2099 - 200, 0, 200], [0, 2100 - 200, 200], [0, 0, 0]])
    assert result.pixels.tolist() == expected.tolist() and result.area == pytest.approx(expected * 4.0)
    assert result.changed_share == pytest.approx(400 / 4199) and result.notes == ()
    with rasterio.open(result.raster) as file:
        values, names = file.read(1), [file.tags(1)[f"CLASS_{k}"] for k in range(4)]
    assert names == ["water", "field", "water → town", "field → town"]
    assert (
        (values[10:20, 10:30] == 2).all() and (values[10:20, 30:50] == 3).all() and values[0, 0] == 255 == values[75, 5]
    )
    polygons = gpd.read_file(tmp_path / "change" / "change_polygons.gpkg")
    assert dict(zip(polygons["name"], polygons.area, strict=True)) == {"water → town": 800, "field → town": 800}
    rows = list(csv.DictReader((tmp_path / "change" / "transitions.csv").open(encoding="utf-8")))
    assert {(row["from"], row["to"]): int(row["pixels"]) for row in rows}["field", "town"] == 200
    with pytest.raises(ExistsError, match=r"change_classes\.tif exists"):
        change(one, two, tmp_path / "change")


def test_a_sample_of_the_raster_gives_the_errors_of_change(tmp_path):
    """The map sees twice the change that there is."""
    one, two = (write_map(tmp_path / f"{k}.tif", part) for k, part in enumerate((FIRST, SECOND)))
    raster = change(one, two, tmp_path / "change").raster
    file = sample(raster, tmp_path / "points.gpkg", points=200, allocation="equal").file
    points = gpd.read_file(file, layer="points")
    real = points["row"] < 15
    points["reference"] = [
        name if true or "→" not in name else name.split(" ")[0]
        for name, true in zip(points["map_class"], real, strict=True)
    ]
    points.to_file(file, layer="points")
    changes = {part.name: part for part in assess(raster, file).classes}
    assert changes["water → town"].mapped_area == 800
    assert changes["water → town"].area.low < 400 < changes["water → town"].area.high < 1100


def test_maps_on_other_grids_are_compared_on_the_coarser_one(tmp_path):
    fine = np.kron(SECOND, np.ones((2, 2), np.uint8))
    one = write_map(tmp_path / "coarse.tif", FIRST)
    two = write_map(tmp_path / "fine.tif", fine, UTM @ Affine.scale(0.5))
    same = change(one, write_map(tmp_path / "second.tif", SECOND), tmp_path / "same")
    for maps in ((one, two), (two, one)):
        result = change(*maps, tmp_path / "other", overwrite=True)
        pixels = result.pixels if maps[0] == one else result.pixels.T
        assert pixels.tolist() == same.pixels.tolist() and "on that of" in result.notes[0]


def test_maps_that_cannot_be_compared_are_refused(tmp_path):
    one = write_map(tmp_path / "one.tif", FIRST)
    other = write_map(tmp_path / "other.tif", SECOND, legend=replace(LEGEND, names=("sea", *NAMES[1:])))
    with pytest.raises(InputError, match="the maps have different classes"):
        change(one, other, tmp_path / "change")
    away = write_map(tmp_path / "away.tif", SECOND, Affine.translation(9000, 0) @ UTM)
    with pytest.raises(InputError, match="no pixel with a class in common"):
        change(one, away, tmp_path / "change")
    with pytest.raises(InputError, match=r"no pixel of .*empty\.tif holds a class"):
        change(one, write_map(tmp_path / "empty.tif", np.full_like(FIRST, 255)), tmp_path / "change")
    values = np.where(np.arange(60) < 50, 9, SECOND).astype(np.uint8)
    ninths = write_map(tmp_path / "ninths.tif", values)
    with pytest.raises(InputError, match=r"% of the pixels of .*ninths\.tif are outside the legend"):
        change(one, ninths, tmp_path / "change", legend=LEGEND)
    assert not (tmp_path / "change").exists()


def test_a_map_without_a_georeference_has_the_pixels_of_an_equally_large_one(tmp_path):
    one, two = (write_map(tmp_path / f"{k}.tif", part) for k, part in enumerate((FIRST, SECOND)))
    plain = [write_map(tmp_path / f"plain_{k}.tif", p, Affine.identity(), None) for k, p in enumerate((FIRST, SECOND))]
    expected = change(one, two, tmp_path / "both")
    for name, maps in (("first", (plain[0], two)), ("second", (one, plain[1]))):
        result = change(*maps, tmp_path / name)
        assert result.pixels.tolist() == expected.pixels.tolist() and result.area == pytest.approx(expected.area)
        with rasterio.open(result.raster) as file:
            assert file.transform == UTM and file.crs == "EPSG:32632"


def test_equal_maps_have_no_polygons_of_changes(tmp_path):
    one, two = (write_map(tmp_path / f"{k}.tif", FIRST) for k in range(2))
    result = change(one, two, tmp_path / "change")
    assert result.changed_share == 0 and len(gpd.read_file(tmp_path / "change" / "change_polygons.gpkg")) == 0
