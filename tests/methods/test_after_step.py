"""Test what follows the student after each step: teachers of every kind, and the labeller of BiCL's rounds."""

import copy

import pytest
import torch

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.network import Architecture
from rsuda.methods import find_method, options_of
from rsuda.methods.base import NetworkBuilder

LEGEND = Legend(("road", "roof", "tree"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("tu-mobilenetv3_small_050", "segformer", 3, 3, 8, output_stride=16)


def method_of(name, **options):
    """A method whose student has moved away from its teachers."""
    method = find_method(name)(NetworkBuilder(ARCH, SPEC), options_of(name, options)).double()
    with torch.no_grad():
        for parameter in method.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return method


PAIRS = {  # teachers by name, and what of the model each follows
    "dacs": {"teacher": ""},
    "cluda": {"teacher": ""},
    "bicl": {"labeller": ""},
    "st-dasegnet": {"teacher_s": "head_s", "teacher_t": "head_t"},
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_teacher_moves_half_way_to_its_own_student_after_the_first_step(name):
    m = method_of(name, **({"strided": 1} if name == "st-dasegnet" else {"source_only_share": 0.0}))
    before = {teacher: copy.deepcopy(m.get_submodule(teacher).module) for teacher in PAIRS[name]}
    m.after_step()
    for teacher, student in PAIRS[name].items():
        new, now = (
            dict(part.named_parameters()) for part in (m.model.get_submodule(student), m.get_submodule(teacher).module)
        )
        for n, old in before[teacher].named_parameters():
            assert torch.allclose(now[n], (old + new[n]) / 2), n
            assert old.ndim == 0 or not torch.equal(old, new[n])


@pytest.mark.parametrize(
    ("steps", "rounds", "share"), [(20, 4, 0.0), (20, 4, 0.25), (21, 4, 0.2), (7, 3, 0.5), (3, 10, 0.0)]
)
def test_in_rounds_bicl_labels_by_the_student_as_it_was_at_the_start_of_the_round(steps, rounds, share):
    """The source-only phase ends with such a student too, so that no label comes from an untrained network."""
    m = method_of("bicl", static="rounds", rounds=rounds, source_only_share=share)
    m.step, m.steps = 0, steps
    m.start_from(m.model.state_dict())
    weight, of_labeller = (part.network.decoder.classifier.weight for part in (m.model, m.labeller.module))
    starts = {n for n in range(steps) if (n * rounds) // steps > ((n - 1) * rounds) // steps}
    wanted = None
    for m.step in range(steps):
        done = float(weight.detach().flatten()[0])
        if m.step in starts or m.step <= m.source_only_steps:
            wanted = done
        assert float(of_labeller.flatten()[0]) == wanted
        with torch.no_grad():
            weight.fill_(m.step + 1)
        m.after_step()
    assert len(starts) == min(rounds, steps)
