"""Test that the curve of target scores does not influence training."""

import csv

import pytest
import torch
from short_settings import changed
from tiny_cities import options
from tiny_cities import train_watched as train

from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.target_curve import read_curve
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import load_run


def weights(folder):
    return load_run(folder).model.state_dict()


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("st-dasegnet", {"dropout": 0.3, "crop": 128, "output_stride": 16, "steps": 2}),
        ("mic", {"options": {"source_only_share": 0.0, "resolutions": 1}, "target_statistics": True, "steps": 2}),
    ],
)
def test_weights_are_equal_to_the_last_bit_with_and_without_the_curve(tiny_city, tmp_path, method, changes):
    for name, every in (("without", 0), ("with", 1)):
        train(options(tiny_city, method=method, score_every=every, **changes), tmp_path / name, quiet=True)
    one, other = weights(tmp_path / "without"), weights(tmp_path / "with")
    assert one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())
    assert [r["step"] for r in read_curve(tmp_path / "with" / "target_curve.csv")] == list(
        range(1, changes["steps"] + 1)
    )
    assert not (tmp_path / "without" / "target_curve.csv").exists()


def test_the_last_row_has_the_scores_of_the_saved_model(tiny_city, tmp_path):
    plain = {"target_statistics": False}  # the curve shows the model before batch norm is estimated on the target
    train(options(tiny_city, method="source-only", score_every=3, **plain), tmp_path / "run", quiet=True)
    rows = read_curve(tmp_path / "run" / "target_curve.csv")
    scores = evaluate(
        Predictor.of(load_run(tmp_path / "run"), "cpu", "fp32"), domain(str(tiny_city / "west.yaml"), tiny_city)
    ).scores
    assert [r["step"] for r in rows] == [3, 4]
    assert rows[-1]["miou"] == pytest.approx(scores.miou, abs=2e-6)
    assert [rows[-1][n] for n in "abc"] == pytest.approx(scores.iou.tolist(), abs=2e-6)
    with (tmp_path / "run" / "target_curve.csv").open() as file:
        assert next(csv.reader(file)) == ["step", "miou", "a", "b", "c"]


def test_a_resumed_run_keeps_the_earlier_rows(tiny_city, tmp_path):
    settings = options(tiny_city, method="source-only", score_every=1)
    train(changed(settings, steps=2), tmp_path / "cut", quiet=True)
    before = read_curve(tmp_path / "cut" / "target_curve.csv")
    train(changed(settings, steps=4), tmp_path / "cut", resume=True, quiet=True)
    rows = read_curve(tmp_path / "cut" / "target_curve.csv")
    assert [r["step"] for r in rows] == [1, 2, 3, 4] and rows[:2] == before


def test_a_target_without_labels_gives_a_note_and_no_curve(tiny_city, tmp_path, caplog):
    train(
        options(tiny_city, method="source-only", target=str(tiny_city / "village.yaml"), score_every=1),
        tmp_path,
        overwrite=True,
    )
    assert not (tmp_path / "target_curve.csv").exists()
    assert "village has no labelled split 'val': its scores are not recorded" in caplog.text
