"""Test when a band tagged alpha is transparency, and when it is near infrared."""

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.geo.rasters.labels import read_classes
from rsuda.geo.rasters.raster import RasterFile

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
TAG = {
    "r": ColorInterp.red,
    "g": ColorInterp.green,
    "b": ColorInterp.blue,
    "a": ColorInterp.alpha,
    "-": ColorInterp.undefined,
}


@pytest.mark.parametrize(("between", "is_real"), [(0, True), (20, True), (99, True), (100, False), (150, False)])
def test_alpha_is_real_if_over_half_of_what_it_shows_is_opaque(write, between, is_real):
    """200 of 400 pixels are above 0."""
    alpha = np.repeat([0, 255], 200).astype(np.uint8)
    alpha[200 : 200 + between] = 90
    values = np.concatenate([np.full((3, 20, 20), 70, np.uint8), alpha.reshape(1, 20, 20)])
    file = RasterFile(write("scene.tif", values, interpretation=RGBA))
    assert file.alpha_is_real == is_real
    assert file.band_order == (("red", "green", "blue") if is_real else ("red", "green", "blue", "ir"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("tags", "bands", "numbers"),
    [
        ("rgb-a", ("red", "green", "blue", "ir"), [1, 2, 3, 4]),
        ("rgb---a", ("red", "green", "blue", "ir", "rededge", "swir"), [1, 2, 3, 4, 5, 6]),
        ("argb", ("red", "green", "blue"), [2, 3, 4]),
        ("argb", None, [2, 3, 4]),
        ("rgab", None, [1, 2, 4]),
        ("bgra", ("blue", "green", "red"), [1, 2, 3]),
        ("-a", ("pan",), [1]),
        ("aa-", ("pan",), [3]),
    ],
)
def test_alpha_counts_in_any_position(write, dtype, tags, bands, numbers):
    top = 255 if dtype == np.uint8 else 40_000
    values = np.random.default_rng(0).integers(1, 200, (len(tags), 20, 20)).astype(dtype)
    shown = np.ones((20, 20), bool)
    shown[:6, :6] = False
    values[[tag == "a" for tag in tags]] = np.where(shown, top, 0)
    options = {"alpha": "yes"} if tags == "-a" else {}  # else the GeoTIFF loses the tag
    file = RasterFile(write("scene.tif", values, interpretation=[TAG[tag] for tag in tags], **options), bands)
    assert file.band_numbers(bands or ("red", "green", "blue")) == numbers
    assert np.array_equal(file.read(numbers).valid, shown)
    assert np.array_equal(file.read(numbers[:1]).valid, shown)
    assert np.array_equal(file.valid(numbers, (0, 0, 20, 20)), shown)


def test_pixels_less_than_half_opaque_are_invalid(write):
    values = np.full((4, 20, 20), 70, np.uint8)
    values[3] = 255
    values[3, 0, :4] = 0, 127, 128, 254
    valid = RasterFile(write("scene.tif", values, interpretation=RGBA)).read([1, 2, 3]).valid
    assert valid[0, :4].tolist() == [False, False, True, True]
    assert valid[1:].all()


def test_each_of_two_alpha_bands_counts(write):
    values = np.full((5, 20, 20), 255, np.uint8)
    values[:3] = np.arange(20)
    values[3, 0], values[4, :, 0] = 0, 0
    file = RasterFile(write("scene.tif", values, interpretation=[*RGBA, ColorInterp.alpha]))
    assert np.array_equal(file.read([1]).valid, (values[3:] > 0).all(0))


def test_transparency_is_not_fed_as_a_band(write):
    """A model of four bands is not fed the alpha band of an RGBA image."""
    values = np.full((4, 20, 20), 255, np.uint8)
    file = RasterFile(write("scene.tif", values, interpretation=RGBA))
    with pytest.raises(InputError, match="has the bands red, green, blue, but"):
        file.band_numbers(("red", "green", "blue", "ir"))


@pytest.mark.parametrize("top", [1, 255])
@pytest.mark.parametrize("by_value", [True, False])
@pytest.mark.parametrize("interpretation", [RGBA, [ColorInterp.undefined] * 4])
def test_a_label_with_one_class_a_band_is_refused_and_not_read_as_colours(write, top, by_value, interpretation):
    classes = np.arange(400).reshape(20, 20) % 5  # the fifth is no class
    one_hot = np.stack([classes == k for k in range(4)]).astype(np.uint8) * top
    colours = (((255, 0, 0),), ((0, 255, 0),), ((0, 0, 255),), ((0, 0, 0),))
    legend = Legend(tuple("abcd"), colours, tuple((k,) for k in range(4)) if by_value else ())
    with pytest.raises(InputError, match=r"the label has 4 bands, .*if each band is a class, write the number"):
        read_classes(RasterFile(write("label.tif", one_hot, interpretation=interpretation)), legend, (0, 0, 20, 20))


def test_a_label_of_colours_with_transparency_keeps_them(write):
    classes = np.arange(400).reshape(20, 20) % 3
    opaque = classes < 2
    values = np.stack([255 * (classes == 0), 0 * classes, 0 * classes, 255 * opaque]).astype(np.uint8)
    for hidden in (0, 7):  # the colour of transparent pixels
        values[1][~opaque] = hidden
        index, off = read_classes(
            RasterFile(write(f"label{hidden}.tif", values, interpretation=RGBA)),
            Legend(("roof", "rest"), (((255, 0, 0),), ((0, 0, 0),))),
            (0, 0, 20, 20),
        )
        assert off == 0 and (index == np.where(opaque, classes, 255)).all()
