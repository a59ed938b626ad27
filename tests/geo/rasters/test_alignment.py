"""Labels and images on another grid: what is read at a position is what lies there, whatever the grid."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import from_origin

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.overlap import check_overlap, covered_share
from rsuda.geo.rasters.alignment import PlacedFile, labels_on, read_on
from rsuda.geo.rasters.labels import labels_at
from rsuda.geo.rasters.raster import RasterFile
from rsuda.geo.scenes.scene import Scene

UTM = CRS.from_epsg(32633)
LEGEND = Legend.from_fields(
    [
        {"name": n, "value": v, "colour": c}
        for n, v, c in (("a", 0, "#FF0000"), ("b", 1, "#00FF00"), ("c", 2, "#0000FF"))
    ],
    [255],
)
IMAGE = Grid(48, 60, from_origin(400000, 5500000, 1, 1), UTM)


def kind(x, y):
    """The class at a UTM position: squares of 9 by 7 m."""
    return ((np.floor((x - 399000) / 9) + np.floor((y - 5499000) / 7)) % 3).astype(np.uint8)


def centres(grid):
    """(x, y) UTM positions of a grid's pixel centres."""
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    x, y = grid.transform @ (cols, rows)
    if grid.crs is not None and grid.crs != UTM:
        x, y = Transformer.from_crs(grid.crs.to_wkt(), "EPSG:32633", always_xy=True).transform(x, y)
    return x, y


def around(crs, down, across=None, angle=0.0, south_up=False, margin=12, shift=0.0):
    """A grid of a CRS that covers IMAGE with a margin in metres."""
    centre = IMAGE.world(IMAGE.height / 2, IMAGE.width / 2)
    there = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
    x, y = there.transform(*centre)
    unit = there.transform(centre[0], centre[1] + 1)[1] - y
    across = across or down
    height, width = (int((2 * margin + 75) / size) + 1 for size in (down, across))
    scale = Affine.scale(across * unit, down * unit * (1 if south_up else -1))
    transform = (
        Affine.translation(x, y)
        @ Affine.rotation(angle)
        @ scale
        @ Affine.translation(-width / 2 + shift, -height / 2 + shift)
    )
    return Grid(height, width, transform, CRS.from_user_input(crs))


GRIDS = {
    "shifted": around("EPSG:32633", 1, shift=0.3),
    "finer": around("EPSG:32633", 0.25, shift=0.1),
    "coarser and shifted": around("EPSG:32633", 1.7),
    "oblong": around("EPSG:32633", 0.5, 1.5),
    "south-up": around("EPSG:32633", 0.5, south_up=True),
    "rotated": around("EPSG:32633", 0.5, angle=33),
    "rotated a quarter": around("EPSG:32633", 1, angle=90),
    "next zone": around("EPSG:32632", 0.5),
    "degrees": around("EPSG:4326", 0.5),
    "web maps": around("EPSG:3857", 0.4),
    "web maps, rotated and south-up": around("EPSG:3857", 0.5, angle=-70, south_up=True),
    "Europe": around("EPSG:3035", 1),
}


def write_grid(path, grid, values, **profile):
    values = values if values.ndim == 3 else values[None]
    size = {"height": grid.height, "width": grid.width, "count": len(values), "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=grid.crs, transform=grid.transform, **size, **profile) as file:
        file.write(values)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Label and image of each grid: the class at, and the position of, each pixel's centre."""
    folder = tmp_path_factory.mktemp("grids")
    result = {}
    for number, (name, grid) in enumerate(GRIDS.items()):
        x, y = centres(grid)
        label = write_grid(folder / f"label{number}.tif", grid, kind(x, y))
        image = write_grid(folder / f"image{number}.tif", grid, np.stack([x - 4e5, y - 55e5]).astype(np.float32))
        result[name] = RasterFile(label), RasterFile(image)
    return result


@pytest.mark.parametrize("name", GRIDS)
def test_label_is_the_class_at_the_position(files, name):
    label, off_palette = labels_on(files[name][0], LEGEND, IMAGE)
    x, y = centres(IMAGE)
    size = max(GRIDS[name].metres()) / 2 + 0.5  # to the middle of a pixel of the label and of the image
    inner = np.all([kind(x + dx, y + dy) == kind(x, y) for dx in (-size, 0, size) for dy in (-size, 0, size)], 0)
    assert inner.mean() > 0.3
    assert (label == kind(x, y))[inner].all()
    assert (label == kind(x, y)).mean() > 0.8
    assert off_palette == 0


@pytest.mark.parametrize("name", GRIDS)
def test_image_is_interpolated_at_the_position(files, name):
    raster = read_on(files[name][1], None, IMAGE)
    x, y = centres(IMAGE)
    assert raster.valid.all()
    assert np.allclose(raster.values, [x - 4e5, y - 55e5], atol=0.2)
    assert raster.grid == IMAGE


@given(
    st.sampled_from(list(GRIDS)), st.sampled_from([1.0, 0.5, 0.7, 2.0, 3.3]), st.integers(-9, 30), st.integers(-9, 30)
)
@settings(max_examples=60, deadline=None)
def test_value_does_not_depend_on_the_window(files, name, step, row, col):
    label, image = files[name]
    grid = IMAGE.at(step, step)
    wide, cut = grid.window(row - 4, col - 6, 26, 25), grid.window(row, col, 11, 13)
    place = np.s_[..., 4:15, 6:19]
    assert (labels_on(label, LEGEND, wide)[0][place] == labels_on(label, LEGEND, cut)[0]).all()
    whole, part = read_on(image, [2, 1], wide), read_on(image, [2, 1], cut)
    assert (whole.valid[place] == part.valid).all()
    assert np.allclose(whole.values[place], part.values, atol=0.01)


def test_equal_pixels_are_read_as_they_are(tmp_path):
    values = np.random.default_rng(0).integers(0, 3, (48, 60), np.uint8)
    for shift in (0, 0.009, -0.009):
        file = RasterFile(write_grid(tmp_path / f"{shift}.tif", IMAGE.window(shift, -shift, 48, 60), values))
        placed = PlacedFile.of(file, IMAGE, "image.tif")
        assert placed.by_pixel
        for step in ((1.0, 1.0), (2.0, 1.5), (0.5, 0.3)):
            window = (-3, 5, 20, 30)
            assert (placed.labels_at(LEGEND, step, window)[0] == labels_at(file, LEGEND, step, window)[0]).all()
            assert (placed.read_at(None, step, window).values == file.read_at(None, step, window).values).all()


def test_whole_pixels_apart_are_read_as_they_are(tmp_path):
    values = np.random.default_rng(0).integers(0, 3, (1, 70, 90), np.uint8)
    file = RasterFile(write_grid(tmp_path / "wide.tif", IMAGE.window(-10, -20, 70, 90), values))
    raster = read_on(file, None, IMAGE)
    assert raster.values.dtype == np.uint8
    assert (raster.values == values[:, 10:58, 20:80]).all()
    assert (labels_on(file, LEGEND, IMAGE)[0] == values[0, 10:58, 20:80]).all()


def test_finer_labels_are_read_by_majority(tmp_path):
    """Four by four label pixels in each image pixel: ten of one class, six of others."""
    rng = np.random.default_rng(1)
    most = rng.integers(0, 3, (48, 60), np.uint8)
    fine = np.repeat(most[:, :, None], 16, 2)
    fine[:, :, :6] = (fine[:, :, :6] + 1) % 3
    fine = rng.permuted(fine, axis=2).reshape(48, 60, 4, 4).transpose(0, 2, 1, 3).reshape(192, 240)
    file = RasterFile(write_grid(tmp_path / "fine.tif", IMAGE.at(0.25, 0.25), fine))
    assert (labels_on(file, LEGEND, IMAGE)[0] == most).all()


def test_scene_reads_its_label_at_its_place(tmp_path):
    """Case 2a: the label is 30 pixels east of its image; what it does not cover is ignored."""
    x, y = centres(IMAGE)
    image = write_grid(tmp_path / "image.tif", IMAGE, np.zeros((3, 48, 60), np.uint8))
    east = IMAGE.window(0, 30, 48, 60)
    label = write_grid(tmp_path / "label.tif", east, kind(*centres(east)))
    scene = Scene("a", image, label)
    index, off_palette = scene.whole_label(LEGEND)
    assert (index[:, :30] == IGNORE).all() and (index[:, 30:] == kind(x, y)[:, 30:]).all() and off_palette == 0
    assert scene.label_file.coverage == pytest.approx(0.5, abs=0.01)
    coarse, _ = scene.read_label(LEGEND, 2.0, (0, 0, 24, 30))
    assert (coarse[:, :15] == IGNORE).all() and (coarse[:, 15:] != IGNORE).all()


def test_label_elsewhere_is_refused_with_both_places(tmp_path):
    """Case 2a: 300 km away."""
    image = write_grid(tmp_path / "image.tif", IMAGE, np.zeros((3, 48, 60), np.uint8))
    far = Grid(48, 60, from_origin(700000, 5100000, 1, 1), UTM)
    label = write_grid(tmp_path / "label.tif", far, np.zeros((48, 60), np.uint8))
    says = (
        r"label .*label\.tif and its image .*image\.tif have no ground in common: their centres are at longitude 17\.58\d+, "
        r"latitude 46\.02\d+ \(x 700030, y 5099976 in EPSG:32633\) and longitude 13\.61\d+, latitude 49\.64"
    )
    with pytest.raises(InputError, match=says):
        _ = Scene("a", image, label).label_file


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:4326"])
def test_numbers_of_another_crs_are_refused(tmp_path, crs):
    """The same numbers in another CRS are another place."""
    image = write_grid(tmp_path / "image.tif", IMAGE, np.zeros((3, 48, 60), np.uint8))
    label = write_grid(
        tmp_path / "label.tif", Grid(48, 60, IMAGE.transform, CRS.from_string(crs)), np.zeros((48, 60), np.uint8)
    )
    with pytest.raises(InputError, match=f"no ground in common.*{crs}"):
        _ = Scene("a", image, label).label_file


def test_label_without_a_crs_has_that_of_its_image(tmp_path):
    image = write_grid(tmp_path / "image.tif", IMAGE, np.zeros((3, 48, 60), np.uint8))
    east = Grid(48, 60, IMAGE.window(0, 30, 48, 60).transform)
    scene = Scene("a", image, write_grid(tmp_path / "label.tif", east, kind(*centres(east))))
    assert (scene.whole_label(LEGEND)[0][:, 30:] == kind(*centres(IMAGE))[:, 30:]).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_label_without_a_georeference_is_read_pixel_by_pixel(tmp_path):
    image = write_grid(tmp_path / "image.tif", IMAGE, np.zeros((3, 48, 60), np.uint8))
    values = kind(*centres(IMAGE))
    label = write_grid(tmp_path / "label.tif", Grid(48, 60), values)
    assert (Scene("a", image, label).whole_label(LEGEND)[0] == values).all()
    wide = write_grid(tmp_path / "wide.tif", Grid(48, 61), np.zeros((48, 61), np.uint8))
    with pytest.raises(
        InputError, match=r"is 61 x 48 px, its image .* is 60 x 48 px, and the label has no georeference"
    ):
        _ = Scene("a", image, wide).label_file


def test_small_label_in_the_middle_of_an_image_overlaps():
    small = Grid(1, 1, from_origin(400030.2, 5499970.3, 0.1, 0.1), UTM)
    check_overlap(IMAGE, small, "image", "label")
    assert covered_share(IMAGE, IMAGE.window(24, 0, 48, 60)) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError):
        check_overlap(IMAGE, IMAGE.window(0, 60, 48, 60), "image", "label")


def test_longitudes_beyond_the_date_line_are_the_same_place():
    """A label in longitudes of 0 to 360 over an image in those of -180 to 180."""
    degrees = CRS.from_epsg(4326)
    west = Grid(10, 10, from_origin(-179.9, 10, 0.01, 0.01), degrees)
    east = Grid(40, 40, from_origin(180.0, 10, 0.01, 0.01), degrees)
    zone = Grid(
        100,
        100,
        from_origin(*Transformer.from_crs(4326, 32601, always_xy=True).transform(-179.9, 9.99), 30, 30),
        CRS.from_epsg(32601),
    )
    assert covered_share(zone, east) == covered_share(zone, west) == 1.0
    assert covered_share(west, east) == 1.0


def test_nodata_has_no_weight(tmp_path):
    values = np.full((1, 48, 60), 100, np.float32)
    values[:, 20:30] = -9999
    file = RasterFile(write_grid(tmp_path / "holed.tif", IMAGE, values, nodata=-9999))
    for grid in (IMAGE.at(0.5, 0.5).window(1, 1, 90, 110), GRIDS["rotated"].window(50, 50, 60, 60)):
        raster = read_on(file, None, grid)
        assert not raster.valid.all()
        assert np.allclose(raster.values[:, raster.valid], 100)
