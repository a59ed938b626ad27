"""Commands load what they use, and modules that stand for others give way to them."""

import pickle
import subprocess
import sys
from contextlib import suppress
from importlib import import_module

import pytest
import torch
from torch import nn

from rsuda.learning import optimizers
from rsuda.learning.quick_imports import _disabled_later, postponed
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


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package 'standalone' with a package 'tools', in whose place a stand-in may be."""
    tools = tmp_path / "standalone" / "tools"
    tools.mkdir(parents=True)
    (tmp_path / "standalone" / "__init__.py").write_text("")
    (tools / "__init__.py").write_text("size, colour = 3, 'red'\n")
    (tools / "inner.py").write_text("depth = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "standalone"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("from standalone.tools import colour", True),
        ("import standalone.tools as tools; tools.size = 9", True),
        ("from importlib import import_module; import_module('standalone.tools').size", False),
    ],
)
def test_whatever_an_import_asks_of_a_stand_in_the_module_itself_answers(code, loaded):
    with postponed("standalone.tools", size=1):
        exec(code, {})
        assert hasattr(sys.modules["standalone.tools"], "__file__") is loaded
    tools = import_module("standalone.tools")
    assert tools.size == (9 if "= 9" in code else 3) and tools is import_module("standalone").tools
    assert import_module("standalone.tools.inner").depth == 7


@pytest.mark.usefixtures("package")
def test_an_import_within_a_stand_in_fails_and_succeeds_after_it():
    with suppress(Exception), postponed("standalone.tools", size=1):
        import_module("standalone.tools.inner")
    assert "standalone.tools" not in sys.modules and import_module("standalone.tools.inner").depth == 7


@pytest.mark.usefixtures("package")
def test_a_module_that_is_loaded_already_has_no_stand_in():
    tools = import_module("standalone.tools")
    with postponed("standalone.tools", size=1):
        assert import_module("standalone.tools") is tools
    assert tools.size == 3


def test_a_torch_without_the_decorator_stays_so(monkeypatch):
    monkeypatch.delattr("torch.compiler.disable")
    with _disabled_later():
        assert not hasattr(torch.compiler, "disable")


def test_functions_are_kept_from_the_compiler_from_when_it_is_loaded(monkeypatch):
    before, calls = torch.compiler.disable, []
    monkeypatch.setattr(torch.compiler, "disable", lambda function, **how: calls.append(how) or function)
    with _disabled_later():
        plain, named = torch.compiler.disable(len), torch.compiler.disable(recursive=False)(len)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    assert plain([1]) == named([1]) == 1 and not calls
    monkeypatch.setitem(sys.modules, "torch._dynamo", torch)
    assert plain([1]) == named([1]) == named([2]) == 1 and calls == [{}, {"recursive": False}]
    monkeypatch.undo()
    assert torch.compiler.disable is before


def test_libraries_that_cannot_be_imported_so_are_imported_as_any_other():
    code = """
import sys, torch
sys.modules["torchvision.ops"] = sys.modules["lightning.pytorch"] = None
from rsuda.learning.quick_imports import import_encoders, import_lightning
import_lightning()
del sys.modules["torchvision.ops"], sys.modules["lightning.pytorch"]
import torchvision.ops, scipy.signal
import torch._dynamo.utils as utils
print(scipy.signal.windows.hamming(1)[0], torchvision.ops.roi_align.__name__, hasattr(utils, "__file__"))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.split() == ["1.0", "roi_align", "True"], answer.stderr


def test_shapes_alone_have_no_values_and_draw_nothing():
    state = torch.random.get_rng_state()
    with shapes_alone():
        layer = nn.Linear(3, 4)
        nn.init.normal_(layer.weight)
        nn.init.normal_(tensor=layer.bias)
    assert layer.weight.is_meta and layer.weight.shape == (4, 3) and layer.bias.shape == (4,)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["AdamW", "Adam", "SGD"])
def test_optimizers_without_the_compiler_step_as_those_of_torch(kind):
    def trained(optimizer_class):
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = optimizer_class(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            optimizer.step(lambda: layer(torch.ones(1, 3)).square().sum().backward())
        return layer, optimizer

    (one, first), (other, second) = trained(getattr(optimizers, kind)), trained(getattr(torch.optim, kind))
    assert torch.equal(one.weight, other.weight) and repr(first.state_dict()) == repr(second.state_dict())
    assert isinstance(pickle.loads(pickle.dumps(first)), getattr(torch.optim, kind))


def test_training_loads_no_compiler():
    code = """
import sys, torch
import rsuda.evaluation.before
from rsuda.learning.optimizers import AdamW
layer = torch.nn.Linear(3, 3)
optimizer = AdamW(layer.parameters(), fused=True)
layer(torch.ones(1, 3)).sum().backward()
optimizer.step()
print({"torch._dynamo", "sympy", "scipy.signal"} & set(sys.modules))
from lightning.fabric.wrappers import _unwrap_compiled
assert _unwrap_compiled(layer)[0] is layer
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()" and not answer.returncode, answer.stderr
