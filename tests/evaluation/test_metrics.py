"""Scores against hand-computed matrices and against their definitions, counted pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchmetrics.functional import classification as reference

from rsuda.evaluation.metrics import Scores, confusion

TWO = Scores(np.array([[20, 5], [10, 15]]), ("a", "b"))
K = 4
NAMES = ("a", "b", "c", "clutter")
values = st.sampled_from([0, 1, 2, 3, 255])
pair_of_maps = st.integers(0, 40).flatmap(
    lambda n: st.tuples(*[arrays.arrays(np.uint8, n, elements=values) for _ in range(2)])
)


def equal(result, expected):
    return np.allclose(np.asarray(result, float), np.asarray(expected, float), rtol=1e-12, equal_nan=True)


def share(part, whole):
    return part / whole if whole else math.nan


def mean(numbers):
    finite = [n for n in numbers if not math.isnan(n)]
    return share(sum(finite), len(finite))


def test_scores_of_a_matrix_computed_by_hand():
    assert equal(TWO.iou, [20 / 35, 15 / 30])
    assert equal(TWO.precision, [20 / 30, 15 / 20])
    assert equal(TWO.recall, [20 / 25, 15 / 25])
    assert equal(TWO.f1, [40 / 55, 30 / 45])
    assert equal(TWO.miou, (20 / 35 + 15 / 30) / 2)
    assert equal(TWO.mf1, (40 / 55 + 30 / 45) / 2)
    assert equal(TWO.accuracy, 0.7)
    assert equal(TWO.kappa, 0.4)  # chance is 25/50 * 30/50 + 25/50 * 20/50 = 0.5


def test_rows_of_the_confusion_matrix_are_labels_and_columns_predictions():
    matrix = confusion(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1]), 2)
    assert matrix.tolist() == [[1, 2], [0, 1]]


def test_ignored_labels_and_pixels_without_prediction_are_left_out():
    label, predicted = np.array([255, 0, 1, 255], np.uint8), np.array([0, 255, 1, 255], np.uint8)
    assert confusion(label, predicted, 2).tolist() == [[0, 0], [0, 1]]


@given(pair_of_maps)
def test_per_class_scores_equal_their_definitions_pixel_by_pixel(maps):
    label, predicted = maps
    seen = (label != 255) & (predicted != 255)
    scores = Scores(confusion(label, predicted, K), NAMES)
    for k in range(K):
        truth, prediction = seen & (label == k), seen & (predicted == k)
        both = (truth & prediction).sum()
        assert equal(scores.iou[k], share(both, (truth | prediction).sum()))
        assert equal(scores.precision[k], share(both, prediction.sum()))
        assert equal(scores.recall[k], share(both, truth.sum()))
        assert equal(scores.f1[k], share(2 * both, truth.sum() + prediction.sum()))


@given(pair_of_maps, st.sampled_from([(), ("clutter",), ("a", "clutter")]))
def test_means_accuracy_and_kappa_leave_classes_out_as_labels_only(maps, left_out):
    label, predicted = maps
    scores = Scores(confusion(label, predicted, K), NAMES, left_out)
    classes = [k for k, n in enumerate(NAMES) if n not in left_out]
    assert equal(scores.miou, mean([scores.iou[k] for k in classes]))
    assert equal(scores.mf1, mean([scores.f1[k] for k in classes]))
    seen = (label != 255) & (predicted != 255) & np.isin(label, classes)
    label, predicted = label[seen], predicted[seen]
    observed = share((label == predicted).sum(), len(label))
    assert equal(scores.accuracy, observed)
    chance = sum((label == k).mean() * (predicted == k).mean() for k in range(K)) if len(label) else math.nan
    kappa = math.nan if not chance < 1 - 1e-12 else (observed - chance) / (1 - chance)
    assert equal(scores.kappa, kappa)


def test_a_class_absent_from_label_and_prediction_is_nan_and_leaves_the_mean():
    scores = Scores(np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]]), ("a", "absent", "c"))
    assert np.isnan(scores.iou[1]) and np.isnan(scores.f1[1])
    assert equal(scores.miou, (3 / 4 + 4 / 5) / 2)
    assert scores.as_fields()["classes"]["absent"] == {
        "iou": None,
        "precision": None,
        "recall": None,
        "f1": None,
        "pixels": 0,
    }


def test_class_that_is_only_predicted_or_only_labelled_scores_zero():
    scores = Scores(np.array([[3, 2], [0, 0]]), ("a", "only predicted"))
    assert scores.iou[1] == 0 and scores.precision[1] == 0 and np.isnan(scores.recall[1])
    assert equal(scores.miou, 3 / 5 / 2)
    assert Scores(np.array([[3, 0], [2, 0]]), ("a", "only labelled")).iou[1] == 0


def test_pixels_predicted_as_an_excluded_class_count_as_missed():
    matrix = np.array([[6, 4], [2, 8]])
    scores = Scores(matrix, ("a", "clutter"), ("clutter",))
    assert equal(scores.miou, 6 / 12) and equal(scores.accuracy, 6 / 10)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_means_do_not_depend_on_the_order_of_classes(names):
    order = [("a", "b").index(n) for n in names]
    turned = Scores(TWO.matrix[np.ix_(order, order)], names)
    assert [turned.miou, turned.mf1, turned.accuracy] == pytest.approx([TWO.miou, TWO.mf1, TWO.accuracy])
    assert turned.kappa == pytest.approx(TWO.kappa)


def test_scores_without_pixels_are_nan_and_null_in_json():
    scores = Scores(np.zeros((2, 2), np.int64), ("a", "b"))
    assert all(math.isnan(v) for v in (scores.miou, scores.mf1, scores.accuracy, scores.kappa))
    fields = scores.as_fields()
    assert [fields[k] for k in ("miou", "mf1", "accuracy", "kappa")] == [None] * 4


def test_map_of_one_class_has_no_kappa():
    assert math.isnan(Scores(np.array([[5, 0], [0, 0]]), ("a", "b")).kappa)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_torchmetrics(seed):
    """torchmetrics counts in float32, without a class of its own for pixels without prediction."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, K, 2_000)
    predicted = np.where(rng.random(2_000) < 0.6, label, rng.integers(0, K, 2_000))
    label[rng.random(2_000) < 0.1] = 255
    scores = Scores(confusion(label.astype(np.uint8), predicted.astype(np.uint8), K), NAMES)
    maps, options = (torch.from_numpy(predicted), torch.from_numpy(label)), {"num_classes": K, "ignore_index": 255}
    assert (scores.matrix == reference.multiclass_confusion_matrix(*maps, **options).numpy()).all()
    for ours, theirs in (
        (scores.iou, reference.multiclass_jaccard_index), (scores.precision, reference.multiclass_precision),
        (scores.recall, reference.multiclass_recall), (scores.f1, reference.multiclass_f1_score),
    ):  # fmt: skip
        assert np.allclose(ours, theirs(*maps, average="none", **options), atol=1e-6)
    assert scores.miou == pytest.approx(float(reference.multiclass_jaccard_index(*maps, **options)), abs=1e-6)
    assert scores.mf1 == pytest.approx(float(reference.multiclass_f1_score(*maps, **options)), abs=1e-6)
    accuracy = reference.multiclass_accuracy(*maps, average="micro", **options)
    assert scores.accuracy == pytest.approx(float(accuracy), abs=1e-6)
    assert scores.kappa == pytest.approx(float(reference.multiclass_cohen_kappa(*maps, **options)), abs=1e-6)
