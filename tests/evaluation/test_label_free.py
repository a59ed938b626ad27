"""Test the label-free scores on models of known quality."""

import json
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from oracle_models import engine, sure, trained, write

from rsuda.core.errors import InputError
from rsuda.data.find_domain import domain
from rsuda.evaluation.label_free import LabelFree, density, label_free, read_label_free, write_label_free

TWO = ("dark", "bright")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of rasters without labels: dark and bright blocks of 16 px."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for n in range(2):
        blocks = np.kron(rng.integers(0, 2, (20, 20)), np.ones((16, 16), int))
        write(folder / f"{n}.tif", np.stack([np.where(blocks, 90, 10)] * 2).astype(np.uint8))
    return domain(str(folder), bands="red,green")


def scores(answer, place, names=TWO):
    network = trained(answer, high=100.0, names=names)
    return label_free(engine(network), place, windows=4, size=64)


def by_brightness(image):
    return sure(image[:, 0] > 0.5, 2)


def test_a_constant_prediction_is_certain_and_agrees_on_one_class(place):
    result = scores(lambda x: sure(torch.zeros_like(x[:, 0]), 4), place, ("a", "b", "c", "d"))
    assert result.certainty == pytest.approx(1, abs=1e-3)
    assert result.agreement == result.overlap == pytest.approx(1 / 4)
    assert result.information == pytest.approx(0, abs=1e-3) and result.density == pytest.approx(1, abs=1e-6)


def test_a_prediction_by_content_agrees_between_views(place):
    result = scores(by_brightness, place)
    assert result.agreement == result.overlap == 1
    assert result.certainty > 0.99 and 0.9 < result.information <= 1


def test_a_prediction_by_position_disagrees_between_views(place):
    def by_column(image):
        right = torch.arange(image.shape[-1]) >= image.shape[-1] // 2
        return sure(right.expand(len(image), *image.shape[-2:]), 2)

    result = scores(by_column, place)
    assert result.overlap == 0  # the right half of one window is the left half of the other
    assert result.agreement < 0.7 and result.information > 0.9  # information alone misses it


def test_a_uniform_prediction_scores_0(place):
    result = scores(lambda x: torch.zeros(len(x), 2, *x.shape[-2:]), place)
    assert result.certainty == pytest.approx(0) and result.information == pytest.approx(0)


def test_the_windows_are_the_same_in_each_call(place):
    assert astuple(scores(by_brightness, place)) == astuple(scores(by_brightness, place))


def test_a_domain_without_valid_pixels_is_refused(tmp_path):
    write(tmp_path / "empty.tif", np.zeros((2, 70, 70), np.uint8), nodata=0)
    with pytest.raises(InputError, match="no valid pixel in 4 windows"):
        scores(by_brightness, domain(str(tmp_path), bands="red,green"))


def test_density_of_equal_and_of_two_kinds_of_predictions():
    alike = np.tile([[0.7], [0.3]], 40)
    assert density(alike) == pytest.approx(1)
    two = np.repeat(np.eye(2), 20, axis=1)  # each pixel's neighbours are the 19 others of its kind
    assert density(two) == pytest.approx(np.log(19) / np.log(39), abs=1e-6)


def test_the_selection_score_is_the_mean_of_agreement_and_information(tmp_path):
    scores = LabelFree(certainty=0.1, agreement=0.5, overlap=0.2, information=0.3, density=0.9)
    assert scores.selection == scores.as_fields()["selection"] == pytest.approx(0.4)
    write_label_free(scores, tmp_path)
    assert list(read_label_free(tmp_path)) == [
        "selection",
        "certainty",
        "agreement",
        "overlap",
        "information",
        "density",
    ]
    (tmp_path / "label_free.json").write_text('{"agreement": 0.5, "information": 0.3}')  # as earlier versions wrote it
    assert read_label_free(tmp_path)["selection"] == pytest.approx(0.4)


def test_a_score_that_is_not_a_number_is_null_in_json(tmp_path):
    file = write_label_free(LabelFree(math.nan, 0.5, 0.25, math.inf, 1.0), tmp_path)
    assert json.loads(file.read_text(), parse_constant=pytest.fail) == {
        "selection": None, "certainty": None, "agreement": 0.5, "overlap": 0.25, "information": None, "density": 1.0,
    }  # fmt: skip
    scores = read_label_free(tmp_path)
    assert all(math.isnan(scores.pop(name)) for name in ("selection", "certainty", "information"))
    assert scores == {"agreement": 0.5, "overlap": 0.25, "density": 1.0}
    file.write_text('{"certainty": NaN, "agreement": 0.5}')  # as earlier versions wrote it
    assert math.isnan(read_label_free(tmp_path)["certainty"])
    file.write_text("[1]")
    with pytest.raises(InputError, match="holds no scores"):
        read_label_free(tmp_path)
    file.unlink()
    assert read_label_free(tmp_path) is None
