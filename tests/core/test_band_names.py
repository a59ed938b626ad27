"""Names of bands in the spellings of sensors and programs."""

import pytest

from rsuda.core.band_names import are_numbers, band_names, names_by_wavelength, wavelength
from rsuda.core.errors import InputError

SENTINEL_2 = [f"B{n:02}" for n in range(1, 9)] + ["B8A", "B09", "B10", "B11", "B12"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (SENTINEL_2, "b01 blue green red b05 b06 b07 ir b8a b09 b10 b11 b12"),
        (["B04", "B03", "B02", "B08"], "red green blue ir"),
        (["B4", "B3", "B2", "B8"], "red green blue ir"),
        (["B4", "B3", "B2"], "red green blue"),
        (["B2", "B3", "B4", "B5", "B6", "B7"], "blue green red ir b6 b7"),
        (["B2", "B3", "B4", "B5", "B8", "B8A"], "blue green red b5 ir b8a"),
        ([f"B{n + 1}" for n in range(11)], "b1 blue green red ir b6 b7 b8 b9 b10 b11"),
        (["SR_B4", "SR_B3", "SR_B2", "SR_B5"], "red green blue ir"),
        ([f"SR_B{n}" for n in (1, 2, 3, 4, 5, 7)], "blue green red ir sr_b5 sr_b7"),
        ([f"SR_B{n}" for n in range(1, 8)], "sr_b1 blue green red ir sr_b6 sr_b7"),
        (["R", "G", "B", "N"], "red green blue ir"),
        (["Band 1: Red", "Band 2: Green", "Band 3: Blue", "Band 4: NIR"], "red green blue ir"),
        (["Band 4 (Red)", "B3 (green)", "1 - Blue"], "red green blue"),
        (["Red (655 nm)", "Green (560 nm)", "485.3 Nanometers", "Band 4 (0.835 Micrometers)"], "red green blue ir"),
        (["coastal", "blue", "green_i", "green", "red", "rededge", "nir1", "nir2"],) * 1
        + ("coastal blue green_i green red rededge ir nir2",),
        (["nir", "nir08"], "ir nir08"),
        (["NIR08", "red"], "ir red"),
        (["Rot", "Grün", "Blau", "Nahes Infrarot"], "red green blue ir"),
        (["rojo", "verde", "azul", "infrarrojo cercano"], "red green blue ir"),
        (["红", "绿", "蓝", "近红外"], "red green blue ir"),
        ("NRG", "ir red green"),
        ("RGBN", "red green blue ir"),
        ("B02,B03,height", "blue green height"),
    ],
)
def test_bands_are_named_by_each_sensor_and_program(text, names):
    assert band_names(text) == tuple(names.split())


@pytest.mark.parametrize("name", ["pan", "ndsm", "dsm", "height", "swir1", "swir22", "gray", "vv", "thermal", "b8a"])
def test_one_band_is_named_by_one_word(name):
    assert band_names(name) == (name,) == band_names(name.upper())


@pytest.mark.parametrize("text", ["RGX", "rgbx", "IRRX"])
def test_mistyped_code_is_refused(text):
    with pytest.raises(InputError, match="not made of"):
        band_names(text)


@pytest.mark.parametrize(
    ("texts", "counted"),
    [
        (["Band_1", "Band_2", "Band_3"], True),
        (["1", "2"], True),
        (["B1", "B2", "B3", "B4"], True),
        (["Band 1: Red", "Band 2: Green"], False),
        (["B2", "B3", "B4"], False),
        (["b1", "height"], False),
    ],
)
def test_bands_that_are_only_counted_have_no_names(texts, counted):
    assert are_numbers(texts) == counted


def test_bands_are_named_by_wavelength():
    names = names_by_wavelength([0.443, 0.492, 0.56, 0.665, 0.833, 1.61])
    assert names == ("443 nm", "blue", "green", "red", "ir", "1610 nm")
    assert len(set(names_by_wavelength([0.4 + k * 0.0001 for k in range(224)]))) == 224
    assert [wavelength(text) for text in ("665 nm", "0.665 µm", "0.665 (Micrometers)", "red")] == [0.665] * 3 + [None]
