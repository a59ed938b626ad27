"""Written rasters: grid, names, colours, layout and creation options."""

import warnings

import numpy as np
import pytest
import rasterio

from rsuda.core.errors import ExistsError, InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.cog import creation_options, write_cog
from rsuda.geo.rasters.labels import labels_at
from rsuda.geo.rasters.raster import RasterFile

COLOURS = Legend.from_fields(
    [{"name": "roof", "colour": "#FF0000"}, {"name": "tree", "colour": "#00FF00"}], ["#000000"]
)


def rows(pixels):
    return lambda row, count: pixels[row : row + count]


def write_classes(path, classes, grid, **options):
    write_cog(path, [("class", rows(classes))], grid, COLOURS, **options)


@pytest.mark.parametrize("geometry", [{}, {"rotation": 30}, {"south_up": True}])
def test_class_raster_has_the_grid_and_names_of_its_classes(tmp_path, located_raster, geometry):
    grid = RasterFile(located_raster(**geometry)).grid
    classes = np.random.default_rng(0).choice(np.array([0, 1, IGNORE], np.uint8), (grid.height, grid.width))
    write_classes(tmp_path / "out.tif", classes, grid, tags={"METHOD": "none"})
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.array_equal(file.read(1), classes)
        assert (file.crs, file.nodata, file.count) == (grid.crs, IGNORE, 1)
        assert file.transform.almost_equals(grid.transform)
        assert [file.colormap(1)[k][:3] for k in (0, 1)] == list(COLOURS.palette)
        assert file.colormap(1)[IGNORE][3] == 0  # pixels without a class are see-through
        assert file.tags(1)["CLASS_NAMES"] == "roof,tree"
        assert file.tags()["METHOD"] == "none"
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]


def test_class_raster_is_a_label_by_value(tmp_path):
    """The nodata value is 255 and never one that a class has."""
    classes = np.array([[0, 1], [IGNORE, 1]], np.uint8)
    write_classes(tmp_path / "out.tif", classes, Grid(2, 2))
    file = RasterFile(tmp_path / "out.tif")
    assert np.array_equal(file.read().valid, classes != IGNORE)
    by_value = Legend.from_fields(
        [{"name": n, "colour": [k, 0, 0], "value": k} for k, n in enumerate(COLOURS.names)], [255]
    )
    assert np.array_equal(labels_at(file, by_value, (1.0, 1.0), (0, 0, 2, 2))[0], classes)


def test_raster_without_georeference_stays_without(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_classes(tmp_path / "out.tif", np.zeros((2, 2), np.uint8), Grid(2, 2))
        assert not RasterFile(tmp_path / "out.tif").grid.georeferenced


def test_overviews_of_a_large_raster_have_its_classes_only(tmp_path):
    classes = np.where(np.arange(1500) % 2, np.uint8(0), np.uint8(1))[None].repeat(1200, 0)
    classes[:, :100] = IGNORE
    write_classes(tmp_path / "out.tif", classes, Grid(1200, 1500))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1) and set(np.unique(file.read(1, out_shape=(300, 375)))) <= {0, 1, IGNORE}
        assert np.array_equal(file.read(1), classes)


def test_overviews_of_probabilities_are_means_without_nodata(tmp_path):
    pixels = np.where(np.arange(1200) % 2, np.uint8(100), np.uint8(200))[None].repeat(1200, 0)
    pixels[:600] = IGNORE
    bands = [("one", rows(pixels)), ("other", rows(255 - pixels))]
    write_cog(tmp_path / "out.tif", bands, Grid(1200, 1200))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.descriptions == ("one", "other")
        seen = file.read(1, out_shape=(600, 600))
    assert (seen[:300] == IGNORE).all() and (seen[300:] == 150).all()


def test_options_of_the_driver_are_used(tmp_path):
    options = creation_options(["compress=LZW", "BLOCKSIZE=256"])
    write_classes(tmp_path / "out.tif", np.zeros((300, 300), np.uint8), Grid(300, 300), options=options)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.compression.value == "LZW" and file.block_shapes == [(256, 256)]


@pytest.mark.parametrize("option", ["COMPRESS", "COMPRESS=", "=LZW", "COMPRESS=NONSENSE", "COLOUR=RED"])
def test_options_that_gdal_does_not_accept_are_refused(option):
    with pytest.raises(InputError, match="COG driver"):
        creation_options([option])


def test_existing_raster_is_replaced_with_overwrite_only(tmp_path):
    (tmp_path / "out.tif").write_bytes(b"mine")
    with pytest.raises(ExistsError, match=r"out\.tif exists"):
        write_classes(tmp_path / "out.tif", np.zeros((2, 2), np.uint8), Grid(2, 2))
    assert (tmp_path / "out.tif").read_bytes() == b"mine"
    write_classes(tmp_path / "out.tif", np.zeros((2, 2), np.uint8), Grid(2, 2), overwrite=True)
    assert RasterFile(tmp_path / "out.tif").grid.height == 2
