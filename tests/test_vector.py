"""Polygons keep classes, areas and borders, in every format."""

import importlib.util

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracle import GEOMETRIES, NAMES, NORTH_UP, legend
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely import union_all

from rsuda.errors import ExistsError, InputError
from rsuda.grid import Grid
from rsuda.vector import FORMATS, polygonise, write_polygons

UTM = CRS.from_epsg(32632)
masks = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 4, 255])
)


def polygons(classes, transform=NORTH_UP, crs=UTM):
    grid = Grid(*classes.shape, transform, crs)
    return polygonise(classes, grid, legend(), grid.metres() or (0.5, 0.5))


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
@settings(max_examples=30, deadline=None)
@given(classes=masks)
def test_rasterising_the_polygons_gives_the_mask_back(transform, classes):
    frame = polygons(classes, transform)
    shapes = list(zip(frame.geometry, frame["class"], strict=True))
    back = rasterize(shapes, classes.shape, fill=255, transform=transform, dtype="uint8") if shapes else classes
    assert (back == classes).all()
    for k in np.unique(classes[classes != 255]):
        own = frame[frame["class"] == k]
        assert union_all(own.geometry).area == pytest.approx(0.25 * (classes == k).sum(), abs=1e-6)
        assert own["area_m2"].sum() == pytest.approx(0.25 * (classes == k).sum(), abs=1e-3)
        assert set(own["name"]) == {NAMES[k]}


@settings(max_examples=30, deadline=None)
@given(classes=masks)
def test_polygons_are_valid_and_do_not_overlap(classes):
    frame = polygons(classes)
    assert frame.is_valid.all()
    assert frame.area.sum() == pytest.approx(0.25 * (classes != 255).sum())


def test_pixels_that_touch_at_a_corner_only_are_two_polygons():
    assert len(polygons(np.array([[0, 255], [255, 0]], np.uint8))) == 2


def test_a_hole_is_no_part_of_the_polygon_around_it():
    ring = np.zeros((3, 3), np.uint8)
    ring[1, 1] = 1
    frame = polygons(ring).set_index("name")
    assert frame.loc["road", "area_m2"] == 2.0 and frame.loc["roof", "area_m2"] == 0.25


@pytest.mark.parametrize("format", ["gpkg", "fgb", "geojson", "parquet"])
def test_every_format_keeps_crs_classes_names_and_areas(tmp_path, format):
    if format == "parquet" and not importlib.util.find_spec("pyarrow"):
        pytest.skip("pyarrow is not installed")
    classes = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((4, 4), np.uint8))
    frame, file = polygons(classes), tmp_path / f"map.{format}"
    write_polygons(frame, file)
    back = gpd.read_parquet(file) if format == "parquet" else gpd.read_file(file)
    # GeoJSON is longitude and latitude by its standard; the others keep the scene's CRS
    assert back.crs.to_epsg() == (4326 if format == "geojson" else 32632)
    key = ["class", "name", "area_m2"]
    told = sorted(map(tuple, frame[key].itertuples(index=False)))
    assert sorted(map(tuple, back[key].itertuples(index=False))) == told
    metric = back.to_crs(32632)
    assert metric.total_bounds == pytest.approx(frame.total_bounds, abs=0.02)
    for _, row in metric.iterrows():
        assert row.geometry.area == pytest.approx(row["area_m2"], abs=0.1)


@pytest.mark.parametrize("format", ["gpkg", "fgb", "geojson"])
def test_a_mask_without_any_class_gives_a_readable_file_without_polygons(tmp_path, format):
    file = tmp_path / f"empty.{format}"
    write_polygons(polygons(np.full((3, 4), 255, np.uint8)), file)
    assert len(gpd.read_file(file)) == 0


def test_without_a_crs_no_crs_is_invented(tmp_path):
    frame = polygons(np.zeros((2, 2), np.uint8), crs=None)
    for format in ("gpkg", "fgb", "geojson"):
        write_polygons(frame, tmp_path / f"map.{format}")
        back = gpd.read_file(tmp_path / f"map.{format}")
        if format != "geojson":  # whose standard knows longitude and latitude only
            assert not back.crs or back.crs.name.startswith("Undefined")
        assert tuple(back.total_bounds) == tuple(frame.total_bounds)


def test_without_a_georeference_rows_run_downwards_and_areas_are_metres():
    frame = polygons(np.zeros((2, 5), np.uint8), Affine.identity(), None)
    assert tuple(frame.total_bounds) == (0, -2, 5, 0)
    assert frame["area_m2"].tolist() == [2.5]


def test_areas_are_square_metres_in_a_crs_of_us_feet():
    # New York Long Island in US survey feet; a pixel of 10 ft is 3.048006 m
    frame = polygons(np.zeros((3, 2), np.uint8), from_origin(1_000_000, 200_000, 10, 10), CRS.from_epsg(2263))
    assert frame["area_m2"].tolist() == pytest.approx([6 * (10 * 1200 / 3937) ** 2], abs=1e-3)
    assert frame.area.tolist() == [600.0]


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    file = tmp_path / "map.gpkg"
    file.write_bytes(b"mine")
    frame = polygons(np.zeros((2, 2), np.uint8))
    with pytest.raises(ExistsError, match=r"map\.gpkg exists"):
        write_polygons(frame, file)
    assert file.read_bytes() == b"mine"
    write_polygons(frame, file, overwrite=True)
    assert len(gpd.read_file(file)) == 1


def test_an_unknown_format_is_refused_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(InputError, match="gpkg") as caught:
        write_polygons(polygons(np.zeros((2, 2), np.uint8)), tmp_path / "map.shp")
    assert all(name in str(caught.value) for name in FORMATS)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_to_install(tmp_path):
    with pytest.raises(InputError, match="pyarrow"):
        write_polygons(polygons(np.zeros((2, 2), np.uint8)), tmp_path / "map.parquet")
