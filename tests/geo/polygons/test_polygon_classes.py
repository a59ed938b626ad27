"""Polygons of any layer become labels: their classes, what they leave uncovered, their order and their burning."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from shapely import Point, Polygon, force_3d
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, box

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE, Legend
from rsuda.data.find_domain import domain
from rsuda.geo.polygons.classes import PolygonLayer
from rsuda.geo.polygons.input import split_layer
from rsuda.geo.polygons.labels import PolygonLabels
from rsuda.geo.scenes.scene import Scene

LEGEND = Legend.from_fields(
    [{"name": name, "colour": [value, 0, 0]} for value, name in enumerate(("background", "building", "road"))]
)
BY_VALUE = Legend.from_fields(
    [{"name": name, "value": value, "colour": [value, 0, 0]} for value, name in enumerate(("a", "b", "c"), 1)]
)
LEFT, RIGHT = box(0, 0, 4, 10), box(4, 0, 8, 10)


def scene(folder, layers, size=(10, 10), pixel=1.0, name="image.tif", origin=(500_000, 6_000_000)):
    path = folder / name
    profile = {"crs": "EPSG:32632", "transform": from_origin(*origin, pixel, pixel), "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", height=size[0], width=size[1], count=3, **profile) as file:
        file.write(np.ones((3, *size), np.uint8))
    return Scene(name, path, layers[0].path, polygons=tuple(layers))


def place(shape):
    """A shape in metres right and up from the lower left corner of 10 x 10 m, in the place of the scene."""
    from shapely.affinity import translate

    return None if shape is None else translate(shape, 500_000, 6_000_000 - 10)


def layer(path, shapes, columns=None, name=None, crs="EPSG:32632", **how):
    frame = gpd.GeoDataFrame(columns or {}, geometry=[place(shape) for shape in shapes], crs="EPSG:32632").to_crs(crs)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, **({"layer": name} if name else {}))
    return PolygonLayer(path, **how)


def row(label):
    """Classes along the middle row, one digit a pixel; '.' is ignored."""
    return "".join("." if value == IGNORE else str(value) for value in label[5])


def read(scene, legend=LEGEND, gsd=None):
    grid = scene.grid_at(gsd)
    return scene.read_label(legend, gsd, (0, 0, grid.height, grid.width))[0]


# Classes


def test_class_number_is_the_value_of_the_legend(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], {"class": [1, 2]})
    assert row(read(scene(tmp_path, [drawn]), BY_VALUE)) == "00001111.."


def test_class_number_outside_of_the_values_is_refused_with_the_values(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], {"class": [0, 1]})
    with pytest.raises(InputError, match=r"in the column class, '0': .*known are 1 \(a\), 2 \(b\), 3 \(c\)"):
        read(scene(tmp_path, [drawn]), BY_VALUE)


def test_number_that_is_a_name_of_one_class_and_the_value_of_another_is_refused(tmp_path):
    legend = Legend.from_fields([{"name": n, "value": v, "colour": [v, 0, 0]} for n, v in (("1", 2), ("2", 1))])
    drawn = layer(tmp_path / "x.gpkg", [LEFT], {"class": [1]})
    with pytest.raises(InputError, match="'1' in the column class is the name of one class and the value of another"):
        read(scene(tmp_path, [drawn]), legend)


@pytest.mark.parametrize(
    "columns",
    [
        {"name": ["Main St", None], "class": ["building", "road"]},
        {"Class": ["building", "road"]},
        {"LABEL": ["building", "road"]},
        {"class_name": ["building", "road"], "height": [3.0, 4.0]},
        {"class": ["1", "2"]},
        {"class": [1.0, 2.0]},
    ],
    ids=str,
)
def test_usual_column_with_classes_is_taken(tmp_path, columns):
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], columns)
    assert row(read(scene(tmp_path, [drawn]))) == "11112222.."


def test_columns_of_classes_that_differ_are_refused(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], {"class": ["building"], "label": ["road"]})
    with pytest.raises(InputError, match="two columns of classes that differ, class and label"):
        read(scene(tmp_path, [drawn]))


@pytest.mark.parametrize("name", ["x.gpkg", "x.geojson", "x.shp", "x.fgb", "x.parquet"])
def test_values_of_any_column_are_mapped_to_classes_in_any_format(tmp_path, name):
    table = (("residential", "building"), ("112", "building"), ("primary", "road"))
    how = {"attribute": "LandUse", "classes": table, "uncovered": "background"}
    columns = {"landuse": ["residential", "primary"]}
    drawn = layer(tmp_path / name, [LEFT, RIGHT], columns, crs="EPSG:4326", **how)
    assert row(read(scene(tmp_path, [drawn]))) == "1111222200"


@pytest.mark.parametrize(
    "name, driver", [("a.json", "GeoJSON"), ("a.gml", "GML"), ("a.tab", "MapInfo File"), ("a.sqlite", "SQLite")]
)
def test_rarer_formats_are_labels_where_a_domain_file_names_them(tmp_path, name, driver):
    drawn = gpd.GeoDataFrame({"name": ["building"]}, geometry=[place(LEFT)], crs="EPSG:32632")
    drawn.to_file(tmp_path / name, driver=driver)
    image = scene(tmp_path, [PolygonLayer(tmp_path / name)], name="a.tif").image
    assert row(read(Scene("a", image, tmp_path / name))) == "1111......"
    text = """{name: d, images: {RGB: {files: '{tile}.tif', bands: RGB}}, labels: ['{tile}.SUFFIX'],
        legend: [{name: building, colour: '#FF0000'}]}"""
    (tmp_path / "d.yaml").write_text(text.replace("SUFFIX", name[2:]))
    assert domain(tmp_path / "d.yaml", tmp_path).scenes["a"].label == tmp_path / name
    (tmp_path / "d.yaml").write_text(text.replace("{tile}.SUFFIX", "*.gpkg"))
    assert domain(tmp_path / "d.yaml", tmp_path).scenes["a"].label is None


def test_numbers_are_mapped_and_others_are_ignored_rather_than_uncovered(tmp_path):
    how = {"attribute": "code", "classes": (("112", "building"),), "uncovered": "background"}
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], {"code": [112, 311]}, **how)
    assert row(read(scene(tmp_path, [drawn]))) == "1111....00"


def test_one_class_for_all_polygons(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], one_class="building", uncovered="background")
    assert row(read(scene(tmp_path, [drawn]))) == "1111111100"


@pytest.mark.parametrize("name", ["Road", " ROAD ", "road"])
def test_case_and_blanks_of_a_class_do_not_count(tmp_path, name):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], {"name": [name]})
    assert row(read(scene(tmp_path, [drawn]))) == "2222......"


def test_shapefile_without_its_encoding_or_index(tmp_path):
    legend = Legend.from_fields([{"name": name, "colour": [k, 0, 0]} for k, name in enumerate(("x", "Geb\u00e4ude"))])
    drawn = layer(tmp_path / "x.shp", [LEFT], {"name": ["Geb\u00e4ude"], "number": ["1.0"]})
    (tmp_path / "x.cpg").unlink()  # its texts are UTF-8 all the same
    assert row(read(scene(tmp_path, [drawn]), legend)) == "1111......"
    drawn = PolygonLayer(drawn.path, attribute="number", classes=(("1", "x"),))
    assert row(read(scene(tmp_path, [drawn]), legend)) == "0000......"
    (tmp_path / "y.shp").write_bytes((tmp_path / "x.shp").read_bytes())
    with pytest.raises(InputError, match=r"y\.shx is missing .* copy all of them"):
        read(scene(tmp_path, [PolygonLayer(tmp_path / "y.shp")]), legend)


def test_accents_may_be_signs_of_their_own(tmp_path):
    names = ("Geb\u00e4ude", "gr\u00fcn", "Gr\u00fcn")
    legend = Legend.from_fields([{"name": name, "colour": [k, 0, 0]} for k, name in enumerate(names)])
    drawn = layer(tmp_path / "x.gpkg", [LEFT, RIGHT], {"name": ["geba\u0308ude", "Gru\u0308n"]})
    assert row(read(scene(tmp_path, [drawn]), legend)) == "00002222.."
    drawn = layer(tmp_path / "y.gpkg", [LEFT], {"name": ["GR\u00dcN"]})
    with pytest.raises(InputError, match="unknown class of a polygon"):  # which of two?
        read(scene(tmp_path, [drawn]), legend)


@pytest.mark.parametrize(
    ("columns", "how", "message"),
    [
        ({"kind": ["shop"]}, {}, r"have no class; its columns are kind \(shop\): name the column by 'attribute:'"),
        ({"name": ["Main St"]}, {}, r"'Main St'.* its columns are name \(Main St\): name the column by"),
        ({"name": ["Buildings"]}, {}, "did you mean 'building'"),
        ({"kind": ["shop"]}, {"attribute": "use"}, r"has no column 'use': its columns are kind \(shop\)"),
        (
            {"kind": ["shop"]},
            {"attribute": "kind", "classes": (("flat", "road"),)},
            "none of the values flat of 'classes:'",
        ),
        ({"kind": ["shop"]}, {"attribute": "kind"}, "in the column kind, 'shop'"),
        ({}, {"one_class": "buildings"}, "'buildings': did you mean 'building'"),
    ],
)
def test_polygons_without_a_class_are_refused_with_the_columns(tmp_path, columns, how, message):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], columns, **how)
    with pytest.raises(InputError, match=message):
        read(scene(tmp_path, [drawn]))


def test_legend_of_one_class_beside_the_background_advises_one_class(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], {"kind": ["shop"]})
    legend = Legend(LEGEND.names[:2], LEGEND.colours[:2])
    with pytest.raises(InputError, match="write 'class: building' in a mapping below 'labels:'"):
        read(scene(tmp_path, [drawn]), legend)


# Layers, order and extent


def test_later_layer_lies_on_top_and_uncovered_is_below_all(tmp_path):
    roads = layer(tmp_path / "roads.gpkg", [box(0, 0, 6, 10)], one_class="road", uncovered="background")
    houses = layer(tmp_path / "houses.gpkg", [box(4, 0, 8, 10)], one_class="building")
    assert row(read(scene(tmp_path, [roads, houses]))) == "2222111100"
    assert row(read(scene(tmp_path, [houses, roads]))) == "2222221100"


def test_order_of_classes_overrides_that_of_the_file(tmp_path):
    how = {"attribute": "k"}
    shapes, columns = [box(2, 0, 6, 10), box(0, 0, 10, 10)], {"k": ["building", "road"]}
    drawn = layer(tmp_path / "x.gpkg", shapes, columns, **how)
    assert row(read(scene(tmp_path, [drawn]))) == "2222222222"
    ordered = PolygonLayer(drawn.path, order=("road", "building"), **how)
    assert row(read(scene(tmp_path, [ordered]))) == "2211112222"


def test_uncovered_is_limited_to_the_extent(tmp_path):
    area = layer(tmp_path / "surveys.gpkg", [box(0, 0, 7, 10)], name="area").path
    layer(area, [box(0, 0, 1, 1)], name="other")
    how = {"one_class": "building", "uncovered": "background", "extent": f"{area}|layername=area"}
    drawn = layer(tmp_path / "x.gpkg", [box(2, 0, 4, 10)], **how)
    assert row(read(scene(tmp_path, [drawn]))) == "0011000..."


def test_layer_of_several_is_the_only_one_of_polygons_or_asked_for(tmp_path):
    path = tmp_path / "x.gpkg"
    layer(path, [Point(1, 1)], name="trees")
    drawn = layer(path, [LEFT], {"class": ["building"]}, name="houses")
    assert row(read(scene(tmp_path, [drawn]))) == "1111......"
    layer(path, [RIGHT], {"class": ["road"]}, name="streets")
    with pytest.raises(
        InputError, match=r"2 layers of polygons \(houses, streets\): name one, as in x.gpkg\|layername"
    ):
        read(scene(tmp_path, [PolygonLayer(path)]))
    assert row(read(scene(tmp_path, [PolygonLayer(path, "streets")]))) == "....2222.."
    with pytest.raises(InputError, match=r"unknown layer of .*'street': did you mean 'streets'"):
        read(scene(tmp_path, [PolygonLayer(path, "street")]))


def test_name_of_a_layer_is_split_from_the_file():
    assert split_layer("a b.gpkg|layername=x y|subset=1") == ("a b.gpkg", "x y")
    assert split_layer("a.gpkg") == ("a.gpkg", None)


# Geometries


def test_geometries_of_every_kind_give_their_polygons(tmp_path):
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    parts = GeometryCollection([LineString([(0, 0), (9, 9)]), MultiPolygon([box(8, 0, 10, 10)])])
    shapes = [None, Point(1, 1), force_3d(box(0, 0, 2, 10), 7.0), parts]
    drawn = layer(tmp_path / "x.geojson", shapes, one_class="building", uncovered="background")
    assert row(read(scene(tmp_path, [drawn]))) == "1100000011"
    crossed = layer(tmp_path / "y.gpkg", [bow_tie], one_class="building", uncovered="background")
    label = read(scene(tmp_path, [crossed]))
    assert (label[2, [0, 9]] == 1).all() and (label[2, 4:6] == 0).all() and 40 <= (label == 1).sum() <= 60


def test_layer_without_features_is_a_label_without_polygons(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], uncovered="background")
    gpd.read_file(drawn.path).iloc[:0].to_file(drawn.path)
    assert (read(scene(tmp_path, [drawn])) == 0).all()
    assert (read(scene(tmp_path, [PolygonLayer(drawn.path)])) == IGNORE).all()


def test_layer_of_lines_is_refused_and_a_missing_file_is_named(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LineString([(0, 0), (9, 9)])], one_class="road")
    with pytest.raises(InputError, match="has no polygon, only LineString: draw polygons, or buffer lines"):
        read(scene(tmp_path, [drawn]))
    with pytest.raises(MissingError, match=r"no file .*gone\.gpkg"):
        read(scene(tmp_path, [PolygonLayer(tmp_path / "gone.gpkg")]))


def test_file_that_changes_is_read_again(tmp_path):
    first = layer(tmp_path / "x.gpkg", [LEFT], {"class": ["building"]})
    assert row(read(scene(tmp_path, [first]))) == "1111......"
    first.path.unlink()
    layer(first.path, [RIGHT, RIGHT], {"class": ["road", "road"]})
    assert row(read(scene(tmp_path, [first]))) == "....2222.."


# Burning


@pytest.mark.parametrize("offset", [(0, 0), (1, 1.5), (2.9, 1.9)])
def test_field_of_most_of_a_coarse_pixel_is_there_whatever_its_position(tmp_path, offset):
    """A field of 7 x 8 m in a pixel of 10 m."""
    right, up = offset
    drawn = layer(
        tmp_path / "x.gpkg", [box(right, up - 10, right + 7, up - 2)], one_class="building", uncovered="background"
    )
    assert read(scene(tmp_path, [drawn], (4, 4), 10.0)).tolist() == [[0] * 4, [1, 0, 0, 0], [0] * 4, [0] * 4]


def test_house_of_a_small_part_of_a_coarse_pixel_is_background(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [box(4, 4, 7, 7)], one_class="building", uncovered="background")
    assert (read(scene(tmp_path, [drawn], (4, 4), 10.0)) == 0).all()  # the house covers the centre of its pixel


def test_many_small_polygons_in_a_pixel_count_together(tmp_path):
    strips = [box(0, 2 * k, 10, 2 * k + 1.4) for k in range(5)]
    drawn = layer(tmp_path / "x.gpkg", strips, one_class="building", uncovered="background")
    assert read(scene(tmp_path, [drawn], (2, 2), 10.0)).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("gsd", [None, 3.7, 10.0, 45.0])
def test_pixel_does_not_depend_on_the_window(tmp_path, gsd):
    generator = np.random.default_rng(1)
    corners = generator.uniform(-400, 400, (200, 2))
    sides = generator.uniform(2, 60, (200, 2))
    shapes = [box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sides, strict=True)]
    columns = {"class": generator.choice(["building", "road"], 200)}
    drawn = layer(tmp_path / "x.gpkg", shapes, columns, uncovered="background")
    image = scene(tmp_path, [drawn], (77, 83), 5.0)
    whole = read(image, gsd=gsd)
    assert len(np.unique(whole)) == 3
    for top, left, height, width in ((0, 0, 9, 9), (3, 5, 7, 40), (-4, 2, 20, 11)):
        part = image.read_label(LEGEND, gsd, (top, left, height, width))[0]
        inner = whole[max(0, top) : top + height, left : left + width]
        assert (part[max(0, -top) : max(0, -top) + inner.shape[0], : inner.shape[1]] == inner).all()


def test_polygons_touch_a_scene_or_lie_elsewhere(tmp_path):
    drawn = layer(tmp_path / "x.gpkg", [LEFT], one_class="building")
    near, far = (
        scene(tmp_path, [drawn], name=name, origin=origin)
        for name, origin in (("a.tif", (500_000, 6_000_000)), ("b.tif", (700_000, 5_000_000)))
    )
    assert [PolygonLabels(drawn, image.grid).touch(LEGEND) for image in (near, far)] == [True, False]
    assert PolygonLabels(drawn, far.grid).bounds(LEGEND) == (500_000, 5_999_990, 500_004, 6_000_000)
