"""Pixel and world positions: corners stay where they are, whatever the geometry."""

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsuda.core.errors import InputError
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.raster import RasterFile

sizes = st.integers(1, 300)
positions = st.floats(-500, 500)
UTM = CRS.from_epsg(32633)


@st.composite
def grids(draw):
    """North-up, south-up and rotated grids with pixels of any shape."""
    down, across = draw(st.floats(0.05, 30)), draw(st.floats(0.05, 30))
    origin = draw(st.floats(-1e6, 1e6)), draw(st.floats(-1e7, 1e7))
    angle, sign = draw(st.sampled_from([0, 0, 30, -77.5, 180])), draw(st.sampled_from([-1, 1]))
    transform = Affine.translation(*origin) @ Affine.rotation(angle) @ Affine.scale(across, sign * down)
    return Grid(draw(sizes), draw(sizes), transform, UTM)


def same(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-5)


@given(grids(), positions, positions)
@settings(max_examples=50, deadline=None)
def test_pixel_position_is_transformed_to_the_world_and_back(grid, row, col):
    assert same(grid.pixel(*grid.world(row, col)), (row, col))


@given(grids(), st.integers(-50, 400), st.integers(-50, 400), sizes, sizes)
@settings(max_examples=50, deadline=None)
def test_window_has_the_world_position_of_its_pixels(grid, row, col, height, width):
    window = grid.window(row, col, height, width)
    assert (window.height, window.width, window.crs) == (height, width, UTM)
    assert same(window.world(0, 0), grid.world(row, col))
    assert same(window.world(height, width), grid.world(row + height, col + width))


@given(grids(), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_padding_extends_all_four_sides(grid, pixels):
    padded = grid.pad(pixels)
    assert (padded.height, padded.width) == (grid.height + 2 * pixels, grid.width + 2 * pixels)
    assert same(padded.world(pixels, pixels), grid.world(0, 0))
    assert same(padded.world(padded.height - pixels, padded.width - pixels), grid.world(grid.height, grid.width))


@given(grids(), st.floats(0.1, 9), st.floats(0.1, 9))
@settings(max_examples=50, deadline=None)
def test_another_pixel_size_covers_the_same_ground(grid, down, across):
    other = grid.at(down, across)
    assert same(other.world(0, 0), grid.world(0, 0))
    assert np.allclose(other.pixel_size, np.multiply(grid.pixel_size, (down, across)))
    for size, step, new in ((grid.height, down, other.height), (grid.width, across, other.width)):
        assert size - 1e-5 * step <= new * step < size + step  # all is covered, and no pixel is wholly outside


@given(grids())
@settings(max_examples=30, deadline=None)
def test_bounds_are_the_tightest_box_around_the_corners(grid):
    corners = np.array([grid.world(r, c) for r in (0, grid.height) for c in (0, grid.width)])
    assert same(grid.bounds, (*corners.min(0), *corners.max(0)))


def test_pixel_size_does_not_depend_on_rotation():
    for angle in (0, 17, 90, 200):
        grid = Grid(9, 9, Affine.rotation(angle) @ Affine.scale(0.2, -0.5), UTM)
        assert np.allclose(grid.pixel_size, (0.5, 0.2))


@pytest.mark.parametrize(
    ("crs", "factor"),
    [("EPSG:32633", 1), ("EPSG:2263", 1200 / 3937), ("EPSG:2222", 0.3048), (None, 1)],
    ids=["metre", "US survey foot", "international foot", "none, as ISPRS delivers"],
)
def test_metres_count_the_units_of_the_crs(crs, factor):
    grid = Grid(5, 5, Affine(0.3, 0, 1000, 0, -0.6, 2000), CRS.from_string(crs) if crs else None)
    assert grid.metres() == pytest.approx((0.6 * factor, 0.3 * factor), rel=1e-9)


SYSTEMS = {
    "degrees": "EPSG:4326",
    "degrees of NAD83": "EPSG:4269",
    "grads": "EPSG:4807",
    "web maps": "EPSG:3857",
    "Mercator": "EPSG:3395",
    "plate carree": "EPSG:32662",
    "sinusoidal": "+proj=sinu +lon_0=0 +R=6371007.181 +units=m +type=crs",
    "LAEA": "EPSG:3035",
    "polar stereographic": "EPSG:3995",
    "Albers": "EPSG:5070",
    "Lambert in feet": "+proj=lcc +lat_1=10 +lat_2=30 +lat_0=20 +lon_0=20 +datum=WGS84 +units=us-ft +type=crs",
    "far from the zone": "EPSG:32635",
}


@pytest.mark.parametrize("latitude", [0.5, 30, 52.3, -33, 60, 70])
@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("angle", [0, 37])
def test_metres_are_those_of_the_ellipsoid_to_one_percent(name, latitude, angle):
    """Against the geodesic area of the grid's outline, and its edges where the projection is not slanted."""
    if latitude < 0 and name in ("LAEA", "polar stereographic", "Albers"):
        return
    crs = pyproj.CRS(SYSTEMS[name])
    degrees = 1.0 if name != "grads" else 0.9
    there = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = there.transform(-98 if name == "Albers" else 20.5, latitude)
    unit = (1e-5 if crs.is_geographic else 1.0) / degrees
    transform = Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(unit, -2 * unit)
    grid = Grid(40, 60, transform, CRS.from_wkt(crs.to_wkt()))
    assert area_error(grid, crs) < 0.01


def area_error(grid, crs):
    """How far the area of a grid by its metres is from the geodesic area of its outline."""
    edge = [(0, 0), (0, grid.width), (grid.height, grid.width), (grid.height, 0)]
    back = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = back.transform(*zip(*[grid.world(*corner) for corner in edge], strict=True))
    to_degrees = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    area = abs(crs.get_geod().polygon_area_perimeter(np.multiply(lon, to_degrees), np.multiply(lat, to_degrees))[0])
    return abs(np.prod(grid.metres()) * grid.height * grid.width / area - 1)


@pytest.mark.parametrize("gsd", [0.02, 0.5, 30.0])
def test_degrees_are_metres_by_axis(gsd):
    """On the ellipsoid at 60 degrees north: 111 412 m for a degree of latitude, 55 800 m for one of longitude."""
    grid = Grid(10, 10, Affine(gsd / 55800, 0, 13.4, 0, -gsd / 111412, 60), CRS.from_epsg(4326))
    assert grid.metres() == pytest.approx((gsd, gsd), rel=2e-4)


@pytest.mark.parametrize("epsg", [32633, 25832, 2154, 27700, 28992, 2193, 3035, 5070, 2263, 31370])
def test_national_grids_keep_their_own_units(epsg):
    area = pyproj.CRS.from_epsg(epsg).area_of_use
    there = pyproj.Transformer.from_crs("EPSG:4326", epsg, always_xy=True)
    x, y = there.transform((area.west + area.east) / 2 if epsg != 2193 else 172, (area.south + area.north) / 2)
    crs = CRS.from_epsg(epsg)
    grid = Grid(100, 100, Affine(0.25, 0, x, 0, -0.25, y), crs)
    factor = crs.linear_units_factor[1]
    assert grid.metres() == (0.25 * factor, 0.25 * factor)


def test_position_that_is_nowhere_is_refused():
    grid = Grid(10, 10, Affine(0.3, 0, 400000, 0, -0.3, 5500000), CRS.from_epsg(4326))
    with pytest.raises(InputError, match=r"\(400002, 5.5e\+06\) is not a position of EPSG:4326: correct"):
        grid.metres()


def test_crs_without_projection_asks_for_the_gsd():
    grid = Grid(
        5, 5, Affine(0.3, 0, 0, 0, -0.3, 9), CRS.from_string('LOCAL_CS["site",UNIT["degree",0.0174532925199433]]')
    )
    with pytest.raises(InputError, match="declare the GSD"):
        grid.metres()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_file_without_georeference_has_no_metres(write):
    grid = RasterFile(write("plain.png", np.zeros((3, 4, 5), np.uint8))).grid
    assert not grid.georeferenced
    assert grid.metres() is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_world_file_locates_pixel_centres_in_metres(write):
    path = write("plain.png", np.zeros((3, 4, 5), np.uint8))
    path.with_suffix(".pgw").write_text("0.09\n0\n0\n-0.09\n1000.045\n2000\n")
    grid = RasterFile(path).grid
    assert same(grid.world(0.5, 0.5), (1000.045, 2000))
    assert grid.crs is None
    assert grid.metres() == pytest.approx((0.09, 0.09))


@pytest.mark.parametrize("geometry", [{}, {"rotation": 30}, {"south_up": True}, {"rotation": -100, "south_up": True}])
def test_grid_of_a_file_agrees_with_its_pixels(located_raster, geometry):
    path = located_raster(**geometry)
    grid = RasterFile(path).grid
    with rasterio.open(path) as file:
        values = file.read()
    for row, col in ((0, 0), (3, 17), (39, 49)):
        assert np.allclose(grid.world(row + 0.5, col + 0.5), values[:, row, col], atol=1e-4)


def test_web_mercator_units_are_converted_to_the_ground():
    """At 60 degrees north a Web Mercator metre is about half a metre on the ground, on the ellipsoid by axis."""
    northing = 6378137 * np.log(np.tan(np.pi / 4 + np.radians(60) / 2))
    grid = Grid(2, 2, Affine.translation(0, northing + 1) @ Affine.scale(1, -1), CRS.from_epsg(3857))
    assert grid.metres() == pytest.approx((0.50042, 0.50126), rel=1e-4)


def test_pixels_are_equal_up_to_a_hundredth():
    grid = Grid(40, 50, Affine(0.5, 0, 400000, 0, -0.5, 5500000), UTM)
    assert grid.same_pixels(grid.window(0.009, -0.009, 40, 50))
    assert not grid.same_pixels(grid.window(0.02, 0, 40, 50))
    assert not grid.same_pixels(grid.window(0, 0, 40, 49))
    assert not grid.same_pixels(Grid(40, 50, grid.transform, CRS.from_epsg(32632)))
    assert grid.same_pixels(Grid(40, 50, grid.transform))
    assert grid.same_pixels(Grid(40, 50))


@given(grids(), st.integers(-500, 500), st.integers(-500, 500))
@settings(max_examples=30, deadline=None)
def test_positions_in_another_crs_do_not_depend_on_the_window(grid, row, col):
    grid = Grid(40, 40, Affine.translation(5e5, 5.5e6) @ Affine(*grid.transform[:2], 0, *grid.transform[3:5], 0), UTM)
    other = Grid(100, 100, Affine(1e-4, 0, 15, 0, -1e-4, 49.6), CRS.from_epsg(4326))
    cut = grid.window(row, col, 30, 20)
    rows, cols = grid.window(row - 7, col - 5, 60, 50).positions_in(other)
    assert np.allclose(cut.positions_in(other), (rows[7:37, 5:25], cols[7:37, 5:25]), rtol=0, atol=1e-4)
    exact = cut.points_in(other, *(np.mgrid[:30, :20] + 0.5))
    assert np.allclose(cut.positions_in(other), exact, rtol=0, atol=0.01)


@pytest.mark.parametrize("apart", [0.0, 1.0, 30.0, 300.0])
def test_pixels_at_a_pole_have_a_size(apart):
    grid = Grid(160, 200, Affine(1, 0, apart - 100, 0, -1, 80), CRS.from_epsg(3413))
    down, across = grid.metres()
    assert down == pytest.approx(1.03, abs=0.01) and across == pytest.approx(1.03, abs=0.01)
