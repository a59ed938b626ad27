"""Test which pixels hold data, by nodata values, NaN and masks, in images of one and of several types and in labels."""

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.rasters.labels import nodata_note, read_classes
from rsuda.geo.rasters.raster import RasterFile
from rsuda.geo.rasters.validity import Validity

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
LEGEND = Legend.from_fields(
    [{"name": name, "value": value, "colour": [value + 1, 0, 0]} for value, name in enumerate("abc")]
)
COLOURS = Legend.from_fields([{"name": "roof", "colour": "#FF0000"}, {"name": "shade", "colour": "#000000"}])
CLASSES = (np.arange(400).reshape(20, 20) // 7 % 3).astype(np.uint8)
LEFT = np.arange(20) < 10  # columns
ALL = (0, 0, 20, 20)


def separate(folder, *files):
    """Write a virtual raster of one band from each file; (path, type, nodata or None)."""
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}">'
        + ("" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>")
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand>'
        + "</SimpleSource></VRTRasterBand>"
        for number, (path, kind, nodata) in enumerate(files, 1)
    )
    path = folder / "separate.vrt"
    path.write_text(f'<VRTDataset rasterXSize="20" rasterYSize="20">{bands}</VRTDataset>')
    return path


# Images


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", -9999),
        ("float32", 0),
        ("float32", -3.4028234663852886e38),
        ("float32", np.nan),
        ("float64", 1e20),
        ("int16", -32768),
        ("uint16", 0),
        ("uint16", 65535),
        ("int32", -1),
    ],
)
def test_nodata_of_one_band_invalidates_the_pixel(write, dtype, nodata):
    values = np.random.default_rng(0).integers(1, 900, (3, 20, 20)).astype(dtype)
    values[0, :8] = nodata
    file = RasterFile(write("gap.tif", values, nodata=nodata))
    assert np.array_equal(file.read().valid, np.arange(20)[:, None].repeat(20, 1) >= 8)
    assert file.read([2, 3]).valid.all()  # the band without data is not read
    assert not file.valid([1, 2], (0, 0, 8, 20)).any()


def test_nodata_of_eight_bits_in_one_band_is_a_dark_pixel(write):
    values = np.full((3, 20, 20), 90, np.uint8)
    values[0, :8] = values[:, :2] = 0
    file = RasterFile(write("dark.tif", values, nodata=0))
    assert file.read().valid.sum() == 18 * 20
    assert file.read([1]).valid.sum() == 12 * 20


@given(
    st.lists(st.sampled_from([None, 0.0, 7.0]), min_size=3, max_size=3),
    st.lists(st.sampled_from(["uint8", "uint16", "float32"]), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 7.0, 50.0, np.nan]), min_size=3, max_size=3),
)
def test_nodata_by_the_rule_in_words(nodata, types, pixel):
    validity = Validity(tuple(types), tuple(nodata), ((),) * 3, (ColorInterp.gray,) * 3)
    result = validity.is_nodata(np.array(pixel).reshape(3, 1, 1), [1, 2, 3])
    equal = [value is not None and value == part for value, part in zip(nodata, pixel, strict=True)]
    of_bytes = [e for e, t in zip(equal, types, strict=True) if t == "uint8"]
    of_others = [e for e, t in zip(equal, types, strict=True) if t != "uint8"]
    expected = any(of_others) or (bool(of_bytes) and all(of_bytes))
    assert (result is not None and bool(result.item())) == expected


def test_nodata_outside_of_a_type_matches_nothing(write):
    file = RasterFile(write("a.tif", np.zeros((1, 20, 20), np.uint8)), nodata=-9999)
    assert file.read().valid.all()


def test_mask_and_nodata_both_count(write):
    values = np.full((1, 20, 20), 5, np.uint16)
    values[0, 0] = 9
    path = write("a.tif", values, nodata=9, mask=np.tile(~LEFT, (20, 1)))
    valid = RasterFile(path).read().valid
    assert not valid[0].any()
    assert np.array_equal(valid[1:], np.tile(~LEFT, (19, 1)))


def test_virtual_raster_of_several_types_is_read_in_their_common_type(write, tmp_path):
    red = write("red.tif", np.arange(400, dtype=np.uint8).reshape(1, 20, 20) % 250)
    height = np.full((1, 20, 20), 100.5, np.float32)
    height[0, 0, :3], height[0, 1, 0] = -9999, np.nan
    file = RasterFile(separate(tmp_path, (red, "Byte", None), (write("height.tif", height), "Float32", -9999)))
    assert file.dtypes == ("uint8", "float32")
    assert file.dtype == "float32"
    raster = file.read()
    assert raster.values.dtype == np.float32
    assert raster.values[:, 5, 5].tolist() == [105, 100.5]
    assert (~raster.valid).sum() == 4
    assert file.read([1]).values.dtype == np.uint8
    assert file.read([1]).valid.all()
    assert file.valid([1], ALL) is None
    outside = file.read_at([1, 2], (1.0, 1.0), (-2, -2, 5, 5))
    assert outside.values.dtype == np.float32
    assert outside.valid.sum() == 5  # of 9 inside


def test_complex_band_in_any_position_is_refused(write, tmp_path):
    plain, radar = write("a.tif", np.ones((1, 20, 20), np.uint8)), write("b.tif", np.ones((1, 20, 20), np.complex64))
    with pytest.raises(InputError, match="complex pixels"):
        RasterFile(separate(tmp_path, (plain, "Byte", None), (radar, "CFloat32", None)))


def test_declared_nodata_replaces_that_of_the_file(write):
    values = np.full((3, 20, 20), 90, np.uint8)
    values[:, :4], values[:, 10:] = 0, 255
    path = write("a.tif", values, nodata=255)
    assert RasterFile(path).read().valid.sum() == 200
    assert np.array_equal(RasterFile(path, nodata=0).read().valid, values[0] > 0)
    assert np.array_equal(RasterFile(path, nodata=0).valid([1, 2, 3], ALL), values[0] > 0)


def test_declared_nodata_reaches_the_noise_of_jpeg(write):
    values = np.random.default_rng(0).normal(100, 8, (3, 64, 64)).astype(np.uint8)
    values[:, :30] = 0
    path = write("a.tif", values, compress="jpeg", photometric="ycbcr", tiled=True, blockxsize=64, blockysize=64)
    raw = RasterFile(path).read().values
    rim = raw[:, :30].any(0)
    assert rim.any()  # the compression leaves noise in the rim
    valid = RasterFile(path, nodata=0).read().valid
    assert valid[:30].mean() < rim.mean() / 2
    assert valid[32:].all()


@pytest.mark.parametrize("value", ["black", True, [0]])
def test_declared_nodata_that_is_no_number_is_refused(write, value):
    path = write("a.tif", np.ones((1, 20, 20), np.uint8))
    with pytest.raises(InputError, match=r"nodata value declared for .*a\.tif is .*must be a number"):
        RasterFile(path, nodata=value)


# Labels


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", np.nan), ("int16", -1), ("uint8", 9), ("float32", -9999), ("uint16", 65535)]
)
def test_label_without_data_is_ignored_and_not_outside_of_the_legend(write, dtype, nodata):
    values = CLASSES.astype(dtype)
    values[:, LEFT] = nodata
    values[0, 15] = 77
    file = RasterFile(write("label.tif", values[None], nodata=nodata))
    index, outside = read_classes(file, LEGEND, ALL)
    assert (index[:, LEFT] == IGNORE).all()
    assert np.array_equal(index[1:, ~LEFT], CLASSES[1:, ~LEFT])
    assert (index[0, 15], outside) == (IGNORE, 1)
    assert nodata_note(file, LEGEND) is None


def test_nan_of_a_label_is_ignored_without_a_nodata_value(write):
    values = CLASSES.astype(np.float32)
    values[:, LEFT] = np.nan
    index, outside = read_classes(RasterFile(write("label.tif", values[None])), LEGEND, ALL)
    assert (index[:, LEFT] == IGNORE).all()
    assert outside == 0


def test_class_that_is_nodata_stays_a_class_with_a_note(write):
    file = RasterFile(write("label.tif", CLASSES[None], nodata=0))
    index, outside = read_classes(file, LEGEND, ALL)
    assert np.array_equal(index, CLASSES)
    assert outside == 0
    assert "0 is the nodata value of label" in nodata_note(file, LEGEND)
    assert "class 'a'" in nodata_note(file, LEGEND)


def test_colour_that_is_nodata_stays_a_class(write):
    values = np.zeros((3, 20, 20), np.uint8)
    values[0, :, LEFT] = 255
    file = RasterFile(write("label.tif", values, nodata=0))
    index, outside = read_classes(file, COLOURS, ALL)
    assert np.array_equal(index, np.tile(np.where(LEFT, 0, 1), (20, 1)))
    assert outside == 0
    assert "'shade'" in nodata_note(file, COLOURS)


@pytest.mark.parametrize("name", ["label.png", "label.tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_transparent_pixels_of_a_label_are_ignored(write, name, bands):
    legend = LEGEND if bands == 1 else COLOURS
    values = np.zeros((bands + 1, 20, 20), np.uint8)
    values[0] = CLASSES if bands == 1 else 255
    values[-1] = np.where(LEFT, 0, 255)
    tags = [ColorInterp.gray] if bands == 1 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    options = {"alpha": "yes"} if name.endswith("tif") else {}
    file = RasterFile(write(name, values, interpretation=[*tags, ColorInterp.alpha], **options))
    index, outside = read_classes(file, legend, ALL)
    assert np.array_equal(index == IGNORE, np.tile(LEFT, (20, 1)))
    assert outside == 0


@pytest.mark.parametrize("internal", [True, False])
def test_masked_pixels_of_a_label_are_ignored(write, internal):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        file = RasterFile(write("label.tif", CLASSES[None], mask=np.tile(LEFT, (20, 1))))
    index, _ = read_classes(file, LEGEND, ALL)
    assert np.array_equal(index == IGNORE, np.tile(~LEFT, (20, 1)))
    assert np.array_equal(index[:, LEFT], CLASSES[:, LEFT])
