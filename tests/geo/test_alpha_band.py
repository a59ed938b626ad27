"""Test when a band tagged alpha is transparency, and when it is near infrared."""

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from rsuda.geo.raster import RasterFile

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


@pytest.mark.parametrize(("between", "is_real"), [(0, True), (19, True), (20, False), (24, False), (200, False)])
def test_alpha_is_real_above_95_percent_of_pixels_with_two_values(write, between, is_real):
    """Of 400 pixels, 19 are 4.75 % and 20 are 5 %."""
    alpha = np.repeat([0, 255], 200).astype(np.uint8)
    alpha[100 : 100 + between] = 90
    values = np.concatenate([np.full((3, 20, 20), 70, np.uint8), alpha.reshape(1, 20, 20)])
    file = RasterFile(write("scene.tif", values, interpretation=RGBA))
    assert file.alpha_is_real == is_real
    assert file.band_order == (("red", "green", "blue") if is_real else ("red", "green", "blue", "ir"))
