"""Test the picture of a run: what is before and after, that labels are not read, and that training does not notice."""

import shutil

import numpy as np
from PIL import Image
from tiny_cities import options

from rsuda.data.find_domain import find_target
from rsuda.evaluation.preview import PREVIEW_BEFORE, watch_preview, windows, write_preview
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import PREVIEW, saved_settings
from rsuda.runs.weights import load_run
from rsuda.training.train import train

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


def picture_of(folder, **changes):
    settings = saved_settings(folder).changed(changes)
    target = find_target(settings)
    predictor = Predictor.of(load_run(folder), "cpu", "fp32")
    return Image.open(write_preview(predictor, folder, settings, target)), predictor, settings, target


def test_before_is_the_model_at_the_end_of_the_source_only_phase(tiny_city, tmp_path):
    mixed = {"source_only_share": 0.5}
    plain = {"standardise": "imagenet", "band_mixing": 0.0, "target_statistics": False}
    settings = options(tiny_city, method="dacs", options=mixed, **plain)
    target = find_target(settings)
    train(settings, tmp_path / "plain", quiet=True)
    train(settings, tmp_path / "run", quiet=True, callbacks=watch_preview(settings, target, tmp_path / "run"))
    one, other = (load_run(tmp_path / name).model.state_dict() for name in ("plain", "run"))
    assert all(one[name].equal(other[name]) for name in one)  # training did not notice
    stored = np.load(tmp_path / "run" / PREVIEW_BEFORE)
    assert stored.shape[0] == 4
    picture, predictor, _, _ = picture_of(tmp_path / "run")
    shown = panels(picture)
    assert len(shown[0]) == 3 and not (tmp_path / "run" / PREVIEW_BEFORE).exists()
    palette = np.array(predictor.trained.spec.legend.palette)
    drawn = [window.valid.shape[0] for window in windows(target, settings, predictor.trained.spec)]
    assert len(drawn) == 3
    for row, classes in zip(shown, stored[1:], strict=True):
        middle = PANEL // (2 * drawn[0])
        seen = row[1][middle :: PANEL // drawn[0], middle :: PANEL // drawn[0]][: drawn[0], : drawn[0]]
        valid = classes < 255
        assert np.array_equal(seen[valid], palette[classes[valid]])


def test_run_without_such_a_phase_has_no_before(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    picture, *_ = picture_of(run)
    assert len(panels(picture)[0]) == 2
    content = (run / PREVIEW).read_bytes()
    picture_of(run)
    assert (run / PREVIEW).read_bytes() == content


def test_before_is_the_run_that_training_starts_from(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    picture, *_ = picture_of(run, **{"network.start": str(tiny_run)})
    for row in panels(picture):
        assert np.array_equal(row[1], row[2])  # it is the same model


def test_windows_are_drawn_without_labels(tiny_run, monkeypatch):
    settings = saved_settings(tiny_run)
    target, spec = find_target(settings), load_run(tiny_run).spec
    first = [window.unit for window in windows(target, settings, spec)]
    monkeypatch.setattr("rsuda.geo.scene.Scene.read_label", None)
    again = [window.unit for window in windows(target, settings, spec)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
