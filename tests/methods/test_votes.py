"""Test the votes of the labelled source in a frozen encoder, by both modes, and ST-DASegNet's phase before them."""

import copy

import pytest
import torch

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.network import Architecture
from rsuda.learning.source_bank import ClassPrototypes
from rsuda.methods import options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks import nearest_means, similar_cells
from rsuda.methods.blocks.nearest_cells import CELLS, NearestCells
from rsuda.methods.blocks.nearest_means import NearestMeans
from rsuda.methods.blocks.votes import NoVotes, VoteOptions, Votes, build_votes
from rsuda.methods.source_only import SourceOnly
from rsuda.methods.st_dasegnet import STDASegNet
from rsuda.training.method_module import _key_of_today

LEGEND = Legend(("road", "roof", "tree"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("mobilenet_v2", "segformer", 3, 3, 32)
KEY = torch.tensor([5, 6])


MODES = ("neighbours", "prototypes")


def votes(mode="neighbours", spread=0.0, weight=1.0):
    torch.manual_seed(0)
    encoder = NetworkBuilder(ARCH, SPEC).cell_encoder(smooth=mode == "neighbours")
    witness = NearestCells(encoder.widths, 3) if mode == "neighbours" else NearestMeans(sum(encoder.widths), 3)
    return Votes(encoder, witness, 3, weight, spread)


def striped(shift=0.0, size=192):
    """Images whose three bands of rows have a colour each, and their labels."""
    label = torch.arange(size).div(size // 3, rounding_mode="floor").clamp(max=2)[None, :, None].expand(2, -1, size)
    colour = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    return colour[label].permute(0, 3, 1, 2) + shift + 0.1 * noise, label


def filled(mode="neighbours", **options):
    module = votes(mode, **options)
    image, label = striped()
    for step in range(6):
        module.observe(image, label, KEY + step, step)
    return module


@pytest.mark.parametrize("mode", MODES)
def test_cells_vote_for_the_class_of_what_looks_alike(mode):
    module = filled(mode)
    image, _ = striped(shift=0.2)
    r = module.vote(image)
    assert r.shape == (2, 3, 24, 24) and torch.allclose(r.sum(1), torch.ones(2, 24, 24))
    inner = [slice(1, 7), slice(9, 15), slice(17, 23)]  # away from the borders of classes
    assert all((r[:, :, rows].argmax(1) == k).float().mean() > 0.95 for k, rows in enumerate(inner))


def test_logits_stay_as_they_are_until_the_lists_are_half_full():
    module = votes()
    image, label = striped()
    logits = torch.randn(2, 3, 192, 192)
    module.observe(image, label, KEY, 0)
    assert not module.ready and module(logits, image, KEY) is logits
    for step in range(1, 4):
        module.observe(image, label, KEY, step)
    assert module.ready and not torch.equal(module(logits, image, KEY), logits)


@pytest.mark.parametrize(("mode", "weight"), [("neighbours", 0.5), ("neighbours", 3.0), ("prototypes", 1.0)])
def test_the_correction_is_the_weighted_mean_of_softmax_and_vote(mode, weight):
    module = filled(mode, weight=weight)
    image, _ = striped(shift=0.3)
    logits = torch.randn(2, 3, 192, 192, generator=torch.Generator().manual_seed(2))
    r = torch.nn.functional.interpolate(module.vote(image), (192, 192), mode="bilinear")
    wanted = (logits.softmax(1) + weight * r) / (1 + weight)
    assert torch.allclose(module(logits, image, KEY).exp(), wanted, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_class_without_source_cells_gets_no_votes_and_stops_none(mode):
    module = votes(mode)
    image, label = striped()
    for step in range(6):
        module.observe(image, label.where(label != 2, 255), KEY + step, step)
    assert module.ready and float(module.vote(image)[:, 2].abs().max()) == 0


def test_lists_forget_the_oldest_cells_and_slow_down():
    module = filled()
    assert module.witness.number.tolist() == [360] * 3
    image, label = striped()
    for step in range(6, 30):
        module.observe(image, label, KEY + step, step)
    assert module.witness.number.tolist() == [60 * (16 + 2)] * 3  # steps 0 to 15, 16 and 24
    assert module.witness.cells.shape[1] == CELLS and bool((module.witness.cells.abs().sum(-1) > 0).all())


def test_a_rare_class_does_not_hold_up_the_votes_of_the_others():
    """A class of fewer cells than vote waits until the source has shown many cells of the others, and then gets no votes."""
    witness, draw = NearestMeans(8, 3), torch.Generator().manual_seed(0)
    cells, label = torch.randn(1, 8, 50, 200, generator=draw), torch.zeros(1, 50, 200, dtype=torch.long)
    label[:, 25:], label[:, 0, :40] = 1, 2
    witness.learn(cells, label, KEY)
    assert not witness.ready
    label[:, 0, :40] = 0
    for _ in range(2):
        witness.learn(cells, label, KEY)
    assert witness.ready
    r = witness.votes(witness.directions(cells.permute(0, 2, 3, 1).flatten(0, 2)))
    assert float(r[:, 2].abs().max()) == 0 and torch.allclose(r.sum(1), torch.ones(len(r)))


def test_prototypes_are_the_means_of_all_cells_and_those_of_a_bank():
    module = filled("prototypes")
    image, label = striped()
    cells = module.encoder(image).permute(0, 2, 3, 1).flatten(0, 2)
    classes = torch.nn.functional.max_pool2d(label.float()[:, None], 8).long().flatten()
    means, _ = module.witness.sums.moments()
    assert all(torch.allclose(means[k], cells[classes == k].mean(0), atol=1e-4) for k in range(3))
    bank = module.witness.sums.bank((0.3, 0.3, 0.4), pretrained=True)
    assert torch.equal(bank.means, means) and bank.cells.tolist() == [6 * 2 * 24 * 8] * 3
    cosine = ClassPrototypes(bank.means, bank.deviation, bank.cells)(module.encoder(image))
    assert torch.allclose(module.vote(image), (nearest_means.SHARPNESS * cosine).softmax(1), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_similar_target_cells_share_their_labels(mode, monkeypatch):
    monkeypatch.setattr(similar_cells, "START", 500)
    module = filled(mode, spread=0.7)
    image, _ = striped(shift=0.2)
    sure = torch.zeros(2, 3, 192, 192)
    sure[:, 0] = 8.0
    for step in range(3):
        module(sure, image, KEY + step)
    number = module.similar.number.clone()
    assert int(number) == 750
    doubtful = torch.zeros(2, 3, 192, 192)
    assert float(module(doubtful, image).exp()[:, 0].mean()) > 0.4  # 1/3 without the list
    assert torch.equal(number, module.similar.number)  # without a key nothing is remembered


@pytest.mark.parametrize("spread", [0.2, 0.7])
def test_spreading_is_the_weighted_mean_with_the_labels_of_similar_cells(spread, monkeypatch):
    """p'' = (1 - a) p' + a q; without weight the votes leave p' to the logits."""
    monkeypatch.setattr(similar_cells, "START", 500)
    module, (image, _) = filled("prototypes", spread=spread, weight=0.0), striped(shift=0.2)
    logits = torch.randn(2, 3, 192, 192, generator=torch.Generator().manual_seed(2))
    for step in range(3):
        module(5 * logits, image, KEY + step)
    q = module.similar.labels_of(module._directions(image)).unflatten(0, (2, 24, 24)).permute(0, 3, 1, 2)
    q = torch.nn.functional.interpolate(q, (192, 192), mode="bilinear")
    assert torch.allclose(module(logits, image).exp(), (1 - spread) * logits.softmax(1) + spread * q, atol=1e-5)


def test_levels_of_a_cell_have_equal_weight_whatever_their_width():
    draw, witness = torch.Generator().manual_seed(0), NearestCells([2, 8], 2)
    witness.cells.copy_(torch.randn(2, CELLS, 10, generator=draw))
    witness.number.fill_(CELLS)
    z = witness.directions(torch.randn(5000, 10, generator=draw))
    assert torch.allclose(z.norm(dim=1), torch.ones(5000))
    levels = [part.square().sum(1).mean() for part in z.split([2, 8], 1)]
    assert float(levels[0]) == pytest.approx(0.5, abs=0.1) and float(levels[1]) == pytest.approx(0.5, abs=0.1)


def test_lists_of_unequal_length_vote_as_equal_ones():
    """All cells look alike, so that the nearest are of each class in proportion to its list, and votes are even."""
    draw = torch.Generator().manual_seed(0)
    witness = NearestCells([4, 8], 2)
    for number, label in ((CELLS, 0), (CELLS // 2, 1)):
        witness.cells[label, :number] = torch.randn(number, 12, generator=draw)
        witness.number[label] = number
    r = witness.votes(witness.directions(torch.randn(4000, 12, generator=draw)))
    assert torch.allclose(r.mean(0), torch.tensor([0.5, 0.5]), atol=0.03)


@pytest.mark.parametrize("mode", MODES)
def test_a_copy_with_the_saved_buffers_goes_on_alike(mode):
    module = filled(mode, spread=0.5)
    image, label = striped(shift=0.1)
    logits = torch.randn(2, 3, 192, 192)
    for step in range(6):
        module(logits, image, KEY + step)
    other = votes(mode, spread=0.5)
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    for either in (module, other):
        either.observe(image, label, KEY, 6)
    assert torch.equal(module(logits, image, KEY), other(logits, image, KEY))
    assert torch.equal(module.similar.labels, other.similar.labels)


def test_checkpoints_of_votes_without_modes_are_read():
    before = {"encoder.encoder.conv.weight": "encoder.encoder.conv.weight", "source_cells": "witness.cells",
              "source_number": "witness.number", "target_labels": "similar.labels"}  # fmt: skip
    for old, new in before.items():
        assert _key_of_today(f"method.neighbours.{old}") == f"method.votes.{new}"
    names = votes().state_dict()
    assert {"witness.cells", "witness.number", "similar.cells", "similar.labels", "similar.number"} <= set(names)


def test_votes_are_off_without_pretraining_or_for_other_bands():
    two = Spec(("vv", "vh"), 0.5, (0,) * 2, (255,) * 2, (0.5,) * 2, (0.25,) * 2, LEGEND)
    options = VoteOptions(neighbours=1.0, spread=0.5)
    assert isinstance(build_votes(NetworkBuilder(ARCH, SPEC, "none"), options), NoVotes)
    assert isinstance(build_votes(NetworkBuilder(ARCH, two, "imagenet"), options), NoVotes)
    assert isinstance(build_votes(NetworkBuilder(ARCH, SPEC, "imagenet"), VoteOptions(spread=0.5)), NoVotes)
    logits = torch.randn(1, 3, 4, 4)
    assert NoVotes()(logits, logits) is logits


# ---- the source-only phase of ST-DASegNet -----------------------------------------------------------------------------


@pytest.mark.parametrize("disentangle", [True, False])
@pytest.mark.parametrize("decoder", ["segformer", "deeplabv3plus"])
def test_two_equal_branches_predict_what_one_branch_does(disentangle, decoder):
    arch = Architecture("mobilenet_v2", decoder, 3, 3, 32, output_stride=32 if decoder == "segformer" else 16)
    options = options_of("st-dasegnet", {"strided": 1, "source_only_share": 0.5, "disentangle": disentangle})
    method = STDASegNet(NetworkBuilder(arch, SPEC), options)
    model = method.model.eval()
    image = torch.randn(1, 3, 96, 96)
    assert not torch.allclose(model(image), model.source_branch(image), atol=1e-3)
    method.steps = 2
    method.after_step()
    assert torch.allclose(model(image), model.source_branch(image), atol=1e-5)


def test_the_phase_ends_after_its_share_of_the_run():
    method = STDASegNet(NetworkBuilder(ARCH, SPEC), options_of("st-dasegnet", {"source_only_share": 0.5}))
    method.steps = 4
    phases = []
    for method.step in range(4):
        phases.append(method.source_only)
    assert phases == [True, True, False, False]


def test_without_votes_a_run_that_asks_for_them_is_source_only_and_says_so():
    two = Spec(("vv", "vh"), 0.5, (0,) * 2, (255,) * 2, (0.5,) * 2, (0.25,) * 2, LEGEND)
    arch = Architecture("mobilenet_v2", "segformer", 3, 2, 32)
    method = STDASegNet(NetworkBuilder(arch, two), options_of("st-dasegnet", {"neighbours": 1.0, "strided": 1}))
    batch = {"source_image": torch.randn(2, 2, 64, 64), "source_label": torch.zeros(2, 64, 64), "key": KEY}
    loss, terms = method.loss({**batch, "source_label": batch["source_label"].long()})
    assert set(terms) == {"ce_s"} and loss.isfinite()
    assert "vv, vh" in method.notes[0] and "method.neighbours" in method.notes[0]
    # it learns what source-only learns, from the same first weights
    torch.manual_seed(0)
    branch = STDASegNet(NetworkBuilder(arch, two), options_of("st-dasegnet", {"neighbours": 1.0, "strided": 1})).model
    torch.manual_seed(0)
    plain = SourceOnly(NetworkBuilder(arch, two), options_of("source-only", {})).model
    image = batch["source_image"]
    assert torch.equal(branch.eval().source_branch(image), plain.eval()(image))
    assert not STDASegNet(NetworkBuilder(arch, two), options_of("st-dasegnet", {"strided": 1})).notes
