"""Test the model before adaptation: which one it is, its scores, and that training neither notices nor reads a label."""

import json
import shutil

import pytest
from tiny_cities import options

from rsuda.core.sample_data import references_file, sample_folder
from rsuda.core.settings import make_settings
from rsuda.data.find_domain import domain, find_target
from rsuda.evaluation.before import KeepBefore, model_before, read_before, score_before
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.references import references
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import BEFORE, BEFORE_WEIGHTS, saved_settings
from rsuda.runs.weights import load_run
from rsuda.training.train import train


def predictor_of(run):
    return Predictor.of(load_run(run), "cpu", "fp32")


def test_before_is_the_model_at_the_end_of_the_source_only_phase(tiny_city, tmp_path, monkeypatch):
    plain = {"standardise": "imagenet", "band_mixing": 0.0, "target_statistics": False}
    settings = options(tiny_city, method="dacs", options={"source_only_share": 0.5}, **plain)
    run, steps = tmp_path / "run", settings.training.steps
    half = -(-steps // 2)
    train(settings, tmp_path / "plain", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("rsuda.evaluation.before.evaluate", None)
        train(settings, run, quiet=True, callbacks=[KeepBefore(run)])
    one, other = (load_run(tmp_path / name).model.state_dict() for name in ("plain", "run"))
    assert all(one[name].equal(other[name]) for name in one)  # training did not notice
    kept = load_run(run / BEFORE_WEIGHTS)
    assert kept.method == f"source only, step {half}"
    assert any(not tensor.equal(other[name]) for name, tensor in kept.model.state_dict().items())
    target = find_target(settings)
    model = model_before(run, settings, predictor_of(run))
    before = score_before(model, run, target, settings)
    expected = evaluate(Predictor.of(kept, "cpu", "fp32"), target, settings.validation.split).scores
    assert before.what == kept.method and before.miou == expected.miou and 0 <= before.selection <= 1
    (run / BEFORE_WEIGHTS).unlink()  # resumed at its end: the scores are those of the file
    assert model_before(run, settings, predictor_of(run)) is None
    assert score_before(None, run, target, settings) == before == read_before(run)


def test_run_that_starts_from_another_has_it_as_before(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / BEFORE).unlink(missing_ok=True)
    settings = saved_settings(run)
    assert model_before(run, settings, predictor_of(run)) is None and read_before(run) is None
    model = model_before(run, settings.changed({"network.start": str(tiny_run)}), predictor_of(run))
    assert model.what == "the run it starts from"
    (run / BEFORE).write_text("[1]")
    assert read_before(run) is None


def sample(**changes):
    return make_settings({"preset": "sample", "source.name": "potsdam", "target.name": "vaihingen", **changes})


def test_references_belong_to_the_sample_tiles_and_their_encoder_only(tmp_path):
    fields = json.loads(references_file().read_text())
    target = domain("vaihingen", sample_folder())
    assert {item.what for item in references(sample(), target)} == {run["what"] for run in fields["runs"]}
    assert len(fields["runs"]) == 2 and all(0 < run["miou"] < 1 and run["command"] for run in fields["runs"])
    for change in ({"preset": "small"}, {"network.weights": "none"}, {"validation.split": "train"}):
        assert references(sample(**change), target) == []
    copy = shutil.copytree(sample_folder(), tmp_path / "tiles")
    assert references(sample(), domain("vaihingen", copy))
    label = next((copy / "vaihingen").glob("ground_truth_eroded/*area2_*.tif"))
    label.write_bytes(label.read_bytes() + b"0")
    assert references(sample(), domain("vaihingen", copy)) == []


@pytest.mark.parametrize("text", ["{}", "[]", '{"scored": 1}'])
def test_unreadable_references_are_none(tmp_path, monkeypatch, text):
    (tmp_path / "r.json").write_text(text)
    monkeypatch.setattr("rsuda.evaluation.references.references_file", lambda: tmp_path / "r.json")
    assert references(sample(), domain("vaihingen", sample_folder())) == []
