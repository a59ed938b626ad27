"""Temperatures and biases are found again by a fit; temperatures never change the order of a pixel's probabilities."""

import pytest
import torch

from rsuda.learning.calibration import HIGHEST, LOWEST, fit_temperature, fit_vector, log_loss, tempered, unscaled


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


def test_vector_scaling_of_a_worked_example():
    # a model that is always unsure, and three of four pixels are of class 0: only a bias of ln 3 can say so
    probabilities, labels = torch.full((8, 2), 0.5), torch.tensor([0, 0, 0, 1] * 2)
    temperature, bias = fit_vector(probabilities, labels)
    scaled = tempered(probabilities, temperature, axis=1, bias=bias)
    assert torch.allclose(scaled, torch.tensor([0.75, 0.25]), atol=1e-3)
    assert sum(bias) == pytest.approx(0, abs=1e-3)
    # log 0.8 / 2 + 0.5 and log 0.2 / 1 - 0.5, by hand: e^0.3884 = 1.4746 and 0.2 e^-0.5 = 0.1213
    by_hand = tempered(torch.tensor([0.8, 0.2]), (2.0, 1.0), bias=(0.5, -0.5))
    assert by_hand.tolist() == pytest.approx([1.4746 / 1.5959, 0.1213 / 1.5959], abs=1e-4)


def test_vector_fit_finds_the_numbers_that_labels_were_drawn_with_and_may_change_classes():
    generator = torch.Generator().manual_seed(0)
    seen = (2 * torch.randn(40_000, 4, generator=generator)).softmax(1)
    temperature, bias = (2.0, 1.0, 0.8, 1.5), (1.0, -0.5, 0.0, -0.5)
    right = tempered(seen, temperature, axis=1, bias=bias)
    labels = torch.multinomial(right, 1, generator=generator)[:, 0]
    fitted = fit_vector(seen, labels)
    assert fitted[0] == pytest.approx(temperature, rel=0.06) and fitted[1] == pytest.approx(bias, abs=0.06)
    scaled = tempered(seen, fitted[0], axis=1, bias=fitted[1])
    assert log_loss(scaled, labels) < log_loss(tempered(seen, (fit_temperature(seen, labels),), 1), labels) - 0.05
    assert (scaled.argmax(1) != seen.argmax(1)).any()
    some = fit_vector(seen, labels, [0, 2])  # the others have the common temperature and no bias
    assert (
        some[0][1] == some[0][3] == pytest.approx(fit_temperature(seen, labels), abs=1e-3)
        and some[1][1] == some[1][3] == 0
    )


@pytest.mark.parametrize(
    ("temperature", "bias"),
    [((), ()), ((2.0,), ()), ((0.5, 1.0, 3.0), ()), ((0.5, 1.0, 3.0), (2.0, -1.0, 0.0))],
)
def test_scaling_is_undone(temperature, bias):
    logits = 4 * torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scaled = tempered(logits.softmax(1), temperature, axis=1, bias=bias)
    assert torch.allclose(unscaled(scaled, temperature, bias).softmax(1), logits.softmax(1), atol=1e-6)
