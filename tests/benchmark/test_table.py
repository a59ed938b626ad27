"""Test the numbers of a benchmark's table: means, gaps, intervals over scenes, differences, and choices without labels."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsuda.benchmark.bootstrap import Resamples, draw_scenes, gap_interval, interval, resample, resampled_miou
from rsuda.benchmark.comparison import compare, comparisons, unequal
from rsuda.benchmark.job import RESULT, BenchmarkRun
from rsuda.benchmark.label_free_choices import Choices, correlation, judge, ranks
from rsuda.benchmark.markdown import markdown
from rsuda.benchmark.plan import Plan
from rsuda.benchmark.rows import closed_gap, row_of, rows_of
from rsuda.benchmark.table import write_table
from rsuda.core.settings import Settings
from rsuda.evaluation.label_free import SCORES
from rsuda.evaluation.metrics import Scores

RNG = np.random.default_rng(5)
TWO = ("road", "roof")


def result_of(pair, method, seed, value, free=None, **changes):
    """The result of a run of this mIoU, in percent, without confusion matrices, as older versions wrote it."""
    return {
        "pair": pair, "row": method, "method": method, "seed": seed, "steps": 7, "miou": value / 100,
        "mf1": 0.5, "accuracy": 0.5, "kappa": 0.5, "seconds_per_step": 0.25, "peak_memory_mb": 800,
        "device": "cpu", "precision": "fp32", "threads": 1, "classes": {"road": {"iou": value / 100}},
        "label_free": dict.fromkeys(SCORES[1:], value / 100 if free is None else free), **changes,
    }  # fmt: skip


def by_scene(pair, method, seed, scenes, **changes):
    """The result of a run with these confusion matrices a scene."""
    scores = Scores(sum(scenes.values()), TWO)
    classes = {name: {"iou": float(iou)} for name, iou in zip(TWO, scores.iou, strict=True)}
    matrices = {name: matrix.tolist() for name, matrix in scenes.items()}
    return result_of(pair, method, seed, 100 * scores.miou, classes=classes, confusion_by_scene=matrices, **changes)


def planned(folder, results, **compared):
    """A plan of finished runs."""
    jobs = []
    for result in results:
        pair, method, seed = result["pair"], result["row"], result["seed"]
        job = BenchmarkRun(pair, method, seed, Settings(), folder / pair / method / str(seed))
        job.folder.mkdir(parents=True)
        (job.folder / RESULT).write_text(json.dumps(result))
        jobs.append(job)
    pairs, methods = (tuple(dict.fromkeys(result[key] for result in results)) for key in ("pair", "row"))
    compared = {"control": "source-only", **compared}
    return Plan("p", "About.", tuple(jobs), pairs, methods, "source-only", "oracle", **compared)


def scored(folder, scores, free=None, **compared):
    """A plan whose runs have these mIoU, {pair: {method: [by seed]}}, without having run."""
    results = [
        result_of(pair, method, seed, value, (free or {}).get(method))
        for pair, methods in scores.items()
        for method, values in methods.items()
        for seed, value in enumerate(values)
    ]
    return planned(folder, results, **compared)


def cells(table, start):
    line = next(row for row in table.splitlines() if row.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def matrices(scenes=6, good=40):
    """Confusion matrices of scenes of different difficulty."""
    return {str(i): RNG.integers(0, 30, (2, 2)) + good * np.eye(2, dtype=int) for i in range(scenes)}


def test_the_table_holds_mean_deviation_gap_and_ranks(tmp_path):
    plan = scored(
        tmp_path, {"a": {"source-only": [20, 30], "dacs": [40, 42, 44], "mic": [15], "oracle": [65]}}, {"mic": 0.9}
    )
    rows = rows_of(plan)
    assert closed_gap(rows[1], rows, plan) == pytest.approx(100 * (42 - 25) / (65 - 25))
    assert closed_gap(rows[0], rows, plan) is None and closed_gap(rows[3], rows, plan) is None
    table = markdown(plan, rows)
    assert cells(table, "| dacs") == [
        "dacs", "3", "7", "42.0 ± 2.0", "-", "42 %", "42.0 ± 2.0", "0.25", "800", "1", "2",
    ]  # fmt: skip
    assert "| mic | 1 | 7 | 15.0 | - | -25 % | 15.0 | 0.25 | 800 | 3 | 1 |" in table
    assert "### All pairs" not in table and "Rows differ" not in table


def test_differences_are_of_the_same_seed_against_the_control_and_the_twin(tmp_path):
    scores = {"source-only": [20, 30, 25], "plain": [40, 41], "dacs": [42, 40, 45], "oracle": [65]}
    plan = scored(tmp_path, {"a": scores}, twins={"dacs": "plain"})
    rows = rows_of(plan)
    table = markdown(plan, rows)
    lines = table[table.index("Differences") :].splitlines()[4:]
    assert lines[0] == "| plain | source-only | 0, 1 | +15.5 | - | +20.0, +11.0 | 2/2 | 1.0 x |"
    assert lines[1] == "| dacs | source-only | 0, 1, 2 | +17.3 | - | +22.0, +10.0, +20.0 | 3/3 | 1.0 x |"
    assert lines[2] == "| dacs | plain | 0, 1 | +0.5 | - | +2.0, -1.0 | 1/2 | 1.0 x |" and not lines[3]


def test_a_summary_of_several_pairs_stands_first(tmp_path):
    methods = {"source-only": [20], "dacs": [30], "oracle": [60]}
    plan = scored(tmp_path, {"a": methods, "b": {"source-only": [10], "oracle": [50]}})
    table = markdown(plan, rows_of(plan))
    assert table.index("### All pairs") < table.index("### a") < table.index("### b")
    assert cells(table, "| dacs") == ["dacs", "30.0, 25 %, +10.0", "-"]
    assert cells(table, "| oracle") == ["oracle", "60.0, -", "50.0, -"]


def test_rows_of_other_steps_precision_or_device_are_named_and_their_times_not_compared(tmp_path):
    results = [
        result_of("a", "source-only", 0, 20), result_of("a", "long", 0, 30, steps=14),
        result_of("a", "half", 0, 30, precision="bf16"), result_of("a", "dacs", 0, 25, seconds_per_step=0.5),
    ]  # fmt: skip
    plan = planned(tmp_path, results)
    rows = rows_of(plan)
    assert unequal(rows) == [
        "Rows differ in steps. 14: long; 7: the other runs.", "Rows differ in precision. bf16: half; fp32: the other runs.",
    ]  # fmt: skip
    assert all(sentence in markdown(plan, rows) for sentence in unequal(rows))
    assert [one.cost for one in comparisons(plan, rows, Resamples(0, {}))] == [2, None, 2]


def test_a_run_whose_memory_is_not_known_is_in_the_table(tmp_path):
    plan = planned(tmp_path, [result_of("a", "source-only", 0, 20, peak_memory_mb=None, seconds_per_step=None)])
    assert cells(markdown(plan, rows_of(plan)), "| source-only")[6:9] == ["20.0", "-", "-"]


# Intervals over scenes


@given(arrays(np.int64, (3, 4, 4), elements=st.integers(0, 50)))
def test_a_resample_of_each_scene_once_has_the_scores_of_the_whole(scenes):
    once = resampled_miou(scenes, np.ones((1, 3), int))
    assert once[0] == pytest.approx(100 * Scores(scenes.sum(0), tuple("abcd")).miou, nan_ok=True)


def test_draws_have_as_many_scenes_each_and_are_the_same_in_every_call():
    draws = draw_scenes(16)
    assert draws.shape[0] >= 1000 and (draws.sum(1) == 16).all() and (draws == draw_scenes(16)).all()
    assert draws.mean(0) == pytest.approx(np.ones(16), abs=0.1)


def test_one_scene_has_an_interval_without_width(tmp_path):
    plan = planned(tmp_path, [by_scene("a", "source-only", seed, matrices(1)) for seed in (0, 1)])
    row = rows_of(plan)[0]
    low, high = interval(resample([row]).of(row))
    assert low == high == pytest.approx(row.miou.mean())


def test_two_scenes_have_the_interval_that_is_counted_by_hand(tmp_path):
    """Of two scenes a quarter of the resamples holds one twice, a quarter the other, and half both."""
    good, bad = np.array([[10, 0], [0, 10]]), np.array([[0, 10], [10, 0]])
    plan = planned(tmp_path, [by_scene("a", "source-only", 0, {"x": good, "y": bad})])
    row = rows_of(plan)[0]
    values = resample([row]).of(row)
    assert set(np.round(values, 6)) == {0.0, round(100 / 3, 6), 100.0}
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.05) and interval(values) == (0.0, 100.0)


def test_equal_rows_differ_by_exactly_nothing(tmp_path):
    scenes = [matrices() for _ in range(3)]
    results = [by_scene("a", method, seed, scenes[seed]) for method in ("source-only", "copy") for seed in range(3)]
    rows = rows_of(planned(tmp_path, results))
    same = compare(rows[1], rows[0], resample(rows))
    assert same.interval == (0.0, 0.0) and same.by_seed.tolist() == [0, 0, 0] and same.wins == 0
    apart = interval(resample(rows).of(rows[0]))
    assert apart[1] > apart[0]


def test_a_gain_in_every_scene_has_a_narrow_interval_above_nothing(tmp_path):
    """What the runs share leaves their difference, so its interval is narrower than those of the scores."""
    scenes = matrices(12)
    better = {name: matrix + 10 * np.eye(2, dtype=int) for name, matrix in scenes.items()}
    ideal = {name: np.diag(matrix.sum(1)) for name, matrix in scenes.items()}
    results = [
        by_scene("a", "source-only", 0, scenes),
        by_scene("a", "dacs", 0, better),
        by_scene("a", "oracle", 0, ideal),
    ]
    plan = planned(tmp_path, results)
    rows = rows_of(plan)
    resamples = resample(rows)
    low, high = compare(rows[1], rows[0], resamples).interval
    wide = interval(resamples.of(rows[1]))
    assert 0 < low < rows[1].miou[0] - rows[0].miou[0] < high and high - low < (wide[1] - wide[0]) / 2
    limits = gap_interval(rows[1], rows[0], rows[2], resamples)
    assert 0 < limits[0] < closed_gap(rows[1], rows, plan) < limits[1] < 100
    table = markdown(plan, rows)
    assert f"{limits[0]:.0f} to {limits[1]:.0f}" in table and f"{low:+.1f} to {high:+.1f}" in table
    assert "of the 12 scenes" in table and gap_interval(rows[1], rows[2], rows[0], resamples) is None


def test_the_order_of_scenes_and_runs_without_matrices_do_not_matter(tmp_path):
    scenes = matrices()
    turned = dict(reversed(scenes.items()))
    results = [
        by_scene("a", "source-only", 0, scenes), by_scene("a", "dacs", 0, turned), result_of("a", "old", 0, 30),
        by_scene("a", "elsewhere", 0, {"z": scenes["0"]}),
    ]  # fmt: skip
    plan = planned(tmp_path, results)
    rows = rows_of(plan)
    resamples = resample(rows)
    assert compare(rows[1], rows[0], resamples).interval == (0.0, 0.0)
    assert (
        compare(rows[2], rows[0], resamples).interval is None and resamples.of(row_of(rows, "a", "elsewhere")) is None
    )
    assert [file.stat().st_size > 0 for file in write_table(plan, tmp_path)] == [True] * 3


# Choices without labels


def test_label_free_scores_are_judged_by_rank_and_by_what_choosing_by_them_costs(tmp_path):
    plan = scored(
        tmp_path,
        {"a": {"source-only": [20], "dacs": [39.5], "mic": [40], "oracle": [90]}},
        {"source-only": 0.3, "dacs": 0.2, "mic": 0.1, "oracle": 0.0},
    )
    judged = judge(rows_of(plan), plan)
    assert set(judged) == set(SCORES)
    agreement = judged["agreement"]
    assert math.isnan(agreement.correlation["a"]) and math.isnan(agreement.mean_correlation)  # of three runs
    assert agreement.among_all == agreement.among_methods == Choices(1, 20.0, 0, 0)
    assert "| agreement | - | - | 20.0 | 0, 0 of 1 | 20.0 | 0, 0 of 1 |" in markdown(plan, rows_of(plan))


def test_a_choice_among_all_runs_and_one_for_each_seed(tmp_path):
    """Scores equal to the mIoU choose best; the methods of a seed are the runs of this seed alone."""
    plan = scored(tmp_path, {"a": {"source-only": [20, 21], "dacs": [30, 19], "mic": [10]}, "b": {"mic": [5]}})
    judgement = judge(rows_of(plan), plan)["selection"]
    assert judgement.among_all == Choices(1, 0.0, 1, 1) and judgement.among_methods == Choices(2, 0.0, 2, 2)
    near = scored(tmp_path / "near", {"a": {"x": [20], "y": [20.5], "z": [10]}}, {"x": 0.9, "y": 0.5, "z": 0.1})
    assert judge(rows_of(near), near)["overlap"].among_all == Choices(1, pytest.approx(0.5), 0, 1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ranks_share_ties_and_sum_to_those_of_a_line(values):
    found = ranks(values)
    assert found.sum() == pytest.approx(len(values) * (len(values) + 1) / 2)
    order = np.argsort(found, kind="stable")
    assert all(values[a] >= values[b] for a, b in pairwise(order))


def test_rank_correlation():
    assert correlation([1, 2, 3, 4], [10, 20, 21, 30]) == pytest.approx(1)
    assert correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert math.isnan(correlation([1, 1, 1, 1], [1, 2, 3, 4])) and math.isnan(correlation([1, 2, 3], [1, 2, 3]))
