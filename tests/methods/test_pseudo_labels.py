"""Who labels, how far labels are trusted, and the losses that use them: closed forms and laws."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rsuda.core.errors import InputError
from rsuda.learning.losses import cross_entropy, entropy, labelled_cross_entropy
from rsuda.learning.target_statistics import estimate_statistics, running_statistics_kept
from rsuda.methods.blocks.discriminators import OutputDiscriminator, frozen_discriminator, real_loss
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.mixing import paste
from rsuda.methods.blocks.pseudo_labels import PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher, decay


def near(value, wanted, tolerance=1e-6):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(float(wanted), rel=tolerance, abs=tolerance)


def logits_of(label, confidence, classes):
    """Logits (B, K, H, W) whose softmax is ``confidence`` at the label and spreads the rest evenly."""
    label, confidence = torch.as_tensor(label), torch.as_tensor(confidence, dtype=torch.float64)
    rest = ((1 - confidence) / (classes - 1))[:, None].expand(-1, classes, -1, -1)
    return rest.scatter(1, label[:, None], confidence[:, None]).log()


# ---- trust ----------------------------------------------------------------------------------------------------------

CONFIDENCE = [[[0.99, 0.97], [0.96, 0.5]], [[0.9, 0.969], [0.6, 0.967]]]
LABEL = [[[0, 1], [2, 1]], [[1, 1], [0, 2]]]


def all_valid(shape):
    return torch.ones(shape, dtype=torch.bool)


def test_dacs_trusts_by_the_share_of_confident_pixels_of_the_whole_batch():
    """Three of eight pixels reach 0.968: two of the first image, one of the second."""
    found = PseudoLabelWeights(3, "share", 0.968, 0.5)(logits_of(LABEL, CONFIDENCE, 3), all_valid((2, 2, 2)))
    near(found.quality, 3 / 8)
    assert torch.allclose(found.weight, torch.full((2, 2, 2), 0.375, dtype=torch.float64))
    assert found.label.tolist() == LABEL
    assert torch.allclose(found.confidence, torch.tensor(CONFIDENCE, dtype=torch.float64))


def test_dacs_weights_pasted_pixels_fully_and_the_rest_by_their_quality():
    found = PseudoLabelWeights(3, "share", 0.968, 0.5)(logits_of(LABEL, CONFIDENCE, 3), all_valid((2, 2, 2)))
    mask = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [1, 1]]]).bool()
    weight = paste(mask, torch.ones(2, 2, 2, dtype=torch.float64), found.weight)
    assert weight.tolist() == [[[1, 0.375], [0.375, 0.375]], [[0.375, 0.375], [1, 1]]]


@pytest.mark.parametrize("rule", ["share", "pixels", "classes"])
def test_invalid_pixels_weigh_nothing_and_count_nowhere(rule):
    logits, valid = logits_of(LABEL, CONFIDENCE, 3), all_valid((2, 2, 2))
    valid[0, 0] = False  # two of the three confident pixels
    trust, other = PseudoLabelWeights(3, rule, 0.968, 0.5), PseudoLabelWeights(3, rule, 0.968, 0.5)
    found = trust(logits, valid)
    near(found.quality, 1 / 6)
    assert (found.weight[~valid] == 0).all() and (found.weight > 0).any()
    logits[0, :, 0] = logits_of(LABEL, CONFIDENCE, 3).flip(1)[0, :, 0] * 3
    changed = other(logits, valid)
    assert torch.equal(changed.weight, found.weight) and torch.equal(trust.level, other.level)


@pytest.mark.parametrize("rule", ["share", "pixels", "classes"])
def test_without_a_valid_pixel_nothing_is_trusted(rule):
    trust = PseudoLabelWeights(3, rule, 0.968, 0.5)
    found = trust(logits_of(LABEL, CONFIDENCE, 3), ~all_valid((2, 2, 2)))
    assert found.quality == 0 and (found.weight == 0).all() and (trust.level == -1).all()


def test_by_pixels_the_confident_ones_are_trusted_fully():
    found = PseudoLabelWeights(3, "pixels", 0.968, 0.5)(logits_of(LABEL, CONFIDENCE, 3), all_valid((2, 2, 2)))
    assert found.weight.tolist() == [[[1, 1], [0, 0]], [[0, 1], [0, 0]]]


def predictions(seed, top=(0.99, 0.9, 0.6), size=60):
    """Logits of three classes, of which each has its own range of confidences (1/3 .. ``top``)."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 3, (2, size, size), generator=generator)
    u = torch.rand(2, size, size, generator=generator, dtype=torch.float64)
    highest = torch.tensor(top, dtype=torch.float64)[label]
    return logits_of(label, 0.35 + u * (highest - 0.35), 3), label


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8, 1.0])
def test_by_classes_the_same_share_of_each_class_is_trusted(keep):
    logits, label = predictions(0)
    found = PseudoLabelWeights(3, "classes", 0.968, keep)(logits, all_valid(label.shape))
    for k in range(3):
        assert float(found.weight[label == k].mean()) == pytest.approx(keep, abs=0.005)
        confident = found.confidence[label == k][found.weight[label == k] > 0]
        assert len(confident) and confident.min() > found.confidence[label == k].quantile(1 - keep) - 1e-2
    assert set(found.weight.unique().tolist()) <= {0.0, 1.0}


def test_the_thresholds_of_classes_are_moving_averages():
    trust = PseudoLabelWeights(3, "classes", 0.968, 0.5)
    alone = []
    for top in ((0.99, 0.9, 0.6), (0.6, 0.7, 0.8)):
        logits, label = predictions(1, top)
        trust(logits, all_valid(label.shape))
        fresh = PseudoLabelWeights(3, "classes", 0.968, 0.5)
        fresh(logits, all_valid(label.shape))
        alone.append(fresh.level)
        if len(alone) == 1:
            assert torch.equal(trust.level, alone[0])
    assert torch.allclose(trust.level, 0.9 * alone[0] + 0.1 * alone[1])
    assert not torch.allclose(alone[0], alone[1], atol=0.05)


def test_looking_at_labels_without_following_changes_nothing():
    trust = PseudoLabelWeights(3, "classes", 0.968, 0.5)
    logits, label = predictions(2)
    assert (trust(logits, all_valid(label.shape), update=False).weight == 1).all()  # no class has been seen yet
    assert (trust.level == -1).all()
    first = trust(logits, all_valid(label.shape))
    level = trust.level.clone()
    again = trust(logits, all_valid(label.shape), update=False)
    assert torch.equal(trust.level, level) and torch.equal(again.weight, first.weight)
    trust(predictions(2, (0.5, 0.5, 0.5))[0], all_valid(label.shape), update=False)
    assert torch.equal(trust.level, level)


def test_a_class_that_is_never_predicted_keeps_no_threshold_and_takes_all_its_pixels_later():
    trust = PseudoLabelWeights(4, "classes", 0.968, 0.1)
    logits, label = predictions(3)
    logits = torch.cat([logits, torch.full_like(logits[:, :1], -50)], 1)
    trust(logits, all_valid(label.shape))
    assert trust.level[3] == -1 and (trust.level[:3] > 0).all()
    found = trust(logits_of([[[3, 0]]], [[[0.4, 0.36]]], 4), all_valid((1, 1, 2)), update=False)
    assert found.weight.tolist() == [[[1, 0]]]


def test_the_thresholds_are_saved_and_an_unknown_rule_is_named():
    trust, other = PseudoLabelWeights(3, "classes", 0.968, 0.5), PseudoLabelWeights(3, "classes", 0.968, 0.5)
    logits, label = predictions(4)
    trust(logits, all_valid(label.shape))
    other.load_state_dict(trust.state_dict())
    assert torch.equal(trust.level, other.level) and (other.level > 0).all()
    with pytest.raises(InputError, match="trust"):
        PseudoLabelWeights(3, "all", 0.968, 0.5)


# ---- teacher --------------------------------------------------------------------------------------------------------


def student_of():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout2d(0.5), nn.Conv2d(4, 2, 1))


def test_a_teacher_by_batch_normalises_by_the_batch_at_hand_and_drops_nothing():
    student, image = student_of(), torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 5 + 3
    by_batch, by_running = Teacher(student, 0.99, statistics="batch"), Teacher(student, 0.99)
    conv, norm, _, last = student
    feature = conv(image)
    mean, var = feature.mean((0, 2, 3), keepdim=True), feature.var((0, 2, 3), unbiased=False, keepdim=True)
    weight, bias = norm.weight[:, None, None], norm.bias[:, None, None]
    wanted = last((feature - mean) / (var + norm.eps).sqrt() * weight + bias)
    for _ in range(2):
        by_batch.train()
        assert torch.allclose(by_batch(image), wanted, atol=1e-5)
    assert not torch.allclose(by_running(image), wanted, atol=0.1)
    assert not by_batch.module[2].training and by_batch.module[1].training


def test_a_teacher_shown_the_target_keeps_the_targets_statistics_and_not_the_students():
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    teacher = Teacher(student, 0.5, statistics="target").train()
    target = [5 + 3 * torch.randn(8, 3, 6, 6) for _ in range(4)]
    seen = [student[0](x).detach() for x in target]
    answers = [teacher.predict(x) for x in target]
    mean = torch.stack([f.mean((0, 2, 3)) for f in seen]).mean(0)
    assert torch.allclose(teacher.module[1].running_mean, mean, atol=1e-5)
    assert torch.allclose(teacher(target[-1]), answers[-1], atol=1e-6)  # what it answers with is what it has by then
    for _ in range(3):
        student(torch.randn(8, 3, 6, 6))  # source images move the student's statistics
        teacher.update(student)
    assert torch.allclose(teacher.module[1].running_mean, mean, atol=1e-5)
    assert int(teacher.looks) == 4 and not any(m.training for m in teacher.modules())


def test_a_teacher_by_batch_shares_no_storage_and_takes_no_gradient():
    student = student_of()
    teacher = Teacher(student, 0.99, statistics="batch")
    teacher(torch.rand(2, 3, 4, 4))
    mine = {t.data_ptr() for t in student.state_dict().values()}
    assert not mine & {t.data_ptr() for t in teacher.state_dict().values()}
    assert not any(p.requires_grad for p in teacher.parameters())
    assert (student[1].running_mean == 0).all()  # what the teacher saw is not the student's


@pytest.mark.parametrize("top", [0.7, 0.99, 0.999])
def test_a_teachers_parameters_follow_by_the_schedule_and_its_statistics_are_copied(top):
    assert decay(98, 0.99) == pytest.approx(1 - 1 / 99) and decay(100, 0.99) == 0.99
    student = student_of()
    teacher = Teacher(student, top, statistics="batch")
    wanted = {n: p.detach().clone() for n, p in student.named_parameters()}
    for t in range(1, 8):
        with torch.no_grad():
            for s, p in enumerate(student.parameters()):
                p.copy_(torch.sin(torch.arange(p.numel()) + s + t).view_as(p))
        student(torch.rand(2, 3, 4, 4) + t)
        teacher.update(student)
        a = min(1 - 1 / (t + 1), top)
        wanted = {n: a * wanted[n] + (1 - a) * p.detach() for n, p in student.named_parameters()}
    for name, p in teacher.module.named_parameters():
        assert torch.allclose(p, wanted[name], atol=1e-6), name
    assert torch.equal(teacher.module[1].running_mean, student[1].running_mean)


# ---- batch norm -----------------------------------------------------------------------------------------------------


class Deep(nn.Module):
    """Two batch norms in a row, so that the second sees what the first makes of the images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
        self.drop, self.second, self.last = nn.Dropout(0.5), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, momentum=0.3)

    def forward(self, image):
        return self.last(self.second(self.drop(self.norm(self.first(image)).relu())))


@pytest.mark.parametrize("training", [False, True])
def test_estimated_statistics_are_plain_means_over_the_batches(training):
    model = Deep().train(training)
    model(torch.rand(3, 2, 4, 4))  # statistics of something else
    before = {n: p.clone() for n, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(3, 2, 5, 5, generator=generator) * (n + 1) + n for n in range(4)]
    assert estimate_statistics(model, iter(batches)) == 2

    found = {"norm": [], "last": []}
    with torch.no_grad():
        for images in batches:
            x = model.first(images)
            found["norm"].append((x.mean((0, 2, 3)), x.var((0, 2, 3))))
            x = F.batch_norm(x, None, None, model.norm.weight, model.norm.bias, True, eps=model.norm.eps)
            x = model.second(x.relu())
            found["last"].append((x.mean((0, 2, 3)), x.var((0, 2, 3))))
    for name, seen in found.items():
        norm = getattr(model, name)
        assert torch.allclose(norm.running_mean, sum(m for m, _ in seen) / 4, atol=1e-5)
        assert torch.allclose(norm.running_var, sum(v for _, v in seen) / 4, rtol=1e-4)
    assert all(m.training == training for m in model.modules())
    assert (model.norm.momentum, model.last.momentum) == (0.1, 0.3)
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())


def test_without_batch_norms_no_image_is_read():
    assert estimate_statistics(nn.Conv2d(1, 1, 1), iter(())) == 0
    unread = iter([torch.rand(1, 1, 2, 2)])
    assert estimate_statistics(nn.Conv2d(1, 1, 1), unread) == 0 and next(unread).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("fails", [False, True])
def test_without_a_whole_pass_over_batches_the_statistics_stay(fails):
    model = Deep().train()
    model(torch.rand(3, 2, 4, 4))
    before = {n: b.clone() for n, b in model.named_buffers()}

    def batches():
        if fails:
            yield torch.rand(3, 2, 4, 4) + 5
            raise OSError("the file has gone")

    if fails:
        with pytest.raises(OSError, match="gone"):
            estimate_statistics(model, batches())
    else:
        estimate_statistics(model, batches())
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    assert all(m.training for m in model.modules()) and model.norm.momentum == 0.1


def test_statistics_that_are_kept_do_not_move_and_normalise_by_the_batch():
    model, image = Deep().train(), torch.randn(3, 2, 5, 5) + 2
    model.drop.p = 0.0
    with running_statistics_kept(model):
        inside = model(image)
    assert (model.norm.running_mean == 0).all() and (model.last.running_var == 1).all()
    assert (model.norm.momentum, model.last.momentum) == (0.1, 0.3)
    assert torch.allclose(model(image), inside, atol=1e-6) and (model.norm.running_mean != 0).any()


# ---- losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 6, 19])
def test_even_predictions_cost_the_logarithm_of_the_classes(classes):
    logits = torch.full((2, classes, 3, 3), 7.0, dtype=torch.float64)
    label = torch.arange(18).reshape(2, 3, 3) % classes
    near(labelled_cross_entropy(logits, label), math.log(classes), 1e-12)
    near(entropy(logits, all_valid(label.shape)), math.log(classes), 1e-12)


def test_cross_entropy_is_the_mean_over_labelled_pixels_alone():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.arange(32).reshape(2, 4, 4) % 3
    label[:, :3] = 255
    near(labelled_cross_entropy(logits, label), F.cross_entropy(logits, label, ignore_index=255), 1e-12)
    near(cross_entropy(logits, label), F.cross_entropy(logits, label, ignore_index=255) / 4, 1e-12)


def test_entropy_is_the_mean_over_valid_pixels_of_the_closed_form():
    """Two classes at p = 3/4 and 1/4 in one pixel, certainty in another, anything where it is not valid."""
    logits = torch.tensor([[[[math.log(3), 50.0, 0.3]], [[0.0, -50.0, 0.1]]]], dtype=torch.float64)
    valid = torch.tensor([[[True, True, False]]])
    near(entropy(logits, valid), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 2, 1e-12)


@pytest.mark.parametrize("certain", [0.0, 1e4])
def test_without_a_label_or_a_valid_pixel_losses_are_zero_with_a_gradient_of_zeros(certain):
    logits = (torch.tensor([certain, 0.0, -certain])[None, :, None, None].expand(2, 3, 4, 4)).clone().requires_grad_()
    none = torch.full((2, 4, 4), 255)
    loss = labelled_cross_entropy(logits, none) + entropy(logits, none != 255)
    loss.backward()
    near(loss, 0)
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# ---- feature distance -----------------------------------------------------------------------------------------------


def test_a_cell_is_a_thing_when_one_thing_class_covers_three_quarters_of_it():
    label = torch.zeros(1, 4, 16, dtype=torch.long)
    label[0, :3, 0:4] = 1  # 12 of 16 pixels
    label[0, :3, 4:8] = 1
    label[0, 2, 7] = 0  # 11 of 16
    label[0, :2, 8:12], label[0, 2:, 8:12] = 1, 2  # two things, half each
    label[0, :, 12:] = 2
    assert thing_cells(label, [1, 2], (1, 4)).tolist() == [[[True, False, False, True]]]
    assert thing_cells(label, [1], (1, 4)).tolist() == [[[True, False, False, False]]]
    assert thing_cells(label, [], (1, 4)).tolist() == [[[False] * 4]]


def test_feature_distance_is_the_mean_euclidean_distance_of_chosen_cells():
    frozen = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    feature = frozen.clone()
    feature[0, :, 0, 0] += 3.0  # distance 6
    feature[0, 0, 0, 1] -= 5.0  # distance 5
    feature[0, :, 1, 1] += 100.0
    chosen = torch.tensor([[[True, True], [True, False]]])
    near(feature_distance(feature, frozen, chosen), 11 / 3)


def test_feature_distance_is_zero_where_no_cell_is_chosen_and_its_gradient_is_always_finite():
    feature = torch.rand(1, 4, 2, 2, requires_grad=True)
    loss = feature_distance(feature, torch.rand(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.detach() == 0 and (feature.grad == 0).all()
    feature_distance(feature, feature.detach(), all_valid((1, 2, 2))).backward()
    assert feature.grad.isfinite().all()


# ---- discriminator of outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (256, 32)])
def test_the_discriminator_of_outputs_answers_once_every_32_pixels(size):
    judge = OutputDiscriminator(5, base=4)
    assert judge(torch.rand(2, 5, *size)).shape == (2, 1, size[0] // 32, size[1] // 32)


def test_the_discriminator_of_outputs_has_the_published_layers():
    convolutions = [m for m in OutputDiscriminator(19) if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1]
    assert all((c.kernel_size, c.stride, c.padding) == ((4, 4), (2, 2), (1, 1)) for c in convolutions)
    slopes = [m.negative_slope for m in OutputDiscriminator(19) if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 4 and len(OutputDiscriminator(19)) == 9


def test_a_frozen_judge_gives_the_feature_its_gradient_and_takes_none():
    torch.manual_seed(0)
    judge = OutputDiscriminator(3, base=2)
    feature = torch.rand(1, 3, 32, 32, requires_grad=True)
    answer = frozen_discriminator(judge, feature)
    assert torch.equal(answer, judge(feature))
    answer.sum().backward()
    at_once = feature.grad.clone()
    assert all(p.grad is None and p.requires_grad for p in judge.parameters()) and at_once.abs().sum() > 0
    feature.grad = None
    judge(feature).sum().backward()
    assert torch.equal(feature.grad, at_once) and all(p.grad is not None for p in judge.parameters())


@pytest.mark.parametrize("answer", [-2.0, 0.0, 0.5, 3.0])
def test_the_losses_of_an_answer_have_their_closed_forms(answer):
    answers = torch.full((2, 1, 3, 3), answer)
    near(real_loss(answers, True, least_squares=True), (answer - 1) ** 2)
    near(real_loss(answers, False, least_squares=True), answer**2)
    near(real_loss(answers, True, least_squares=False), math.log1p(math.exp(-answer)))
    near(real_loss(answers, False, least_squares=False), math.log1p(math.exp(answer)))
