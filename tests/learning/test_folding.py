"""Check networks that are folded for prediction: the same answers, in fewer layers."""

import pytest
import torch
from timm.layers.mlp import GluMlp, Mlp
from torch import nn

from rsuda.learning.architecture import Architecture
from rsuda.learning.decoders import FoldedMLPDecoder
from rsuda.learning.device import autocast
from rsuda.learning.folding import FusedConvolution, FusedLinear, for_prediction, without_batch_norm
from rsuda.learning.network import PlainNetwork
from rsuda.learning.two_branch_network import TwoBranchNetwork

CPU = torch.device("cpu")
NETWORKS = [
    ("mobilenet_v2", "segformer"),
    ("tu-tf_efficientnet_lite0", "segformer"),
    ("resnet18", "deeplabv3plus"),
    ("tu-mobilenetv3_small_050", "unet"),
    ("mit_b0", "daformer"),
    ("resnet18", "deeplabv2"),
]


def network(encoder, decoder, kind=PlainNetwork):
    torch.manual_seed(0)
    model = kind(
        Architecture(encoder, decoder, 4, 3, 32, output_stride=16 if decoder == "deeplabv3plus" else 32)
    ).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def layers(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_folded_network_answers_as_the_trained_one(encoder, decoder, precision):
    model, image = network(encoder, decoder), torch.randn(2, 3, 96, 64)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    folded = for_prediction(model, 3, precision, CPU)
    with torch.inference_mode():
        expected = model(image)
        with autocast(precision, CPU):
            logits = folded(image)
    assert logits.dtype == torch.float32 and logits.is_contiguous()
    tolerance = float(expected.abs().max()) * (1e-4 if precision == "fp32" else 0.1)
    assert (logits - expected).abs().max() < tolerance
    assert layers(folded, FusedConvolution) and not layers(folded, nn.BatchNorm2d)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_activations_and_the_norm_of_the_decoder_are_folded():
    folded = for_prediction(network("mobilenet_v2", "segformer"), 3, "fp32", CPU)
    assert not layers(folded, (nn.ReLU6, nn.BatchNorm2d)) and len(layers(folded, FoldedMLPDecoder)) == 1


def test_both_branches_are_folded():
    model, image = network("mobilenet_v2", "segformer", TwoBranchNetwork), torch.randn(1, 3, 64, 64)
    folded = for_prediction(model, 3, "fp32", CPU)
    assert len(layers(folded, FoldedMLPDecoder)) == 2
    with torch.inference_mode():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-4, atol=1e-4)


class SharedActivation(nn.Module):
    """Convolutions whose definition says nothing of the order in which they are called."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.rest = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU())
        nn.init.constant_(self.norm.running_mean, 0.3)

    def forward(self, image):
        x = self.first(image)
        return self.rest(x + self.norm(x))


def test_network_that_folding_would_change_stays_as_it_is():
    model, image = SharedActivation().eval(), torch.randn(1, 3, 64, 64)
    assert without_batch_norm(model, 3) is model
    folded = for_prediction(model, 3, "fp32", CPU)
    assert len(layers(folded, nn.BatchNorm2d)) == 1 and len(layers(folded, FusedConvolution)) == 1
    with torch.inference_mode():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-4, atol=1e-5)


class Doubled(nn.Linear):
    """A linear layer that does more than its base."""

    def forward(self, x):
        return 2 * super().forward(x)


class Blocks(nn.Module):
    """The linear layers of transformers: with an activation, without bias, in another order, of another kind."""

    def __init__(self):
        super().__init__()
        self.mlp, self.gated = Mlp(3, 8, 6), GluMlp(6, 8)
        self.tanh = nn.Sequential(nn.Linear(6, 6, bias=False), nn.GELU(approximate="tanh"))
        self.last = Doubled(6, 5)

    def forward(self, image):
        x = image.permute(0, 2, 3, 1)
        return self.last(self.tanh(self.gated(self.mlp(x)))).permute(0, 3, 1, 2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_linear_layers_are_fused_with_activations_that_follow_them(precision):
    torch.manual_seed(0)
    model, image = Blocks().eval(), torch.randn(2, 3, 32, 64)
    folded = for_prediction(model, 3, precision, CPU)
    fused = layers(folded, FusedLinear)
    assert [layer.activation for layer in fused] == [
        ["gelu", [], "none"],  # of the MLP; its second layer has none
        *[["none", [], ""]] * 3,
        ["gelu", [], "tanh"],
    ]
    assert not layers(folded, nn.GELU) and len(layers(folded, nn.Sigmoid)) == len(layers(folded, Doubled)) == 1
    with torch.inference_mode(), autocast(precision, CPU):
        logits, expected = folded(image).float(), model(image).float()
    tolerance = float(expected.abs().max()) * (1e-5 if precision == "fp32" else 0.02)
    assert (logits - expected).abs().max() < tolerance
