"""Encoders pretrained on RGB take any number of bands, by name."""

import pytest
import torch
from safetensors.torch import save_file

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.first_layer import composite_of, name_filters, repeat_filters
from rsuda.learning.network import Architecture, build_encoder
from rsuda.methods.base import NetworkBuilder

ENCODERS = ["mobilenet_v2", "resnet18", "mit_b0", "tu-mobilenetv3_small_050"]
MANY = ("coastal", "blue", "green", "red", "rededge", "ir", "swir1")


def first(encoder):
    return next(module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d)).weight


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for name in ENCODERS:
        torch.manual_seed(0)
        arch = Architecture(name, "segformer", 2, 3)
        encoder = build_encoder(arch)
        whole = encoder.state_dict()
        if name == "mobilenet_v2":  # build_encoder drops its last convolution, which a file of weights has
            import segmentation_models_pytorch as smp

            whole = smp.encoders.get_encoder(name, weights=None).state_dict()
        files[name] = str(folder / f"{name}.safetensors")
        save_file({key: value.contiguous() for key, value in whole.items()}, files[name])
    return files


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("bands", [1, 2, 4, 7, 13, 224])
def test_pretrained_encoder_takes_any_number_of_bands(pretrained, name, bands):
    rgb = first(build_encoder(Architecture(name, "segformer", 2, 3), pretrained[name]))
    encoder = build_encoder(Architecture(name, "segformer", 2, bands), pretrained[name]).eval()
    image = torch.rand(1, 1, 64, 64)
    grey = torch.nn.functional.conv2d(image.expand(-1, 3, -1, -1), rgb)
    many = torch.nn.functional.conv2d(image.expand(-1, bands, -1, -1), first(encoder))
    assert 0.4 < float((many.std() / grey.std()).detach()) < 2.5
    assert len(encoder(image.expand(-1, bands, -1, -1))) >= 5


@pytest.mark.parametrize("name", ENCODERS)
def test_red_green_and_blue_have_their_own_filters_and_others_the_mean(pretrained, name):
    rgb = first(build_encoder(Architecture(name, "segformer", 2, 3), pretrained[name]))
    encoder = build_encoder(Architecture(name, "segformer", 2, len(MANY)), pretrained[name])
    name_filters(encoder, MANY)
    for number, colour in {3: 0, 2: 1, 1: 2}.items():
        torch.testing.assert_close(first(encoder)[:, number], rgb[:, colour] * 3 / 7)
    for number in (0, 4, 5, 6):
        torch.testing.assert_close(first(encoder)[:, number], rgb.mean(1) * 3 / 7)


@pytest.mark.parametrize("bands", [("ir", "red", "green"), ("red", "green", "blue", "ir"), ("blue", "green", "red")])
def test_up_to_four_bands_have_filters_in_file_order(pretrained, bands):
    encoder = build_encoder(Architecture("resnet18", "segformer", 2, len(bands)), pretrained["resnet18"])
    before = first(encoder).clone()
    name_filters(encoder, bands)
    assert torch.equal(first(encoder), before)


def test_methods_build_networks_with_filters_by_name(pretrained):
    build = builder(MANY, pretrained["resnet18"])
    for encoder in (build.network().network.encoder, build.frozen_encoder().encoder):
        assert torch.equal(first(encoder)[:, 0], first(encoder)[:, 6])
        assert not torch.equal(first(encoder)[:, 0], first(encoder)[:, 1])


@pytest.mark.parametrize(
    ("bands", "composite"),
    [
        (("ir", "red", "green"), (0, 1, 2)),
        (("blue", "green", "red"), (0, 1, 2)),  # three bands stay in their order
        (("a", "b", "c"), (0, 1, 2)),
        (("red", "green", "blue", "ir"), (0, 1, 2)),
        (("blue", "green", "red", "ir"), (2, 1, 0)),
        (("height", "green", "red", "ir"), (3, 2, 1)),
        (MANY, (3, 2, 1)),
        (("red", "green", "blue", "ir", "height"), (0, 1, 2)),
        (("vv", "vh", "ratio", "ir"), None),
        (("red", "green", "height", "slope"), (0, 1, 1)),
        (("ir", "green", "blue", "height"), (0, 1, 2)),
        (("red", "green"), (0, 1, 1)),
        (("green", "red"), (1, 0, 0)),
        (("vv", "vh"), None),
        (("red", "height"), None),
        (("pan",), (0,)),
    ],
)
def test_a_composite_is_chosen_by_name(bands, composite):
    assert composite_of(bands) == composite


def builder(bands, weights):
    count = len(bands)
    spec = Spec(
        bands, 1.0, (0,) * count, (255,) * count, (0.5,) * count, (0.2,) * count,
        Legend(("roof", "tree"), (((255, 0, 0),), ((0, 255, 0),))),
    )  # fmt: skip
    return NetworkBuilder(Architecture("resnet18", "segformer", 2, count), spec, weights)


def test_cells_of_many_bands_are_those_of_their_composite(pretrained):
    image = torch.rand(2, len(MANY), 64, 64)
    many, rgb = (builder(bands, pretrained["resnet18"]) for bands in (MANY, ("red", "green", "blue")))
    assert many.pretrained_features and rgb.pretrained_features
    assert torch.equal(many.cell_encoder()(image), rgb.cell_encoder()(image[:, [3, 2, 1]]))
    assert many.network().network.encoder(image)[1].shape[0] == 2  # the network reads all bands


def test_cells_of_one_band_are_those_of_a_grey_image(pretrained):
    image = torch.rand(2, 1, 64, 64)
    one, rgb = (builder(bands, pretrained["resnet18"]) for bands in (("pan",), ("red", "green", "blue")))
    torch.testing.assert_close(one.cell_encoder()(image), rgb.cell_encoder()(image.expand(-1, 3, -1, -1)))
    assert not builder(("vv", "vh"), pretrained["resnet18"]).pretrained_features


def test_cells_of_two_bands_read_the_shorter_wave_twice(pretrained):
    image = torch.rand(2, 2, 64, 64)
    two, rgb = (builder(bands, pretrained["resnet18"]) for bands in (("green", "red"), ("red", "green", "blue")))
    assert two.pretrained_features
    assert torch.equal(two.cell_encoder()(image), rgb.cell_encoder()(image[:, [1, 0, 0]]))
    assert two.network().network.encoder(image)[1].shape[0] == 2  # the network reads both bands


def test_weights_for_other_bands_have_no_composite(pretrained, tmp_path):
    file = tmp_path / "seven.pth"
    torch.save(build_encoder(Architecture("resnet18", "segformer", 2, len(MANY))).state_dict(), file)
    assert not builder(MANY, str(file)).pretrained_features
    assert not builder(MANY, "none").pretrained_features
    assert not builder(("vv", "vh", "ratio", "ir"), pretrained["resnet18"]).pretrained_features


class Branches(torch.nn.Module):
    """Begins with two convolutions of the image, as RepVGG and FastViT do, and goes on with a third."""

    output_stride, out_channels = 32, ()

    def __init__(self, bands):
        super().__init__()
        self.wide, self.narrow = torch.nn.Conv2d(bands, 8, 3, 2, 1), torch.nn.Conv2d(bands, 8, 1, 2)
        self.next = torch.nn.Conv2d(8, 8, 1)


def test_all_convolutions_of_the_image_take_the_bands():
    file, encoder = Branches(3).state_dict(), Branches(6)
    changed = dict(file)
    repeat_filters(encoder, changed)
    assert torch.equal(changed["narrow.weight"], file["narrow.weight"].repeat(1, 2, 1, 1) / 2)
    encoder.load_state_dict(changed)
    name_filters(encoder, ("blue", "green", "red", "ir", "swir1", "swir2"))
    assert torch.equal(encoder.wide.weight[:, 2], changed["wide.weight"][:, 0])
    assert torch.equal(encoder.narrow.weight[:, 0], changed["narrow.weight"][:, 2])
    assert torch.equal(encoder.next.weight, file["next.weight"])
