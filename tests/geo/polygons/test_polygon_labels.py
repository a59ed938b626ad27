"""Labels that are polygons are the rasters they were drawn from."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from oracle_models import GEOMETRIES, NAMES, legend, write
from rasterio.crs import CRS
from shapely.geometry import box

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE, Legend
from rsuda.data.find_domain import domain
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.files import write_polygons
from rsuda.geo.polygons.polygonise import polygon_table
from rsuda.geo.scenes.scene import Scene


def patches(height, width, size=9, seed=0):
    """Blocks of classes, with some of no data."""
    blocks = np.random.default_rng(seed).integers(0, len(NAMES) + 1, (-(-height // size), -(-width // size)))
    result = np.kron(blocks, np.ones((size, size), int))[:height, :width].astype(np.uint8)
    return np.where(result == len(NAMES), np.uint8(IGNORE), result)


def by_value():
    drawn = legend()
    return Legend(drawn.names, drawn.colours, tuple((k,) for k in range(len(NAMES))), ignored_values=(IGNORE,))


def drawn_scene(folder, frame, transform, name="labels.gpkg", crs="EPSG:32632"):
    frame.to_file(folder / name)
    image = write(folder / "image.tif", np.zeros((3, 60, 80), np.uint8), transform, crs)
    return Scene("a", image, folder / name, declared_gsd=0.5)


@pytest.mark.parametrize("transform", [*GEOMETRIES.values(), Affine.identity()], ids=[*GEOMETRIES, "none"])
@pytest.mark.parametrize("gsd", [None, 0.7, 1.5])
def test_polygons_of_a_map_are_read_as_the_map(tmp_path, transform, gsd):
    located = transform != Affine.identity()
    crs, classes = "EPSG:32632" if located else None, patches(60, 80)
    grid = Grid(60, 80, transform, crs and CRS.from_string(crs))
    write_polygons(polygon_table(classes, grid, legend(), (0.5, 0.5)).frame(), tmp_path / "polygons.gpkg")
    image = write(tmp_path / "image.tif", np.zeros((3, 60, 80), np.uint8), transform if located else None, crs)
    label = write(tmp_path / "label.tif", classes[None], transform if located else None, crs)
    drawn, raster = (Scene("a", image, f, declared_gsd=0.5) for f in (tmp_path / "polygons.gpkg", label))
    for window in ((0, 0, 60, 80), (7, 11, 20, 30), (-5, 30, 20, 60)):
        expected, off_palette = raster.read_label(by_value(), gsd, window)
        result, none = drawn.read_label(legend(), gsd, window)
        assert (result == expected).all() and off_palette == none == 0
    assert (drawn.whole_label(legend())[0] == classes).all() and len(np.unique(classes)) == len(NAMES) + 1


def test_last_polygon_counts_and_one_without_class_is_unlabelled(tmp_path):
    squares = [box(0, -10, 10, 0), box(5, -10, 15, 0), box(20, -10, 30, 0)]
    frame = gpd.GeoDataFrame({"name": ["road", "tree", None]}, geometry=squares, crs="EPSG:32632")
    label, _ = drawn_scene(tmp_path, frame, Affine(1, 0, 0, 0, -1, 0)).read_label(legend(), None, (0, 0, 60, 80))
    expected = np.full((60, 80), IGNORE)
    expected[:10, :5], expected[:10, 5:15] = 0, 2
    assert (label == expected).all()


def test_polygons_are_projected_to_the_scene(tmp_path):
    frame = gpd.GeoDataFrame({"class": [3]}, geometry=[box(500_005, 5_999_990, 500_020, 5_999_995)], crs="EPSG:32632")
    projected = drawn_scene(tmp_path, frame.to_crs("EPSG:3857"), GEOMETRIES["north-up"])
    label, _ = projected.read_label(legend(), None, (0, 0, 60, 80))
    expected = np.full((60, 80), IGNORE)
    expected[10:20, 10:40] = 3
    assert (label == expected).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"name": ["rooad"]},
            "labels.gpkg: unknown class of a polygon, in the column name, 'rooad': did you mean 'road'",
        ),
        ({"class": [7]}, "unknown class of a polygon, in the column class, '7'"),
        ({"kind": ["road"]}, r"have no class; its columns are kind \(road\): name the column by 'attribute:'"),
    ],
)
def test_class_outside_of_the_legend_is_refused(tmp_path, columns, message):
    frame = gpd.GeoDataFrame(columns, geometry=[box(0, -10, 10, 0)], crs="EPSG:32632")
    with pytest.raises(InputError, match=message):
        drawn_scene(tmp_path, frame, Affine(1, 0, 0, 0, -1, 0)).whole_label(legend())


def test_file_without_polygons_is_refused(tmp_path):
    frame = gpd.GeoDataFrame({"name": ["road"]}, geometry=[box(0, -10, 10, 0)], crs="EPSG:32632")
    scene = drawn_scene(tmp_path, frame, Affine(1, 0, 0, 0, -1, 0))
    scene.label.write_text("this is no GeoPackage")
    with pytest.raises(InputError, match=r"labels.gpkg cannot be read as polygons"):
        scene.whole_label(legend())
    scene.label.unlink()
    with pytest.raises(MissingError, match=r"no file .*labels.gpkg"):
        Scene("a", scene.image, scene.label).whole_label(legend())


def test_domain_uses_polygons_as_labels_and_never_as_images(tmp_path):
    frame = gpd.GeoDataFrame({"name": ["road"]}, geometry=[box(0, -10, 10, 0)], crs="EPSG:32632")
    drawn_scene(tmp_path, frame, GEOMETRIES["north-up"], "image_polygons.gpkg")
    (tmp_path / "d.yaml").write_text(
        "images: {RGB: {files: '{tile}*', bands: RGB}}\nlabels: ['{tile}_polygons.gpkg']\n"
        "legend: [{name: road, colour: '#ffffff'}, {name: roof, colour: '#ff0000'}]\n".replace("{tile}*", "{tile}.*")
    )
    result = domain(str(tmp_path / "d.yaml"), tmp_path)
    assert {n: s.label.name for n, s in result.scenes.items()} == {"image": "image_polygons.gpkg"}
