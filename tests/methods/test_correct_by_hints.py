"""Hints correct the labels of a teacher by Bayes' rule."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsuda.core.legend import IGNORE
from rsuda.methods.blocks.hints import correct_by_hints, hint_logit


@given(st.integers(2, 9), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_a_hint_gives_the_product_of_its_chance_and_the_teachers(classes, accuracy, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(2, classes, 3, 5, dtype=torch.float64, generator=generator)
    hint = torch.randint(classes, (2, 3, 5), generator=generator).to(torch.uint8)
    says = torch.full((2, classes, 3, 5), (1 - accuracy) / (classes - 1), dtype=torch.float64)
    says.scatter_(1, hint[:, None].long(), accuracy)
    product = logits.softmax(1) * says
    corrected = correct_by_hints(logits, hint, accuracy).softmax(1)
    torch.testing.assert_close(corrected, product / product.sum(1, keepdim=True))


def test_a_teacher_that_knows_nothing_believes_the_hint_as_far_as_it_is_right():
    p = correct_by_hints(torch.zeros(1, 5, 1, 1), torch.tensor([[[3]]], dtype=torch.uint8), 0.8).softmax(1).flatten()
    torch.testing.assert_close(p, torch.tensor([0.05, 0.05, 0.05, 0.8, 0.05]))


def test_pixels_without_a_hint_stay_to_the_bit():
    logits = torch.randn(2, 4, 6, 6)
    hint = torch.full((2, 6, 6), IGNORE, dtype=torch.uint8)
    hint[0, 2:4, 1] = 2
    corrected = correct_by_hints(logits, hint, 0.9)
    changed = (corrected != logits).nonzero().tolist()
    assert changed == [[0, 2, 2, 1], [0, 2, 3, 1]]
    assert correct_by_hints(logits, None, 0.9) is logits


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_a_hint_that_is_right_by_chance_says_nothing(classes):
    assert hint_logit(0.5, 1) == 0 and math.isclose(
        hint_logit(1 / classes if classes > 1 else 0.3, classes), 0, abs_tol=1e-9
    )


def test_sums_are_in_single_precision():
    hint = torch.zeros(1, 2, 2, dtype=torch.uint8)
    assert correct_by_hints(torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16), hint, 0.8).dtype == torch.float32
