"""Test prediction of neighbouring files as one scene: the map of the uncut image, and refusals of files that are no tiles."""

import numpy as np
import pytest
import rasterio
from oracle_models import NORTH_UP, RUN, blocks, by_value, geometer, positions, trained, write
from rasterio.transform import from_origin
from rasterio.windows import Window

import rsuda
from rsuda.core.errors import ExistsError, InputError
from rsuda.inference.predict import predict

HEIGHT, WIDTH = 170, 230
MODEL = trained(geometer(7))
# (row, col, height, width): uneven parts of the whole image; the second and the third overlap
PARTS = [(0, 0, 90, 100), (0, 100, 90, 130), (60, 80, 110, 150), (90, 0, 80, 100)]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image that knows where it is, under the name of a mosaic."""
    return write(tmp_path_factory.mktemp("whole") / "mosaic.tif", positions(HEIGHT, WIDTH), NORTH_UP)


def cut(image, folder, parts, nodata=None, mask=None, alpha=False):
    """Write parts of an image as files t0.tif, t1.tif, …"""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(image) as file:
        for number, (row, col, height, width) in enumerate(parts):
            window = Window(col, row, width, height)
            values = file.read(window=window)
            extra = np.full((1, height, width), 65535, np.uint16)
            values = np.concatenate([values, extra]) if alpha else values
            path = write(folder / f"t{number}.tif", values, file.window_transform(window), nodata=nodata)
            with rasterio.open(path, "r+") as tile:
                if alpha:
                    tile.colorinterp = [*tile.colorinterp[:2], rasterio.enums.ColorInterp.alpha]
                if mask is not None:
                    tile.write_mask(mask(row, col, height, width))
    return folder


def pixels(path):
    with rasterio.open(path) as file:
        return file.read(), file.transform, file.crs


def same(one, other):
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in zip(one, other, strict=True))


def test_map_of_tiles_is_that_of_the_uncut_image(image, tmp_path):
    options = {**RUN, "polygons": "fgb", "confidence": True, "min_area": 1}
    (whole,) = predict(image, MODEL, tmp_path / "whole", **options)
    tiles = cut(image, tmp_path / "tiles", PARTS)
    (joined,) = predict(tiles, MODEL, tmp_path / "out", **options, mosaic=True)
    assert joined.scene == tmp_path / "out" / "mosaic.vrt"
    for name in ("classes", "confidence"):
        assert same(pixels(joined.files[name]), pixels(whole.files[name])), name
    assert joined.polygons.read_bytes() == whole.polygons.read_bytes()
    # one virtual raster of the same tiles is a scene as any other
    (virtual,) = predict(joined.scene, MODEL, tmp_path / "virtual", **options)
    for name, file in joined.files.items():
        assert virtual.files[name].read_bytes() == file.read_bytes(), name
    (again,) = predict(f"{tiles}/*.tif", MODEL, tmp_path / "out", **options, mosaic=True)
    assert again.skipped


def test_rasters_for_each_tile_are_parts_of_the_one_map(image, tmp_path):
    tiles = cut(image, tmp_path / "tiles", PARTS)
    bounds = (500_010, 5_999_930, 500_100, 5_999_990)
    (one,) = predict(tiles, MODEL, tmp_path / "one", **RUN, mosaic=True, bounds=bounds)
    (many,) = predict(
        tiles, MODEL, tmp_path / "many", **{**RUN, "polygons": "gpkg"}, mosaic=True, per_tile=True, bounds=bounds
    )
    names = {file.name for file in (tmp_path / "many").glob("*.tif")}
    assert names == {f"t{k}_classes.tif" for k in range(4)} and many.raster.name == "mosaic_classes.vrt"
    assert same(pixels(many.raster), pixels(one.raster)) and many.area_m2 == one.area_m2
    assert many.files["classes of t2"] == tmp_path / "many" / "t2_classes.tif"
    assert np.array_equal(many.classes(), one.classes())
    polygons = rsuda.polygonize(many.raster, tmp_path / "again.gpkg")
    assert polygons.count == many.polygon_count and polygons.classes == MODEL.spec.legend.names
    with rasterio.open(many.raster) as file:
        assert file.tags()["RSUDA_SCENE"] == "mosaic.vrt" and file.colormap(1)
    (again,) = predict(
        tiles, MODEL, tmp_path / "many", **{**RUN, "polygons": "gpkg"}, mosaic=True, per_tile=True, bounds=bounds
    )
    assert again.skipped


def left_half(row, col, height, width):
    """A mask whose first five columns hold no data."""
    return np.where(np.arange(width) < 5, 0, 255).astype(np.uint8)[None].repeat(height, 0)


@pytest.mark.parametrize("kind", [{}, {"nodata": 60_000}, {"mask": left_half}, {"alpha": True}])
def test_gaps_and_masked_pixels_are_nodata(image, tmp_path, kind):
    parts = [(0, 0, 90, 100), (0, 100, 90, 130), (90, 100, 80, 130)]
    tiles = cut(image, tmp_path / "tiles", parts, **kind)
    (joined,) = predict(tiles, trained(geometer(7)), tmp_path / "out", **RUN, mosaic=True)
    valid = np.zeros((HEIGHT, WIDTH), bool)
    for row, col, height, width in parts:
        valid[row : row + height, col + 5 * ("mask" in kind) : col + width] = True
    expected = np.where(valid, blocks(*np.mgrid[:HEIGHT, :WIDTH], 7), 255)
    assert np.array_equal(joined.classes() == 255, ~valid)
    inside = joined.classes()[valid]
    assert np.mean(inside == expected[valid]) > 0.999


def test_first_of_overlapping_tiles_counts(tmp_path):
    for number, (value, col) in enumerate([(1, 0), (3, 20)]):
        write(
            tmp_path / f"t{number}.tif",
            np.full((2, 40, 40), value, np.uint8),
            from_origin(500_000 + col / 2, 6_000_000, 0.5, 0.5),
        )
    model = trained(by_value)
    for order, boundary in (("01", 40), ("10", 20)):
        places = [tmp_path / f"t{k}.tif" for k in order]
        (joined,) = predict(places, model, tmp_path / order, **RUN, mosaic=True)
        assert (joined.classes() == np.where(np.arange(60) < boundary, 1, 3)).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"crs": "EPSG:32633"}, "the same CRS: that of .*a.tif is EPSG:32632, that of .*b.tif is EPSG:32633"),
        (
            {"transform": from_origin(500_020, 6_000_000, 0.25, 0.25)},
            "pixel size .* is 0.5 x 0.5, that of .* is 0.25 x 0.25",
        ),
        ({"values": np.zeros((3, 40, 40), np.uint8)}, "number of bands: that of .* is 2, that of .* is 3"),
        ({"values": np.zeros((2, 40, 40), np.uint16)}, "data type: that of .* is uint8, that of .* is uint16"),
        ({"nodata": 0}, "nodata value: that of .* is none, that of .* is 0"),
        ({"descriptions": ["green", "red"]}, "band order: that of .* is none, that of .* is green, red"),
        ({"transform": None, "crs": None}, "b.tif has no georeference"),
    ],
)
def test_files_that_are_no_tiles_are_refused_with_both_values(tmp_path, change, sentence):
    plain = {"values": np.zeros((2, 40, 40), np.uint8), "transform": NORTH_UP}
    places = [write(tmp_path / "a.tif", **plain), write(tmp_path / "b.tif", **{**plain, **change})]
    if "no georef" in sentence:
        places = places[::-1][:1] + places[:1]
    with pytest.raises(InputError, match=sentence):
        predict(places, MODEL, tmp_path / "out", **RUN, mosaic=True)
    assert not (tmp_path / "out").exists()


def test_mosaic_leaves_nothing_behind_and_replaces_nothing(image, tmp_path):
    tiles = cut(image, tmp_path / "tiles", PARTS)
    with pytest.raises(InputError, match="touches none"):
        predict(tiles, MODEL, **RUN, mosaic=True, bounds=(0, 0, 1, 1))
    with pytest.raises(InputError, match="mosaic=True"):
        predict(tiles, MODEL, **RUN, per_tile=True)
    assert sorted(file.name for file in tiles.iterdir()) == [f"t{k}.tif" for k in range(4)]
    predict(tiles, MODEL, **RUN, mosaic=True)
    assert len(predict(tiles, MODEL, tmp_path / "single", **RUN)) == 4  # neither the map nor the mosaic is a scene
    with pytest.raises(ExistsError, match=r"mosaic.vrt exists, of other or changed tiles"):
        predict([tiles / "t0.tif", tiles / "t1.tif"], MODEL, **RUN, mosaic=True)
