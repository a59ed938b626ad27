"""Areas of interest select pixels on any grid and in any CRS."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from oracle_models import GEOMETRIES, by_value, positions, trained, write
from rasterio.crs import CRS
from shapely.geometry import Point, Polygon, box

from rsuda.core.errors import InputError, MissingError
from rsuda.geo.scenes.region import Region, read_area, region_of
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predict import predict


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES)
def scene(request, tmp_path):
    return Scene("scene", write(tmp_path / "scene.tif", positions(40, 60), request.param))


def on(scene, *pixels):
    """A polygon whose corners are pixel positions (row, col)."""
    return Polygon([scene.grid.world(*p) for p in pixels])


def mask(region):
    return region.inside(0, region.window[2])


def test_region_without_area_is_the_whole_scene(scene):
    region = region_of(scene)
    assert region == Region.of(scene) and region.window == (0, 0, 40, 60) and mask(region) is None


def test_polygon_of_whole_pixels_selects_these_pixels(scene):
    area = gpd.GeoSeries([on(scene, (5, 10), (5, 30), (20, 30), (20, 10))], crs=32632)
    region = region_of(scene, area)
    assert region.window == (5, 10, 15, 20) and mask(region).all()
    assert region.grid == scene.grid.window(5, 10, 15, 20)


def test_pixels_belong_to_a_polygon_by_their_centres(scene):
    area = gpd.GeoSeries([on(scene, (0, 0), (0, 20), (20, 0))], crs=32632)
    region = region_of(scene, area)
    row, col = np.mgrid[: region.window[2], : region.window[3]] + 0.5
    apart = np.abs(row + col - 20) > 1e-6  # centres on the line itself belong to either side
    assert (mask(region) == (row + col < 20))[apart].all()


def test_polygons_are_projected_to_the_scene(scene):
    area = gpd.GeoSeries([on(scene, (5, 10), (5, 30), (20, 30), (20, 10)).buffer(0.1)], crs=32632).to_crs(4326)
    region = region_of(scene, area)
    assert region.window == (4, 9, 17, 22) and mask(region).sum() == 15 * 20


def test_area_outside_of_the_scene_has_no_region(scene):
    assert region_of(scene, gpd.GeoSeries([box(0, 0, 1, 1)], crs=32632)) is None
    assert region_of(scene, bounds=(0, 0, 1, 1)) is None


def test_area_without_pixel_centres_has_no_region(scene):
    bent = [(-30, -30), (-30, 90), (-20, 90), (-20, -20), (70, -20), (70, -30)]  # an L around two sides of it
    assert region_of(scene, gpd.GeoSeries([on(scene, *bent)], crs=32632)) is None
    between = [(0, 5.6), (0, 6.4), (40, 6.4), (40, 5.6)]  # past all centres of pixels
    assert region_of(scene, gpd.GeoSeries([on(scene, *between)], crs=32632)) is None
    assert region_of(
        scene, gpd.GeoSeries([on(scene, *bent), on(scene, (39, 59), (39, 60), (40, 60), (40, 59))], crs=32632)
    )


def test_scenes_outside_of_an_area_are_left_out_with_a_note(tmp_path, caplog):
    west, east = (
        write(tmp_path / f"{n}.tif", positions(40, 60), Affine(1, 0, x, 0, -1, 40)) for n, x in (("w", 0), ("e", 60))
    )
    bent = Polygon([(5, -20), (5, 30), (15, 30), (15, -10), (90, -10), (90, -20)])
    gpd.GeoSeries([bent], crs=32632).to_file(tmp_path / "area.gpkg")
    caplog.set_level("INFO", "rsuda")
    result = list(predict([west, east], trained(by_value), tmp_path / "out", polygons=None, aoi=tmp_path / "area.gpkg",
                         device="cpu", window=64, overlap=16))  # fmt: skip
    assert [w.scene for w in result] == [west]
    assert [r.getMessage() for r in caplog.records if "left out" in r.getMessage()] == [
        f"note: {east} is left out: the area of `aoi` holds none of its pixels"
    ]


def test_area_is_clipped_at_the_edge_of_the_scene(scene):
    area = gpd.GeoSeries([on(scene, (-9, -9), (-9, 10), (10, 10), (10, -9))], crs=32632)
    assert region_of(scene, area).window == (0, 0, 10, 10)


def test_bounds_select_whole_pixels(tmp_path):
    scene = Scene("scene", write(tmp_path / "scene.tif", positions(40, 60)))
    left, bottom, right, top = scene.grid.bounds
    assert region_of(scene, bounds=(left + 1, top - 3, left + 2, top - 1)).window == (2, 2, 4, 2)
    assert region_of(scene, bounds=(left + 1.1, top - 3, left + 2.1, top - 1)).window == (2, 2, 4, 3)
    with pytest.raises(InputError, match="no area"):
        region_of(scene, bounds=(right, bottom, left, top))


def test_area_with_crs_over_a_scene_without_crs_is_refused(tmp_path):
    scene = Scene("scene", write(tmp_path / "scene.tif", positions(4, 6), crs=None))
    with pytest.raises(InputError, match="`crs`"):
        region_of(scene, gpd.GeoSeries([box(0, 0, 1, 1)], crs=CRS.from_epsg(32632)))


def test_files_without_polygons_are_refused(tmp_path):
    with pytest.raises(MissingError, match="there is no file"):
        read_area(tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("no polygons")
    with pytest.raises(InputError, match="cannot be read"):
        read_area(tmp_path / "text.gpkg")
    gpd.GeoSeries([Point(0, 0)], crs=4326).to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="no polygon"):
        read_area(tmp_path / "points.gpkg")


def test_area_is_the_only_layer_of_polygons_or_the_named_one(tmp_path, recwarn):
    file = tmp_path / "district.gpkg"
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([1], [2]), crs="EPSG:32632")
    points.to_file(file, layer="wells")
    inner = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs="EPSG:32632")
    inner.to_file(file, layer="inner")
    assert read_area(file).area.tolist() == [1]
    gpd.GeoDataFrame(geometry=[box(0, 0, 2, 2)], crs="EPSG:32632").to_file(file, layer="outer")
    assert read_area(f"{file}|layername=outer").area.tolist() == [4]
    with pytest.raises(
        InputError, match=r"2 layers of polygons \(inner, outer\): name one, as in district.gpkg\|layern"
    ):
        read_area(file)
    with pytest.raises(InputError, match=r"unknown layer of .*'oter': did you mean 'outer'"):
        read_area(f"{file}|layername=oter")
    with pytest.raises(InputError, match=r"wells has no polygon"):
        read_area(f"{file}|layername=wells")
    points.to_file(tmp_path / "points.gpkg", layer="a")
    points.to_file(tmp_path / "points.gpkg", layer="b")
    with pytest.raises(InputError, match=r"has no layer of polygons: its layers are a \(Point\), b \(Point\)"):
        read_area(tmp_path / "points.gpkg")
    assert not recwarn.list
