"""The learning rate warms up and decays once, or in both phases of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuda.core.setting_sections import OptimizerSettings
from rsuda.methods.base import Method
from rsuda.training.method_module import lr_factor

ONCE, TWICE = OptimizerSettings(warmup_steps=5), OptimizerSettings(warmup_steps=5, restart=True)
NUMBERS = st.integers(1, 300)


@given(NUMBERS, NUMBERS)
def test_each_phase_has_the_learning_rates_of_a_run_of_its_own(first: int, second: int) -> None:
    factors = [lr_factor(TWICE, step, first + second, first) for step in range(first + second)]
    assert factors == [lr_factor(ONCE, step, steps) for steps in (first, second) for step in range(steps)]


@given(NUMBERS)
def test_a_run_of_one_phase_does_not_restart(steps: int) -> None:
    once = [lr_factor(ONCE, step, steps) for step in range(steps)]
    for source_only in (0, steps):  # never source-only, or to its end
        assert [lr_factor(TWICE, step, steps, source_only) for step in range(steps)] == once
    assert [lr_factor(ONCE, step, steps, steps // 2) for step in range(steps)] == once


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 49, 400, 1000])
@given(share=st.one_of(st.floats(0, 1), st.sampled_from([k / 20 for k in range(21)])))
def test_the_phase_has_as_many_steps_as_are_source_only(steps: int, share: float) -> None:
    method = Method.__new__(_OfShare)
    method.options, method.steps = _Options(share), steps
    source_only = []
    for method.step in range(steps):
        source_only.append(method.source_only)
    assert source_only == sorted(source_only, reverse=True)
    assert sum(source_only) == method.source_only_steps


class _Options:
    def __init__(self, share: float) -> None:
        self.source_only_share = share


class _OfShare(Method):
    """A method of which only the phases matter."""

    def __init__(self) -> None: ...

    def loss(self, batch):  # type: ignore[no-untyped-def]
        raise NotImplementedError
