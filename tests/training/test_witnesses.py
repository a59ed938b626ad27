"""Test the script that measures pseudo labels of model, second witness and both in the course of a run."""

import importlib.util
from pathlib import Path

import pytest
import torch
from method_runs import all_parts, built, run_settings

from rsuda.core.settings import dump
from rsuda.methods.blocks import nearest_cells, nearest_means
from rsuda.runs.weights import load_run
from rsuda.training.train import train

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "witnesses.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("witnesses", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"), [("st-dasegnet", "neighbours"), ("dacs", "prototypes"), ("source-free", "prototypes")]
)
def test_witnesses_are_measured_and_training_is_as_without(two_cities, script, name, mode, tmp_path, monkeypatch):
    for module in (nearest_cells, nearest_means):
        monkeypatch.setattr(module, "CELLS", 100)  # short lists, which vote from the second step on
    method, _, _ = built(two_cities, "source-only", seed=0)
    torch.save(method.model.network.encoder.state_dict(), tmp_path / "encoder.pth")
    second = "prototypes" if name == "source-free" else "votes"
    options = all_parts(name) | ({} if name == "source-free" else {"neighbours": 1.0, "votes": mode})
    settings = run_settings(two_cities, name, steps=4, weights=str(tmp_path / "encoder.pth"), options=options)
    (tmp_path / "run.yaml").write_text(dump(settings))
    train(settings, tmp_path / "plain", quiet=True)
    rows = script.measured(tmp_path / "run.yaml", {}, tmp_path / "watched", 2, 4, "val")
    one, other = (load_run(tmp_path / run).model.state_dict() for run in ("plain", "watched"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert [(row["step"], row["witness"]) for row in rows] == [
        (step, w) for step in (2, 4) for w in ("model", second, "both")
    ]
    assert all(0 <= float(row["accuracy"]) <= 100 for row in rows)
    # of the finished run the last checkpoint again, after the rows of before
    assert script.measured(None, {}, tmp_path / "watched", 2, 4, "val") == rows
