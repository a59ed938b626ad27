"""Test that batch norm takes the statistics of the scene: the same windows always, and nothing stays behind."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from oracle_models import by_value, legend, trained, write
from short_settings import settings
from torch import nn

from rsuda.core.errors import ExistsError, InputError
from rsuda.core.spec import Spec
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predict import predict
from rsuda.inference.predictor import Predictor
from rsuda.inference.scene_statistics import MOST, OF_MODEL, SIZE, _places, _windows, with_scene_statistics
from rsuda.learning.networks import build_network
from rsuda.learning.target_statistics import estimate_statistics
from rsuda.runs.weights import TrainedNetwork, architecture

OPTIONS = {"window": 64, "overlap": 16, "device": "cpu", "precision": "fp32", "polygons": None, "probabilities": True}


def network(**changes):
    """Build a network of random weights whose batch norms remember other colours than those of the scenes."""
    chosen = settings(preset="sample", method="source-only", **changes)
    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, (0.5,) * 3, (0.25,) * 3, legend())
    torch.manual_seed(0)
    model = build_network("plain", architecture(chosen, spec))
    estimate_statistics(model, [torch.randn(4, 3, 64, 64)])
    return TrainedNetwork(model.eval(), spec, Path("run"), "source-only", "digest")


def image(height, width, seed=0, low=100, high=180):
    blocks = np.random.default_rng(seed).integers(low, high, (3, -(-height // 20), -(-width // 20)))
    return np.kron(blocks, np.ones((1, 20, 20)))[:, :height, :width].astype(np.uint8)


def planes(folder, name="scene"):
    with rasterio.open(folder / f"{name}_probabilities.tif") as file:
        return file.read()


def run(scene, model, out, **options):
    predict(scene, model, out, **{**OPTIONS, **options})
    return planes(out, scene.stem)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def scene(tmp_path):
    return write(tmp_path / "scene.tif", image(700, 560))


def test_statistics_of_the_scene_change_the_map_and_not_the_model(tmp_path, model, scene):
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    plain = run(scene, model, tmp_path / "plain")
    adapted = run(scene, model, tmp_path / "adapted", adapt="statistics")
    assert (plain != adapted).mean() > 0.1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.model.state_dict().items())
    assert np.array_equal(run(scene, model, tmp_path / "again"), plain)
    with rasterio.open(tmp_path / "adapted" / "scene_classes.tif") as file:
        assert file.tags()["RSUDA_ADAPT"] == "statistics"


def test_statistics_do_not_depend_on_windows_and_batches(tmp_path, model, scene):
    spec, state = model.spec, []
    for options in (
        {"window": 64, "overlap": 16},
        {"window": 512, "overlap": 128},
        {"tta": "flips"},
        {"batch_size": 1},
    ):
        adapted = with_scene_statistics(Predictor.of(model, "cpu", "fp32", **options), open_scene(scene, spec))
        state.append(adapted.model.state_dict())
    assert all(torch.equal(tensor, other[name]) for other in state[1:] for name, tensor in state[0].items())
    whole = run(scene, model, tmp_path / "one", adapt="statistics", batch_size=1)
    assert np.abs(whole.astype(int) - run(scene, model, tmp_path / "five", adapt="statistics", batch_size=5)).max() <= 1


def test_a_part_of_a_scene_has_the_statistics_of_the_whole(tmp_path, model, scene):
    whole = run(scene, model, tmp_path / "whole", adapt="statistics")
    bounds = (500_000 + 50, 6_000_000 - 150, 500_000 + 150, 6_000_000 - 64)
    part = run(scene, model, tmp_path / "part", adapt="statistics", bounds=bounds)
    assert np.array_equal(part, whole[:, 128:300, 100:300])


def test_scenes_do_not_leak_into_each_other(tmp_path, model):
    scenes = [write(tmp_path / f"{name}.tif", image(300, 300, k, 60 * k, 60 * k + 60)) for k, name in enumerate("abc")]
    predict(scenes, model, tmp_path / "together", adapt="statistics", **OPTIONS)
    for scene in reversed(scenes):
        alone = run(scene, model, tmp_path / "alone", adapt="statistics")
        assert np.array_equal(planes(tmp_path / "together", scene.stem), alone)


def test_an_adapted_map_is_another_map(tmp_path, model, scene):
    run(scene, model, tmp_path, adapt="statistics")
    with pytest.raises(ExistsError, match="overwrite=True"):
        run(scene, model, tmp_path)
    (prediction,) = predict(scene, model, tmp_path, adapt="statistics", **OPTIONS)
    assert prediction.skipped


def test_model_without_batch_norm_is_refused(tmp_path, scene):
    with pytest.raises(InputError, match="has no batch norm") as caught:
        predict(scene, trained(by_value, ("red", "green", "blue")), tmp_path / "out", adapt="statistics", **OPTIONS)
    assert "predict without adapt='statistics'" in str(caught.value) and not (tmp_path / "out").exists()


def test_windows_lie_all_over_the_scene_and_hold_data(tmp_path, model):
    places = list(_places(100 * SIZE, 60 * SIZE))
    assert len(set(places)) == len(places)
    quarters = {(row // (50 * SIZE), col // (30 * SIZE)) for row, col in places[:MOST]}
    assert len(quarters) == 4 and len({row for row, _ in places[:MOST]}) > 30
    values = image(1600, 1600)
    values[:, :, :1000] = 0
    half_empty = write(tmp_path / "half.tif", values, nodata=0)
    predictor = Predictor.of(model, "cpu", "fp32")
    windows = _windows(predictor, open_scene(half_empty, model.spec))
    assert len(windows) >= 8 and all(window.valid.all() for window in windows)
    empty = open_scene(write(tmp_path / "empty.tif", np.zeros((3, 300, 300), np.uint8), nodata=0), model.spec)
    assert with_scene_statistics(predictor, empty) is predictor


def test_a_scene_smaller_than_a_window_is_mirrored_and_pooled_norms_keep_their_statistics(tmp_path):
    """DeepLabV3+ pools each window to one pixel, which has no variance within a window."""
    model = network(**{"network.encoder": "resnet18", "network.decoder": "deeplabv3plus", "network.output_stride": 16})
    small = write(tmp_path / "small.tif", image(100, 80))
    adapted = with_scene_statistics(Predictor.of(model, "cpu", "fp32"), open_scene(small, model.spec))
    assert adapted.model is not model.model
    assert np.isfinite(run(small, model, tmp_path / "out", adapt="statistics")).all()


def test_statistics_are_those_of_the_windows(tmp_path):
    """A batch norm remembers mean and variance over all windows of the scene, and the model's own as those of 16 more."""

    class OneNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, image):
            return self.norm(image)

    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (1.0,) * 3, (0.0,) * 3, (1.0,) * 3, legend(("a", "b", "c")))
    model = TrainedNetwork(OneNorm().eval(), spec, Path("run"), "source-only", "digest")
    values = image(512, 512)
    scene = open_scene(write(tmp_path / "scene.tif", values), spec)
    norm = with_scene_statistics(Predictor.of(model, "cpu", "fp32"), scene).model.norm
    share = 4 / (4 + OF_MODEL)
    assert np.allclose(norm.running_mean, share * values.mean((1, 2)), rtol=1e-4)
    assert np.allclose(norm.running_var, share * values.var((1, 2), ddof=1) + (1 - share), rtol=1e-4)
