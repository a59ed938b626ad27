"""Rasters that are named, placed or stored in rarer ways: data sets within a file, projection files, local systems."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.shutil import copy
from rasterio.transform import from_origin

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.data.find_domain import domain
from rsuda.geo.rasters.dataset_names import data_set_name, is_remote, local_file
from rsuda.geo.rasters.info import raster_facts
from rsuda.geo.rasters.raster import RasterFile
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.open_scene import scene_name

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PIXELS = np.arange(8 * 6, dtype=np.uint8).reshape(1, 8, 6)
METRES = from_origin(400000, 5500000, 2, 2)
VALUES = [{"name": name, "colour": [k, 0, 0], "value": k} for k, name in enumerate("abc")]


@pytest.mark.parametrize(
    ("name", "stem", "file"),
    [
        ("netcdf:tiles/a.nc:red", "a_red", "tiles/a.nc"),
        ('NETCDF:"C:\\tiles\\a.nc":red', None, "C:\\tiles\\a.nc"),
        ('HDF5:"b.h5"://group/image', "b_group_image", "b.h5"),
        ('ZARR:"c.zarr":/B02', "c_B02", "c.zarr"),
        ("GPKG:d.gpkg:two", "d_two", "d.gpkg"),
    ],
)
def test_data_sets_within_a_file_are_no_paths(name, stem, file):
    assert is_remote(name)
    assert str(local_file(name)) == file
    if stem:
        assert data_set_name(name) == scene_name(name) == stem


@pytest.mark.parametrize("path", ["a.tif", "C:\\tiles\\a.tif", "a:b.tif", "netcdf.nc", "https://x.org/a.tif"])
def test_other_names_are_no_data_sets(path):
    assert data_set_name(path) is None
    assert is_remote(path) == ("://" in path)


@pytest.fixture
def group(tmp_path):
    """A Zarr of coordinates and of two images, as xarray writes it."""
    folder = tmp_path / "scene.zarr"
    arrays = {"X": np.arange(6.0), "blue": PIXELS[0] + 100, "red": PIXELS[0]}
    for name, values in arrays.items():
        (folder / name).mkdir(parents=True)
        fields = {"zarr_format": 2, "shape": values.shape, "chunks": values.shape, "dtype": values.dtype.str}
        fields |= {"compressor": None, "filters": None, "fill_value": None, "order": "C"}
        (folder / name / ".zarray").write_text(json.dumps(fields))
        (folder / name / ".".join("0" * values.ndim)).write_bytes(values.tobytes())
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    with rasterio.Env() as env:
        return folder if "Zarr" in env.drivers() else pytest.skip("GDAL without Zarr")


def test_a_folder_of_data_sets_names_an_image_and_no_list_of_coordinates(group):
    # GDAL 3.10 lists coordinates too, 3.12 does not
    for read in (RasterFile, lambda path: domain(str(path)).scenes["scene"].file):
        with pytest.raises(InputError, match=r"holds [23] data sets, .*name one \(ZARR:.*:/blue\)"):
            read(group)


def test_a_data_set_within_a_folder_is_a_scene(group):
    scenes = domain(f'ZARR:"{group}":/red', bands="pan", gsd=1.0).scenes
    assert np.array_equal(scenes["scene_red"].file.read([1]).values, PIXELS)


def test_compressions_that_rasterio_has_no_name_for(tmp_path):
    with rasterio.open(tmp_path / "plain.tif", "w", driver="GTiff", height=8, width=6, count=1, dtype="uint8") as file:
        file.write(PIXELS)
    copy(tmp_path / "plain.tif", tmp_path / "a.mrf", driver="MRF")  # of PNG
    assert np.array_equal(RasterFile(tmp_path / "a.mrf").read([1]).values, PIXELS)
    assert raster_facts(tmp_path / "a.mrf")["compression"] == "PNG"


def test_a_link_to_a_missing_file_is_named(tmp_path):
    link = tmp_path / "a.tif"
    link.symlink_to(tmp_path / "gone.tif")
    with pytest.raises(MissingError, match=r"it is a link to .*gone\.tif, which is missing"):
        RasterFile(link)


@pytest.fixture
def world_file(tmp_path):
    """A PNG with a world file and a projection file."""
    path = tmp_path / "a.png"
    with rasterio.open(path, "w", driver="PNG", height=8, width=6, count=1, dtype="uint8") as file:
        file.write(PIXELS)
    path.with_suffix(".pgw").write_text("2\n0\n0\n-2\n400001\n5499999\n")
    path.with_suffix(".prj").write_text(CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI"))
    return path


def test_a_projection_file_gives_the_crs_of_a_world_file(world_file):
    assert RasterFile(world_file).grid.crs == CRS.from_epsg(32633)
    assert RasterFile(world_file).grid.transform == METRES
    assert raster_facts(world_file)["crs"] == "EPSG:32633"
    assert Scene("a", world_file).grid.crs == CRS.from_epsg(32633)
    assert Scene("a", world_file, crs="EPSG:25832").grid.crs == CRS.from_epsg(25832)  # a declared one counts


def test_projection_files_of_others_are_left_alone(world_file):
    world_file.with_suffix(".shp").write_bytes(b"")  # of labels beside the image
    assert RasterFile(world_file).grid.crs is None
    world_file.with_suffix(".shp").unlink()
    world_file.with_suffix(".prj").write_text("Projection UTM\nZone 33\n")
    assert RasterFile(world_file).grid.crs is None
    world_file.with_suffix(".prj").write_text(CRS.from_epsg(32633).to_wkt())
    world_file.with_suffix(".pgw").unlink()
    assert RasterFile(world_file).grid.crs is None  # no transform


def test_a_crs_within_the_file_wins_over_the_projection_file(write):
    path = write("a.tif", PIXELS, crs="EPSG:25833", transform=METRES)
    path.with_suffix(".prj").write_text(CRS.from_epsg(32632).to_wkt())
    assert RasterFile(path).grid.crs.to_epsg() == 25833


@pytest.mark.parametrize(("unit", "metres"), [('UNIT["metre",1]', 2.0), ('UNIT["foot",0.3048]', 0.6096)])
def test_local_systems_measure_in_their_unit(write, unit, metres):
    path = write("a.tif", PIXELS, crs=CRS.from_wkt(f'LOCAL_CS["building site",{unit}]'), transform=METRES)
    assert Scene("a", path).gsd == pytest.approx((metres, metres))


@pytest.mark.parametrize("bands", [2, 5, 7])
def test_labels_of_one_band_for_each_class_are_refused(write, bands):
    """Only the first bands would be read, and the pixels of the other classes would be of the class of 0."""
    legend = Legend.from_fields(VALUES)
    image = write("image.tif", np.repeat(PIXELS, 3, 0), transform=METRES, crs="EPSG:32633")
    label = write("label.tif", np.repeat(PIXELS % 2, bands, 0).astype(np.int16), transform=METRES, crs="EPSG:32633")
    with pytest.raises(InputError, match=rf"label\.tif: the label has {bands} bands, .*if each band is a class"):
        Scene("a", image, label).whole_label(legend)


def test_the_error_on_colours_beside_values_says_which_to_leave_out(write):
    legend = Legend.from_fields(VALUES)
    image = write("image.tif", np.repeat(PIXELS, 3, 0), transform=METRES, crs="EPSG:32633")
    colours = np.stack([PIXELS[0] % 2 * 255, PIXELS[0] % 3 * 100, PIXELS[0] * 0 + 7]).astype(np.uint8)
    with pytest.raises(InputError, match="leave 'value' out"):
        Scene("a", image, write("label.tif", colours, transform=METRES, crs="EPSG:32633")).whole_label(legend)
    classes = np.stack([PIXELS[0] % 3 == k for k in range(3)]).astype(np.uint8)
    with pytest.raises(InputError, match="if each band is a class"):
        Scene("a", image, write("one.tif", classes, transform=METRES, crs="EPSG:32633")).whole_label(legend)
