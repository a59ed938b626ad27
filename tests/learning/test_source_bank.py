"""Test the class means of a source: sums of batches against plain means, and cells of hardly any spread."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.learning.source_bank import CellSums, ClassPrototypes

DTYPES = (torch.float32, torch.float64)


def cells(seed, images=4, width=5, side=6, classes=3):
    """Cells (B, D, h, w) about a mean of their class, and labels of which some are ignored."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes + 1, (images, side, side), generator=draw)
    label = label.where(label < classes, 255)
    centre = torch.randn(classes + 1, width, generator=draw, dtype=torch.float64)[label.clamp(max=classes)]
    noise = torch.randn(images, side, side, width, generator=draw, dtype=torch.float64)
    return (centre + noise).permute(0, 3, 1, 2), label


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.integers(0, 1000), st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 3))
@settings(max_examples=15)
def test_sums_of_batches_have_the_means_and_the_deviation_of_all_cells(dtype, seed, sizes, classes):
    feature, label = cells(seed, sum(sizes), classes=classes)
    label[:, 0, :2] = 0
    sums = CellSums(classes + 1, 5, dtype)  # the last class has no cell
    for part, of in zip(feature.split(sizes), label.split(sizes), strict=True):
        sums.add(part, of)
    means, deviation = sums.moments()
    rows, of = feature.permute(0, 2, 3, 1).flatten(0, 2), label.flatten()
    present = [k for k in range(classes) if (of == k).any()]
    wanted = torch.stack([rows[of == k].mean(0) for k in present])
    about = torch.stack([(rows[of == k] - wanted.mean(0)).square().mean(0) for k in present])
    assert torch.allclose(means[present].double(), wanted, atol=1e-5) and (means[-1] == 0).all()
    assert torch.allclose(deviation.double(), about.mean(0).sqrt(), rtol=1e-4)
    assert sums.cells.tolist() == [int((of == k).sum()) for k in range(classes + 1)]


@pytest.mark.parametrize(("dtype", "spread"), [(torch.float32, 0.0), (torch.float32, 1e-3), (torch.float64, 0.0)])
def test_channels_of_a_great_constant_do_not_decide(dtype, spread):
    """Vision transformers have such channels; in single precision rounding is all that is left of their deviation."""
    draw, scores = torch.Generator().manual_seed(0), []
    for constants in (torch.zeros(20), torch.linspace(50, 900, 20)):
        there = (constants > 0)[:, None, None]
        sums = CellSums(3, 25, dtype)
        for seed in range(40):
            feature, label = cells(seed)
            great = constants[:, None, None] + there * spread * torch.randn(4, 20, 6, 6, generator=draw)
            sums.add(torch.cat([feature, great], 1).to(dtype), label)
        feature = torch.cat([cells(99)[0], constants[:, None, None].expand(4, -1, 6, 6)], 1).to(dtype)
        scores.append(ClassPrototypes(*sums.moments(), sums.cells)(feature))
    assert torch.allclose(scores[0], scores[1], atol=0.05)


def test_a_class_without_cells_scores_0_and_does_not_move_the_centre():
    means = torch.tensor([[4.0, 5.0], [6.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    scores = ClassPrototypes(means, torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([9, 3, 0]))
    found = scores(means[:2].T[None, :, None])[0, :, 0]
    # about (5, 4) and over (1, 2) the means are (-1, 0.5) and (1, -0.5)
    wanted = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(found, wanted)
