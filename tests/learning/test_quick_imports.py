"""Commands load what they use, and modules that stand for others give way to them."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from rsuda.learning.quick_imports import postponed
from rsuda.learning.shapes_alone import shapes_alone

_LATER = {"torch._dynamo", "geopandas", "pandas", "scipy.stats", "matplotlib", "lightning", "sympy"}


def test_prediction_loads_neither_a_compiler_nor_tables_before_its_first_window():
    code = f"""
import sys, rsuda.inference.predict
from rsuda.learning.network import Architecture, PlainNetwork
PlainNetwork(Architecture("tu-lcnet_050", "segformer", 3, 3, 16))
print(sorted({_LATER} & set(sys.modules)))
import torch, torchvision, torch._dynamo, geopandas
assert torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0, 4, 4]])], 2).mean() == 1
assert torch.compiler.disable.__module__ == "torch.compiler"
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.fixture
def unloaded(monkeypatch):
    for name in ("colorsys", "fractions"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("unloaded")
def test_a_module_is_loaded_when_more_of_it_is_asked_for():
    with postponed("colorsys", rgb_to_hsv="instead"):
        from colorsys import rgb_to_hsv

        assert rgb_to_hsv == "instead"
        from colorsys import hsv_to_rgb
    assert hsv_to_rgb is import_module("colorsys").hsv_to_rgb
    assert import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)


@pytest.mark.usefixtures("unloaded")
def test_a_stand_in_leaves_at_the_end():
    with postponed("fractions", gcd=None):
        import_module("fractions")
    assert import_module("fractions").Fraction(1, 2) + import_module("fractions").Fraction(1, 2) == 1


def test_shapes_alone_have_no_values_and_draw_nothing():
    state = torch.random.get_rng_state()
    with shapes_alone():
        layer = nn.Linear(3, 4)
        nn.init.normal_(layer.weight)
        nn.init.normal_(tensor=layer.bias)
    assert layer.weight.is_meta and layer.weight.shape == (4, 3) and layer.bias.shape == (4,)
    assert torch.equal(torch.random.get_rng_state(), state)
