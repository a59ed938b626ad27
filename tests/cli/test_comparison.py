"""The last table of a run fits a terminal, and says when the score without labels fell."""

from types import SimpleNamespace

import pytest

from rsuda.cli.terminal import print_comparison


def finished(before, after, scores=None, references=()):
    return SimpleNamespace(
        settings=SimpleNamespace(training=SimpleNamespace(steps=400)),
        scores=scores,
        before=SimpleNamespace(what="source only, step 200", miou=0.3, selection=before),
        label_free=SimpleNamespace(selection=after),
        references=references,
    )


@pytest.mark.parametrize(("before", "after", "fell"), [(0.355, 0.326, True), (0.3, 0.4, False), (0.4, 0.4, False)])
def test_a_fall_of_the_score_without_labels_is_said(capsys, before, after, fell):
    print_comparison(finished(before, after))
    assert ("the score without labels fell" in capsys.readouterr().out) is fell


def test_table_of_the_sample_tiles_fits_80_columns_and_its_scores_speak_for_themselves(capsys):
    references = [SimpleNamespace(what="upper bound: trained on the target's labels", miou=0.767)]
    scores = SimpleNamespace(scores=SimpleNamespace(miou=0.6))
    print_comparison(finished(0.5, 0.4, scores, references))
    out = capsys.readouterr().out
    assert "60.0" in out and max(map(len, out.splitlines())) <= 80 and "fell" not in out
