"""Read runs that older versions made: what they predict, and what they become when they are resumed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from labelled_city import city
from short_settings import settings

from rsuda.learning.networks import NETWORKS
from rsuda.runs.weights import description, load_run, save_run, saved_settings
from rsuda.training.train import train

STORED = Path(__file__).parents[1] / "stored_runs"
KINDS = {"source-only": "plain", "hrda": "two-resolution", "st-dasegnet": "two-branch"}
# the smallest encoder there is; older versions of timm lack it
pytestmark = pytest.mark.skipif(not timm.is_model("test_efficientnet"), reason="this timm has no test_efficientnet")


def logits(run):
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        return load_run(run).model(torch.from_numpy(image)).numpy()


def assert_close(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_every_kind_of_network_is_stored():
    assert set(KINDS.values()) == set(NETWORKS) and set(KINDS) == {p.name for p in STORED.iterdir() if p.is_dir()}


@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_version_0_1_predicts_what_it_predicted(name):
    assert "network" not in json.loads((STORED / name / "spec.json").read_text())
    assert load_run(STORED / name).method == name and saved_settings(STORED / name).training.seed == 0
    assert_close(logits(STORED / name), np.load(STORED / name / "logits.npy"))


@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_version_0_1_saved_again_names_its_kind_of_network(name, tmp_path):
    run = load_run(STORED / name)
    save_run(tmp_path, run.model, run.spec, run.method)
    assert description(tmp_path / "weights.safetensors").network == KINDS[name]
    np.testing.assert_array_equal(logits(tmp_path), logits(STORED / name))


def test_a_network_without_disentangle_module_is_read_back(tmp_path):
    from rsuda.learning.network import Architecture
    from rsuda.learning.networks import build_network

    spec = load_run(STORED / "st-dasegnet").spec
    model = build_network("two-branch", Architecture("tu-test_efficientnet", "segformer", 3, 3, 16), disentangle=False)
    save_run(tmp_path, model, spec, "st-dasegnet")
    assert load_run(tmp_path).model.disentangle is None
    assert description(tmp_path / "weights.safetensors").disentangle is False


def test_a_checkpoint_of_version_0_1_is_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    city("data", "east")
    city("data", "west", gain=0.7, seed=1)
    shutil.copytree(STORED / "source-only", "run")
    train(settings("run/config.yaml", steps=4), Path("run"), resume=True, quiet=True)
    resumed = logits("run")
    assert_close(resumed, np.load(STORED / "source-only" / "logits_resumed.npy"))
    assert np.abs(resumed - np.load(STORED / "source-only" / "logits.npy")).max() > 1e-3
