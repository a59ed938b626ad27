"""Bands of real files, named by descriptions, metadata and wavelengths."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from rsuda.core.errors import InputError
from rsuda.geo.rasters.raster import RasterFile


def write(path, bands, descriptions=None, tags=None, namespace=None):
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=bands, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(0, 0, 1, 1), photometric="MINISBLACK",
    ) as file:  # fmt: skip
        file.write(np.arange(bands, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8))
        file.descriptions = descriptions or [None] * bands
        for number, fields in enumerate(tags or [], 1):
            file.update_tags(number, ns=namespace, **fields)
    return RasterFile(path)


def test_band_numbers_follow_the_names_of_a_sensor(tmp_path):
    file = write(tmp_path / "s2.tif", 4, ["B04", "B03", "B02", "B08"])
    assert file.band_order == ("red", "green", "blue", "ir")
    assert file.band_numbers(("blue", "ir")) == [3, 4]


def test_runs_with_names_of_version_0_1_fit(tmp_path):
    file = write(tmp_path / "s2.tif", 4, ["B04", "B03", "B02", "B08"])
    assert file.band_numbers(("b02", "b08")) == [3, 4]
    assert file.band_numbers(("B04",)) == [1]
    assert RasterFile(tmp_path / "s2.tif", ("blue", "green", "ir", "red")).band_numbers(("b04", "b03")) == [4, 2]
    counted = write(tmp_path / "counted.tif", 2, ["Band_1", "Band_2"])
    assert counted.band_numbers(("band_2",)) == [2]


def test_counted_bands_are_unnamed_and_refused_with_the_flags(tmp_path):
    file = write(tmp_path / "arcgis.tif", 4, [f"Band_{n}" for n in range(1, 5)])
    assert file.band_order is None
    assert file.band_numbers(("red", "green", "blue", "ir")) == [1, 2, 3, 4]
    with pytest.raises(InputError, match=r"4 bands of unknown order.*bands='RGBIR'.*`target_bands`.*bands:"):
        file.band_numbers(("red",))


def test_named_bands_without_those_needed_are_refused_with_the_flags(tmp_path):
    file = write(tmp_path / "names.tif", 3, ["alpha", "beta", "gamma"])
    RasterFile(tmp_path / "names.tif", ("red", "green", "blue"))
    with pytest.raises(InputError, match=r"has the bands alpha, beta, gamma, but red are needed.*bands='RGB' "):
        file.band_numbers(("red",))


@pytest.mark.parametrize(
    ("fields", "namespace"),
    [
        ("{wavelength: 1000um, wavelength_units: Nanometers}", None),
        ("{wavelength: um, wavelength_units: Micrometers}", None),
        ("{WAVELENGTH: 1000um}", None),
        ("{CENTRAL_WAVELENGTH_UM: um}", "IMAGERY"),
    ],
)
def test_bands_are_named_by_wavelengths_in_metadata(tmp_path, fields, namespace):
    lengths = [0.49, 0.56, 0.66, 0.72, 0.84]
    pairs = [pair.split(": ") for pair in fields.strip("{}").split(", ")]
    tags = [
        {key: str(1000 * um) if word == "1000um" else str(um) if word == "um" else word for key, word in pairs}
        for um in lengths
    ]
    file = write(tmp_path / "hyper.tif", 5, tags=tags, namespace=namespace)
    assert file.band_order == ("blue", "green", "red", "720 nm", "ir")


def test_hundreds_of_bands_are_named_and_listed_briefly(tmp_path):
    tags = [{"wavelength": str(400 + 9.1 * k), "wavelength_units": "nm"} for k in range(224)]
    file = write(tmp_path / "enmap.tif", 224, tags=tags)
    assert len(file.band_numbers(file.band_order)) == 224
    with pytest.raises(InputError) as caught:
        file.band_numbers(("height",))
    assert len(str(caught.value)) < 400
