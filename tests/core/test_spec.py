"""Band orders in all spellings, and the spec of a saved network."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import BANDS, Spec, band_code, band_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("RGB", ("red", "green", "blue")),
        ("IRRG", ("ir", "red", "green")),
        ("NIRRG", ("ir", "red", "green")),
        ("rgbir", ("red", "green", "blue", "ir")),
        ("red", ("red",)),
        ("IR", ("ir",)),
        ("red, green,NIR", ("red", "green", "ir")),
        (["Red", "Near Infrared", "swir1"], ("red", "ir", "swir1")),
    ],
)
def test_band_orders_are_read_in_each_spelling(text, names):
    assert band_names(text) == names


@given(st.permutations(BANDS), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_band_code_is_read_back(bands, count):
    bands = tuple(bands[:count])
    assert band_names(band_code(bands)) == bands


def test_band_code_of_other_bands_is_read_back():
    bands = ("red", "swir1", "ir")
    assert band_names(band_code(bands)) == bands


@pytest.mark.parametrize(
    ("text", "message"), [("RGX", "not made of"), ("RGR", "red, green, red"), ("ir,nir", "occurs twice")]
)
def test_invalid_band_orders_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        band_names(text)


SPEC = Spec(
    ("ir", "red"),
    0.09,
    (0, 12.5),
    (255, 4000),
    (0.4, 0.5),
    (0.2, 0.1),
    Legend(("roof", "tree"), (((255, 0, 0),), ((0, 255, 0),))),
)


def test_spec_is_read_back_from_json():
    assert Spec.from_fields(json.loads(json.dumps(SPEC.as_fields()))) == SPEC


@pytest.mark.parametrize("lost", ["bands", "gsd", "low", "high", "mean", "std", "legend"])
def test_saved_spec_without_a_field_is_refused(lost):
    fields = SPEC.as_fields()
    del fields[lost]
    with pytest.raises(InputError, match=f"field {lost} is missing"):
        Spec.from_fields(fields)


def test_standardise_follows_the_formula_band_by_band():
    raw = np.random.default_rng(0).uniform(-50, 5000, (3, 2, 4, 5))
    wanted = np.empty_like(raw)
    for k in range(2):
        unit = (raw[:, k] - SPEC.low[k]) / (SPEC.high[k] - SPEC.low[k])
        wanted[:, k] = (unit - SPEC.mean[k]) / SPEC.std[k]
    scale, shift = SPEC.scale_shift()
    np.testing.assert_allclose(SPEC.standardise(raw), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(raw * scale[:, None, None] + shift[:, None, None], wanted, rtol=1e-12)


def test_standardise_is_unit_then_standardise_unit_to_the_last_bit():
    raw = np.random.default_rng(1).integers(0, 4000, (2, 4, 5)).astype(np.uint16)
    np.testing.assert_array_equal(SPEC.standardise(raw), SPEC.standardise_unit(SPEC.unit(raw)))
    assert SPEC.standardise(raw).dtype == np.float32
    # a low other than 0 shifts the range: its pixel is 0 on the unit scale
    assert SPEC.unit(np.array([[0.0], [12.5]]))[1, 0] == 0 and SPEC.unit(np.array([[255.0], [4000]]))[1, 0] == 1
