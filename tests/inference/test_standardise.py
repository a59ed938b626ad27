"""Test that training and prediction feed the model the same tensor of a scene."""

import numpy as np
import pytest
import rasterio
import torch
from oracle_models import Oracle
from tiny_cities import build, options

from rsuda.data.find_domain import domain
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import PatchDataset
from rsuda.inference.predictor import Predictor
from rsuda.inference.segmenter import Segmenter
from rsuda.learning.augmentation import Augmentation
from rsuda.runs.weights import TrainedNetwork


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """Patches of two cities of 16-bit imagery whose lowest value is far from 0; the target has a stripe of nodata."""
    folder = build(tmp_path_factory.mktemp("sixteen"))
    for path in folder.glob("*_image.tif"):
        with rasterio.open(path) as file:
            values, profile = file.read().astype(np.uint16), file.profile
        values = 3000 + 40 * values
        if path.name.startswith("west"):
            values[:, :, 40:48] = 0
        with rasterio.open(path, "w", **{**profile, "dtype": "uint16", "nodata": 0}) as file:
            file.write(values)
    settings = options(folder)
    cities = (domain(str(folder / f"{name}.yaml"), folder) for name in ("east", "west"))
    return PatchDataset(pair(*cities, settings), settings, with_target=True)


@pytest.mark.parametrize("index", [0, 1, 5])
def test_training_and_prediction_feed_the_same_tensor_of_a_16_bit_scene(patches, index):
    spec = patches.pair.target_spec
    assert min(spec.low) > 1000, "the imagery would not show a fault in the use of 'low'"
    statistics = [(s.mean, s.std) for s in (patches.pair.source_spec, spec)]
    plain = Augmentation(*statistics, False, False, False)
    item = patches[index]
    target = plain.target(torch.utils.data.default_collate([item]))
    trained_on, valid = target["target_image"], target["target_valid"]

    _, _, patch = patches._target_window(patches._generator(1, index))
    assert np.array_equal(patch.valid, valid[0].numpy()) and not patch.valid.all()
    network = TrainedNetwork(Oracle(lambda x: x), spec, "oracle", "oracle", "oracle")
    predicted_on = Predictor.of(network, "cpu", "fp32").standardise(patch.values[None], patch.valid[None])
    assert trained_on.std() > 0.1
    assert (trained_on - predicted_on).abs().max() < 1e-5

    # the module takes NaN for nodata
    raw = torch.from_numpy(np.where(patch.valid, patch.values.astype(np.float32), np.nan))
    assert (Segmenter(network)(raw[None]) - predicted_on).abs().max() < 1e-6
    # all equal one formula
    assert np.abs(spec.standardise(patch.values) - predicted_on[0].numpy())[:, patch.valid].max() < 1e-5
