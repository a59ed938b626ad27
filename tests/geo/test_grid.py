"""Pixel and world positions: corners stay where they are, whatever the geometry."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from rsuda.core.errors import InputError
from rsuda.geo.grid import Grid
from rsuda.geo.raster import RasterFile

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


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [(13.4, 52.5, 32633), (55.3, 25.2, 32640), (-70.6, -33.4, 32719), (179.9, 1, 32660), (-180, -1, 32701)],
)
def test_degrees_are_refused_with_the_utm_zone_to_use(lon, lat, zone):
    grid = Grid(100, 100, Affine(1e-5, 0, lon, 0, -1e-5, lat), CRS.from_epsg(4326))
    with pytest.raises(InputError, match=rf"geographic.*gdalwarp -t_srs EPSG:{zone} "):
        grid.metres()


def test_crs_without_projection_asks_for_the_gsd():
    grid = Grid(5, 5, Affine(0.3, 0, 0, 0, -0.3, 9), CRS.from_string('LOCAL_CS["site",UNIT["metre",1]]'))
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
    """At 60 degrees north a Web Mercator metre is half a metre on the ground."""
    northing = 6378137 * np.log(np.tan(np.pi / 4 + np.radians(60) / 2))
    grid = Grid(2, 2, Affine.translation(0, northing + 1) @ Affine.scale(1, -1), CRS.from_epsg(3857))
    assert grid.metres() == pytest.approx((0.5, 0.5), rel=1e-5)
