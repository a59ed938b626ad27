"""Polygons keep classes, areas and borders, in every format."""

import importlib.util

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracle_models import GEOMETRIES, NAMES, NORTH_UP, legend
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter, label
from small_masks import strips

from rsuda.core.errors import ExistsError, InputError
from rsuda.core.vector_formats import FORMATS
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.files import read_polygons, write_polygons
from rsuda.geo.polygons.polygonise import polygon_table, regularise

UTM = CRS.from_epsg(32632)
masks = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 4, 255])
)


def polygons(classes, transform=NORTH_UP, crs=UTM, **options):
    grid = Grid(*classes.shape, transform, crs)
    return polygon_table(classes, grid, legend(), grid.metres() or (0.5, 0.5), **options).frame()


def blobs(height, width, no_data=False, seed=0):
    """Smooth areas of five classes, with speckle, and some without data."""
    generator = np.random.default_rng(seed)
    surfaces = gaussian_filter(generator.standard_normal((6, height, width)), (0, 4, 4))
    classes = surfaces[: 5 + no_data].argmax(0).astype(np.uint8)
    speckled = generator.random(classes.shape) < 0.02
    classes[speckled] = generator.integers(0, 5, speckled.sum())
    classes[surfaces[:5].max(0) < surfaces[5]] = 255 if no_data else 0
    return classes


def tiles_the_plane(frame):
    """Valid polygons that share their borders vertex for vertex and do not overlap."""
    assert frame.is_valid.all() and not frame.is_empty.any()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert frame.area.sum() == pytest.approx(shapely.union_all(frame.geometry).area)


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
@settings(max_examples=30, deadline=None)
@given(classes=masks)
def test_rasterised_polygons_equal_the_mask(transform, classes):
    frame = polygons(classes, transform)
    shapes = list(zip(frame.geometry, frame["class"], strict=True))
    back = rasterize(shapes, classes.shape, fill=255, transform=transform, dtype="uint8") if shapes else classes
    assert (back == classes).all()
    for k in np.unique(classes[classes != 255]):
        of_class = frame[frame["class"] == k]
        assert shapely.union_all(of_class.geometry).area == pytest.approx(0.25 * (classes == k).sum(), abs=1e-6)
        assert of_class["area_m2"].sum() == pytest.approx(0.25 * (classes == k).sum(), abs=1e-3)
        assert set(of_class["name"]) == {NAMES[k]}


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
@settings(max_examples=30, deadline=None)
@given(classes=masks)
def test_polygons_tile_the_valid_area_one_per_component(transform, classes):
    frame = polygons(classes, transform)
    tiles_the_plane(frame)
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.to_numpy())).all()
    assert frame["area_m2"].tolist() == pytest.approx(frame.area.tolist(), abs=1e-4)
    assert frame["area_m2"].sum() == pytest.approx(0.25 * (classes != 255).sum())
    assert len(frame) == sum(label(classes == k)[1] for k in range(5))


@settings(max_examples=40, deadline=None)
@given(classes=masks, cuts=st.lists(st.integers(0, 99), max_size=4), min_area=st.sampled_from([0, 0.5, 1.25]))
def test_strips_of_any_height_give_the_same_polygons(classes, cuts, min_area):
    grid = Grid(*classes.shape, NORTH_UP, UTM)
    sure = (classes * 31 + np.arange(classes.shape[1])).astype(np.uint8)
    whole = polygon_table([(classes, sure)], grid, legend(), (0.5, 0.5), min_area).frame()
    pairs = zip(strips(classes, cuts), strips(sure, cuts), strict=True)
    cut = polygon_table(pairs, grid, legend(), (0.5, 0.5), min_area).frame()
    assert whole.drop(columns="geometry").equals(cut.drop(columns="geometry"))
    assert whole.geometry.to_wkb().tolist() == cut.geometry.to_wkb().tolist()
    alone = polygon_table(iter(strips(classes, cuts)), grid, legend(), (0.5, 0.5), min_area).frame()
    assert alone.geometry.to_wkb().tolist() == cut.geometry.to_wkb().tolist()
    assert "confidence" not in alone


def spiral(size):
    """A path of one pixel's width that winds to the middle."""
    classes, (row, col), (down, across) = np.zeros((size, size), np.uint8), (0, 0), (0, 1)
    for length in [size, *(n for n in range(size - 1, 0, -2) for _ in (0, 1))]:
        for _ in range(length - 1 if length == size else length):
            classes[row, col] = 1
            row, col = row + down, col + across
        down, across = across, -down
    classes[row, col] = 1
    return classes


AWKWARD = {
    "one pixel": (np.zeros((1, 1), np.uint8), 1),
    "one pixel surrounded by nodata": (np.pad(np.zeros((1, 1), np.uint8), 2, constant_values=255), 1),
    "checkerboard": (np.indices((9, 9)).sum(0).astype(np.uint8) % 2, 81),
    "checkerboard with no data": (np.indices((9, 9)).sum(0).astype(np.uint8) % 2 * 255, 41),
    "nested rings": (np.minimum.reduce([*np.indices((11, 11)), *(10 - np.indices((11, 11)))]).astype(np.uint8) % 2, 6),
    "spiral": (spiral(21), 2),
    "diagonal stairs": (np.tri(12, dtype=np.uint8), 2),
}


@pytest.mark.parametrize(("classes", "count"), AWKWARD.values(), ids=AWKWARD)
def test_unusual_masks(classes, count):
    for transform in GEOMETRIES.values():
        frame = polygons(classes, transform)
        tiles_the_plane(frame)
        assert len(frame) == count
        back = rasterize(
            list(zip(frame.geometry, frame["class"], strict=True)), classes.shape, 255, transform=transform
        )
        assert (back == classes).all()
    tiles_the_plane(polygons(classes, simplify=1))
    if (classes != 255).all():
        assert len(polygons(classes, min_area=float("inf"))) == 1


def test_nodata_mask_is_an_empty_frame_with_columns_and_crs():
    classes = np.full((3, 4), 255, np.uint8)
    for frame in (polygons(classes), polygons(classes, min_area=9, simplify=9)):
        assert len(frame) == 0 and frame.crs == UTM and list(frame) == ["class", "name", "area_m2", "geometry"]
    sure = polygon_table([(classes, classes)], Grid(3, 4, NORTH_UP, UTM), legend(), (0.5, 0.5)).frame()
    assert list(sure) == ["class", "name", "area_m2", "confidence", "geometry"]


@settings(max_examples=40, deadline=None)
@given(classes=masks, least=st.integers(0, 12))
def test_components_below_the_least_area_merge_into_neighbours(classes, least):
    before, after = polygons(classes), polygons(classes, min_area=0.25 * least)
    tiles_the_plane(after)
    assert after["area_m2"].sum() == pytest.approx(before["area_m2"].sum())
    for _, small in after[after["area_m2"] < 0.25 * least - 1e-9].iterrows():
        others = after[after.geometry != small.geometry]
        assert others.intersection(small.geometry).length.sum() == 0


@pytest.mark.parametrize("no_data", [False, True])
@pytest.mark.parametrize("simplify", [0.5, 1, 3])
def test_simplified_polygons_have_fewer_corners_and_still_tile_the_plane(simplify, no_data):
    classes = blobs(90, 110, no_data)
    before, after = polygons(classes), polygons(classes, simplify=simplify)
    tiles_the_plane(after)
    assert shapely.is_ccw(shapely.get_exterior_ring(after.geometry.to_numpy())).all()
    assert len(after) == len(before) and after["class"].equals(before["class"])
    assert shapely.get_num_coordinates(after.geometry).sum() < 0.8 * shapely.get_num_coordinates(before.geometry).sum()
    assert after["area_m2"].tolist() == pytest.approx(after.area.tolist(), abs=1e-4)
    old, new = (shapely.union_all(frame.geometry) for frame in (before, after))
    # what is covered changes along the outer border only: no gap opens between polygons
    assert old.symmetric_difference(new).difference(old.boundary.buffer(4 * simplify)).is_empty
    assert old.symmetric_difference(new).area < simplify * old.boundary.length
    assert len(shapely.get_parts(new)) == len(shapely.get_parts(old))


def test_simplification_is_in_metres_in_any_crs():
    classes = blobs(60, 60)
    metres = polygons(classes, simplify=2)
    feet = polygons(classes, from_origin(0, 0, 0.5 * 3937 / 1200, 0.5 * 3937 / 1200), CRS.from_epsg(2263), simplify=2)
    plain = polygons(classes, Affine.identity(), None, simplify=2)
    for frame in (feet, plain):
        assert frame["area_m2"].tolist() == pytest.approx(metres["area_m2"].tolist(), abs=2e-4)
        assert (shapely.get_num_coordinates(frame.geometry) == shapely.get_num_coordinates(metres.geometry)).all()


def test_confidence_is_the_mean_over_the_pixels_that_have_one():
    classes = np.array([[0, 0, 1], [0, 0, 1], [2, 255, 1]], np.uint8)
    sure = np.array([[254, 127, 10], [0, 255, 20], [255, 9, 33]], np.uint8)
    grid = Grid(3, 3, NORTH_UP, UTM)
    frame = polygon_table([(classes, sure)], grid, legend(), (0.5, 0.5)).frame().set_index("name")
    assert frame["confidence"].loc[["road", "roof"]].tolist() == [0.5, round(63 / 3 / 254, 4)]
    assert np.isnan(frame["confidence"]["tree"])
    merged = polygon_table([(classes, sure)], grid, legend(), (0.5, 0.5), min_area=0.5).frame().set_index("name")
    assert merged["confidence"].to_dict() == {"road": 0.5, "roof": round(63 / 3 / 254, 4)}
    merged = polygon_table([(classes, sure)], grid, legend(), (0.5, 0.5), min_area=2).frame()
    assert merged["confidence"].tolist() == [round((254 + 127 + 63) / 6 / 254, 4)]


def test_too_many_components_are_merged_with_a_note():
    classes = np.random.default_rng(0).integers(0, 5, (60, 60)).astype(np.uint8)
    frame = polygons(classes, most=500)
    assert len(frame) <= 500 and frame["area_m2"].min() >= 0.25 * 4
    (note,) = frame.attrs["notes"]
    result = f"{len(polygons(classes)):,}"
    assert note.startswith(f"the mask has {result} areas, more than 500: areas below 4 pixels (1 m2) are merged")
    assert note.endswith("`min_area` sets the limit")
    again = polygons(classes, min_area=1)
    assert again.geometry.to_wkb().tolist() == frame.geometry.to_wkb().tolist() and again.attrs["notes"] == []


def test_components_without_neighbours_stay():
    classes = np.full((9, 9), 255, np.uint8)
    classes[::2, ::2] = 1
    frame = polygons(classes, most=3)
    assert len(frame) == 25
    assert frame.attrs["notes"] == [
        "the mask has 25 areas, more than 3: 25 surrounded by nodata have no neighbour and stay"
    ]  # fmt: skip
    classes[1, 0] = 0
    frame = polygons(classes, most=3, min_area=0.25)
    assert len(frame) == 24
    assert (
        "below 2 pixels (0.5 m2) are merged into their neighbours, 24 surrounded by nodata" in frame.attrs["notes"][0]
    )


def test_invalid_arguments_are_refused():
    with pytest.raises(InputError, match="class 5, but the classes of the legend are 0 to 4"):
        polygons(np.full((2, 2), 5, np.uint8))
    for options in ({"min_area": -1}, {"simplify": -1}, {"simplify": float("nan")}):
        with pytest.raises(InputError, match="must be at least 0"):
            polygons(np.zeros((2, 2), np.uint8), **options)
    with pytest.raises(ValueError, match="2 rows together"):
        polygon_table(np.zeros((2, 2), np.uint8), Grid(3, 2), legend(), (1, 1)).frame()


def slanted(transform):
    """A mask of a rotated house, and the house."""
    house = shapely.affinity.rotate(shapely.box(10, 10, 26, 20), 20)
    inverse = ~Affine.scale(0.5)
    pixels = shapely.affinity.affine_transform(house, [inverse.a, 0, 0, inverse.e, 0, 0])
    classes = rasterize([(pixels, 1)], (70, 80), dtype="uint8", transform=Affine.identity())
    t = transform
    return classes, shapely.affinity.affine_transform(pixels, [t.a, t.b, t.d, t.e, t.c, t.f])


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
def test_regularised_footprints_have_right_angles_in_their_place(transform):
    pytest.importorskip("buildingregulariser")
    classes, house = slanted(transform)
    grid = Grid(*classes.shape, transform, UTM)
    frame = polygons(classes, transform)
    result = regularise(frame, ["roof"], grid, legend(), (0.5, 0.5))
    assert result["name"].tolist() == ["roof"] and result.crs == UTM and list(result) == list(frame)
    (footprint,) = result.geometry
    assert shapely.get_num_coordinates(footprint) == 5
    assert footprint.intersection(house).area / footprint.union(house).area > 0.9
    assert result["area_m2"].tolist() == pytest.approx([footprint.area], abs=1e-3)
    assert footprint.area == pytest.approx(footprint.minimum_rotated_rectangle.area, rel=1e-3)
    assert len(regularise(frame, ["tree"], grid, legend(), (0.5, 0.5))) == 0


def test_regularising_names_the_missing_package(monkeypatch):
    classes = np.zeros((2, 2), np.uint8)
    frame, grid = polygons(classes), Grid(2, 2, NORTH_UP, UTM)
    with pytest.raises(InputError, match="unknown class 'rof': did you mean 'roof'"):
        regularise(frame, ["rof"], grid, legend(), (0.5, 0.5))
    monkeypatch.setattr("rsuda.geo.polygons.polygonise.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"rsuda\[vector\]"):
        regularise(frame, ["roof"], grid, legend(), (0.5, 0.5))


def test_pixels_that_touch_at_a_corner_only_are_two_polygons():
    assert len(polygons(np.array([[0, 255], [255, 0]], np.uint8))) == 2


def test_hole_is_outside_of_the_polygon_around_it():
    ring = np.zeros((3, 3), np.uint8)
    ring[1, 1] = 1
    frame = polygons(ring).set_index("name")
    assert frame.loc["road", "area_m2"] == 2.0 and frame.loc["roof", "area_m2"] == 0.25


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_crs_classes_names_and_areas(tmp_path, format):
    package = FORMATS[format].package
    if package and not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed")
    assert len(FORMATS) >= 4
    classes = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((4, 4), np.uint8))
    frame, file = polygons(classes), tmp_path / f"map.{format}"
    write_polygons(frame, file)
    back = read_polygons(file)
    # GeoJSON is longitude and latitude by its standard; the others keep the scene's CRS
    assert back.crs.to_epsg() == (4326 if format in ("geojson", "kml") else 32632)
    key = ["class", "name", "area_m2"]
    rows = sorted(map(tuple, frame[key].itertuples(index=False)))
    assert sorted(map(tuple, back[key].itertuples(index=False))) == rows
    metric = back.to_crs(32632)
    assert metric.total_bounds == pytest.approx(frame.total_bounds, abs=0.02)
    for _, row in metric.iterrows():
        assert row.geometry.area == pytest.approx(row["area_m2"], abs=0.1)


@pytest.mark.parametrize("format", ["gpkg", "fgb", "geojson"])
def test_mask_without_classes_makes_a_readable_empty_file(tmp_path, format):
    file = tmp_path / f"empty.{format}"
    write_polygons(polygons(np.full((3, 4), 255, np.uint8)), file)
    assert len(gpd.read_file(file)) == 0


def test_file_without_crs_stays_without(tmp_path):
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


def test_existing_file_is_replaced_with_overwrite_only(tmp_path):
    file = tmp_path / "map.gpkg"
    file.write_bytes(b"mine")
    frame = polygons(np.zeros((2, 2), np.uint8))
    with pytest.raises(ExistsError, match=r"map\.gpkg exists"):
        write_polygons(frame, file)
    assert file.read_bytes() == b"mine"
    write_polygons(frame, file, overwrite=True)
    assert len(gpd.read_file(file)) == 1


def test_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="gpkg") as caught:
        write_polygons(polygons(np.zeros((2, 2), np.uint8)), tmp_path / "map.dxf")
    assert all(name in str(caught.value) for name in FORMATS)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_to_install(tmp_path):
    with pytest.raises(InputError, match="pyarrow"):
        write_polygons(polygons(np.zeros((2, 2), np.uint8)), tmp_path / "map.parquet")


def geodesic(frame):
    """Areas of polygons in degrees on the ellipsoid."""
    return np.array([abs(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0]) for polygon in frame.geometry])


@pytest.mark.parametrize("latitude", [0, 35, 60, -70])
def test_areas_in_degrees_are_those_of_the_ground(latitude):
    transform = from_origin(13, latitude + 0.001, 1e-5, 1e-5)
    frame = polygons(blobs(60, 80), transform, CRS.from_epsg(4326))
    assert np.allclose(frame.area_m2, geodesic(frame), rtol=0.002)


def test_areas_of_a_scene_over_many_latitudes_are_those_of_the_ground():
    frame = polygons(blobs(60, 80), from_origin(0, 65, 0.5, 0.5), CRS.from_epsg(4326))
    assert np.allclose(frame.area_m2, geodesic(frame.assign(geometry=frame.segmentize(0.1))), rtol=0.01)


def test_oblong_pixels_are_simplified_in_metres():
    """At 60 degrees: a step of 0.56 m goes, one of 1.11 m stays, in the coverage of both."""
    transform, degrees = from_origin(13, 60, 1e-5, 1e-5), CRS.from_epsg(4326)
    frame = polygons(blobs(60, 80), transform, degrees, simplify=1.5)
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert np.allclose(frame.area_m2, geodesic(frame), rtol=0.01, atol=0.5)
    metric = polygon_table(
        blobs(60, 80), Grid(60, 80, from_origin(0, 0, 0.558, 1.114), UTM), legend(), (1.114, 0.558), simplify=1.5
    ).frame()
    assert np.abs(frame.area_m2 - metric.area_m2).sum() < 0.02 * metric.area_m2.sum()  # equal corners may differ


@pytest.mark.skipif(not importlib.util.find_spec("buildingregulariser"), reason="needs buildingregulariser")
def test_footprints_in_degrees_are_squared_in_metres():
    classes = np.zeros((60, 120), np.uint8)
    rows, cols = np.mgrid[:60, :120]
    x, y = (cols - 60) * 0.5, (rows - 30) * 1.0
    classes[(np.abs(0.9 * x + 0.436 * y) < 14) & (np.abs(-0.436 * x + 0.9 * y) < 9)] = (
        1  # a slanted house of 28 by 18 m
    )
    unit = Grid(1, 1, from_origin(13, 60, 1e-5, 1e-5), CRS.from_epsg(4326)).metres()
    degrees = Grid(60, 120, from_origin(13, 60, 0.5e-5 / unit[1], 1e-5 / unit[0]), CRS.from_epsg(4326))
    (house,) = (
        regularise(
            polygon_table(classes, grid, legend(), grid.metres()).frame(), [NAMES[1]], grid, legend(), grid.metres()
        )
        for grid in (degrees,)
    )
    assert house.crs.to_epsg() == 4326
    assert house.area_m2.sum() == pytest.approx(28 * 18, rel=0.08)
    assert np.allclose(house.area_m2, geodesic(house), rtol=0.01)
    corners = shapely.get_coordinates(house.geometry.iloc[0])
    sides = np.diff(corners * [55800, 111412], axis=0)
    turns = (
        sides[:-1] / np.linalg.norm(sides[:-1], axis=1)[:, None],
        sides[1:] / np.linalg.norm(sides[1:], axis=1)[:, None],
    )
    assert np.abs((turns[0] * turns[1]).sum(1)).max() < 0.03
