"""The two fast searches for the most likely class agree with torch."""

import pytest
import torch

from rsuda.learning.most_likely import most_likely, most_likely_probability


@pytest.mark.parametrize("classes", [1, 2, 3, 6, 8, 9, 20])
def test_searches_agree_with_torch(classes):
    probabilities = torch.randn(classes, 40, 50, generator=torch.Generator().manual_seed(classes)).softmax(0)
    best, label = probabilities.max(0)
    exact = most_likely(probabilities[None])
    assert torch.equal(exact[0][0], best) and torch.equal(exact[1][0], label)
    fast = most_likely_probability(probabilities)
    bits = (classes - 1).bit_length()
    assert ((best - fast[0]) >= 0).all() and ((best - fast[0]) <= best * 2.0 ** (bits - 23)).all()
    assert torch.equal(fast[1].long(), label) and fast[1].dtype == torch.uint8


def test_the_first_of_equal_probabilities_wins():
    best, label = most_likely_probability(torch.full((5, 2, 3), 0.2))
    assert (label == 0).all() and ((best - 0.2).abs() < 1e-6).all()
