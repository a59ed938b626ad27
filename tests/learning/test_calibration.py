"""Temperatures are found again by a fit, and never change the order of a pixel's probabilities."""

import pytest
import torch

from rsuda.learning.calibration import HIGHEST, LOWEST, fit_temperature, log_loss, tempered


def drawn(temperature, number=40_000, classes=4):
    """Probabilities that are too sure by a temperature, and labels drawn from the right ones."""
    generator = torch.Generator().manual_seed(0)
    right = (2 * torch.randn(number, classes, generator=generator)).softmax(1)
    labels = torch.multinomial(right, 1, generator=generator)[:, 0]
    return tempered(right, (1 / temperature,), axis=1), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 3.0])
def test_fit_finds_the_temperature_that_labels_were_drawn_with(temperature):
    probabilities, labels = drawn(temperature)
    fitted = fit_temperature(probabilities, labels)
    assert fitted == pytest.approx(temperature, rel=0.03)
    losses = [log_loss(tempered(probabilities, (t,), 1), labels) for t in (fitted, 0.97 * fitted, 1.03 * fitted)]
    assert losses[0] == min(losses)


def test_fit_ends_at_its_limits():
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    assert fit_temperature(probabilities, torch.tensor([0, 0])) == LOWEST
    assert fit_temperature(probabilities, torch.tensor([1, 1])) == HIGHEST


def test_tempered_equals_a_softmax_of_divided_logits_and_keeps_the_order():
    logits = torch.randn(2, 5, 30, 40, generator=torch.Generator().manual_seed(1))
    numbers = (0.5, 1.0, 2.0, 3.0, 8.0)
    one = tempered(logits.softmax(1), (2.5,), axis=1)
    assert torch.allclose(one, (logits / 2.5).softmax(1), atol=1e-6)
    best = logits.argmax(1, keepdim=True)
    many = tempered(logits.softmax(1), numbers, axis=1)
    assert torch.allclose(many, (logits / torch.tensor(numbers)[best]).softmax(1), atol=1e-6)
    for values in (one, many):
        assert torch.equal(values.argsort(1), logits.argsort(1)) and torch.allclose(values.sum(1), torch.ones(()))
    same = logits.softmax(1)
    assert tempered(same, ()) is same
