"""Check networks that are folded for prediction: the same answers, in fewer layers."""

import pytest
import torch
from torch import nn

from rsuda.learning.architecture import Architecture
from rsuda.learning.decoders import FoldedMLPDecoder
from rsuda.learning.device import autocast
from rsuda.learning.folding import FusedConvolution, for_prediction, without_batch_norm
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
