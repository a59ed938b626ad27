"""Test the picture of a run: what is before and after, and that labels are not read."""

import shutil

import numpy as np
from PIL import Image

from rsuda.data.find_domain import find_target
from rsuda.evaluation.before import ModelBefore
from rsuda.evaluation.preview import windows, write_preview
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import PREVIEW, saved_settings
from rsuda.runs.weights import load_run

PANEL, GAP = 256, 12


def panels(picture):
    """The rows of panels of a picture, each (rows, columns) of pixels."""
    columns = (picture.width - GAP) // (PANEL + GAP)
    top = GAP + 15 + 8
    return [
        [
            np.asarray(picture)[top + k * (PANEL + GAP) :][:PANEL, GAP + column * (PANEL + GAP) :][:, :PANEL]
            for column in range(columns)
        ]
        for k in range(3)
    ]


def picture_of(folder, before=None):
    settings = saved_settings(folder)
    predictor = Predictor.of(load_run(folder), "cpu", "fp32")
    model = before and ModelBefore(Predictor.of(load_run(before), "cpu", "fp32"), "the run it starts from")
    return Image.open(write_preview(predictor, model, folder, settings, find_target(settings))), settings


def test_before_and_after_are_the_classes_of_both_models(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    picture, settings = picture_of(run, tiny_run)
    model = Predictor.of(load_run(run), "cpu", "fp32")
    palette = np.array(model.trained.spec.legend.palette)
    drawn = list(windows(find_target(settings), settings, model.trained.spec))
    assert len(drawn) == 3 and len(panels(picture)[0]) == 3
    side = drawn[0].valid.shape[0]
    for row, window in zip(panels(picture), drawn, strict=True):
        assert np.array_equal(row[1], row[2])  # it is the same model
        classes = model.probabilities(window.unit[None])[0].argmax(0)
        middle = PANEL // (2 * side)
        seen = row[1][middle :: PANEL // side, middle :: PANEL // side][:side, :side]
        assert np.array_equal(seen[window.valid], palette[classes[window.valid]])


def test_picture_without_a_before_stays(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / PREVIEW).unlink(missing_ok=True)
    picture, _ = picture_of(run)
    assert len(panels(picture)[0]) == 2
    content = (run / PREVIEW).read_bytes()
    picture_of(run)
    assert (run / PREVIEW).read_bytes() == content


def test_windows_are_drawn_without_labels(tiny_run, monkeypatch):
    settings = saved_settings(tiny_run)
    target, spec = find_target(settings), load_run(tiny_run).spec
    first = [window.unit for window in windows(target, settings, spec)]
    monkeypatch.setattr("rsuda.geo.scenes.scene.Scene.read_label", None)
    again = [window.unit for window in windows(target, settings, spec)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
