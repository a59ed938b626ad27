"""Calibration changes confidence alone, is written into the run and its exports, and needs labels."""

import json
import shutil
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from shapely.geometry import Point

from rsuda.api import evaluate
from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.evaluation.calibrate import calibrate
from rsuda.evaluation.fit_scaling import Scaling, choose, independent_labels, measure
from rsuda.evaluation.labelled_pixels import LabelledPixels
from rsuda.evaluation.reliability import BINS, Reliability, tally
from rsuda.evaluation.source_confidence import not_sharper
from rsuda.inference.predict import predict
from rsuda.inference.segmenter import load
from rsuda.runs.weights import load_run

HOW = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16}


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def one_place(monkeypatch):
    """Labels of one place are enough, since a tiny city is one."""
    monkeypatch.setattr("rsuda.evaluation.fit_scaling.ENOUGH_GROUPS", 1)


def mapped(city, run, out, **options):
    how = {**HOW, "polygons": None, "confidence": True, "probabilities": True, **options}
    return predict(city / "west_1_image.tif", run, out, **how)[0]


def test_ece_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    label, predicted, confidence = rng.integers(0, 3, 5000), rng.integers(0, 3, 5000), rng.random(5000)
    label[:100] = 255
    reliability = Reliability(tally(label.astype(np.uint8), predicted.astype(np.uint8), confidence, 3), ("a", "b", "c"))
    use, total = label != 255, 0.0
    for k in range(BINS):
        inside = use & (confidence >= k / BINS) & (confidence < (k + 1) / BINS)
        total += abs((label == predicted)[inside].mean() - confidence[inside].mean()) * inside.sum()
    assert reliability.ece == pytest.approx(total / use.sum()) and reliability.pixels == 4900
    assert reliability.accuracy == pytest.approx((label == predicted)[use].mean())
    assert len(reliability.as_fields()["diagram"]) == BINS


def test_errors_of_classes_that_cancel_are_in_the_mean_of_their_ece():
    """All pixels are 75 % sure; of those predicted as 0 half are right, of those predicted as 1 all: together it looks honest."""
    label = np.array([0, 1, 0, 1, 1, 1, 1, 1], np.uint8)
    predicted = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.uint8)
    reliability = Reliability(tally(label, predicted, np.full(8, 0.75), 2), ("a", "b"))
    assert reliability.ece == 0 and reliability.top_label_ece == 0.25
    assert reliability.class_ece == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("by_class", [False, True])
def test_one_command_changes_confidences_and_no_class(tiny_city, run, tmp_path, by_class):
    before = mapped(tiny_city, run, tmp_path / "before")
    result = calibrate(run, tiny_city / "west.yaml", "train", data=tiny_city, by_class=by_class, **HOW)
    assert len(result.temperature) == (3 if result.classes else 1) and result.fitted_on == "west, split train"
    assert load_run(run).spec.temperature == result.temperature
    assert json.loads((run / "calibration.json").read_text())["temperature"] == list(result.temperature)
    after = mapped(tiny_city, run, tmp_path / "after")
    assert (before.classes() == after.classes()).all()
    assert (before.confidences() != after.confidences()).any()
    assert (np.sort(before.class_probabilities(), 0)[-1] == before.confidences()).mean() > 0.99
    with pytest.raises(ExistsError, match=r"calibrated already .*overwrite=True"):
        calibrate(run, tiny_city / "west.yaml", data=tiny_city, **HOW)
    again = calibrate(run, tiny_city / "west.yaml", data=tiny_city, by_class=by_class, overwrite=True, **HOW)
    assert again.temperature == result.temperature


def test_vector_scaling_is_in_predictions_scores_and_the_loaded_model(tiny_city, run, tmp_path, one_place):
    import torch

    before = mapped(tiny_city, run, tmp_path / "before")
    result = calibrate(run, tiny_city / "west.yaml", "train", data=tiny_city, scaling="vector", **HOW)
    spec = load_run(run).spec
    assert (spec.temperature, spec.bias) == (result.temperature, result.bias) and len(spec.bias) == 3
    assert result.scaling == json.loads((run / "calibration.json").read_text())["scaling"] == "vector"
    after = mapped(tiny_city, run, tmp_path / "after")
    assert (before.classes() != after.classes()).any()
    probabilities = after.class_probabilities()
    chosen = np.take_along_axis(probabilities, after.classes()[None].astype(int), 0)[0]
    assert (chosen >= probabilities.max(0) - 1 / 254).all()
    scores = evaluate(run, tiny_city / "west.yaml", data=tiny_city, device="cpu", window=64, overlap=16).scores
    counts = np.bincount(after.classes().ravel(), minlength=3)
    assert (scores.matrix.sum(0) == counts).all()  # west's split val is the scene that was mapped
    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        sample = (module := load(run))({"image": image})
        wanted = module(image).log_softmax(1) / torch.tensor(spec.temperature).view(1, 3, 1, 1)
    wanted = (wanted + torch.tensor(spec.bias).view(1, 3, 1, 1)).softmax(1)
    assert torch.allclose(sample["probabilities"], wanted, atol=1e-5)
    assert (sample["prediction"] == wanted.argmax(1)).float().mean() > 0.999


def test_one_place_gets_one_temperature():
    pixels = scenes(0, 2, temperature=2.0)
    assert choose(replace(pixels, groups=0 * pixels.groups), "auto", by_class=False, enough=50)[0].kind == "temperature"


def scenes(seed, number, *, temperature=1.0, bias=(0, 0, 0), size=60):
    """Labelled pixels of scenes with class mixes of their own, where the model also has an error of its own in each scene."""
    rng, parts = np.random.default_rng(seed), []
    for scene in range(number):
        mix, error = 1.5 * rng.normal(size=3), 0.5 * rng.normal(size=3)
        logits = mix + 2 * rng.normal(size=(size, 3))
        right, seen = softmax(logits + error, 1), softmax(temperature * logits + np.array(bias), 1)
        labels = (right.cumsum(1) < rng.random((size, 1))).sum(1).clip(0, 2)
        parts.append((seen.astype(np.float32), labels.astype(np.uint8), np.full(size, scene)))
    return LabelledPixels(*map(np.concatenate, zip(*parts, strict=True)))


def chosen(draws, number, kind="auto", **world):
    """What is taken in each draw, and by how much the log loss of 40 other scenes falls."""
    kinds, gains = [], []
    for seed in range(draws):
        scaling, _ = choose(scenes(seed, number, **world), kind, by_class=False, enough=50)
        kinds.append("none" if scaling.temperature == (1.0,) else scaling.kind)
        others = scenes(1000 + seed, 40, **world)
        gains.append(measure(others, Scaling()).log_loss - measure(others, scaling).log_loss)
    return kinds, np.array(gains)


@pytest.mark.parametrize("draws", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_a_calibrated_model_loses_nothing_and_others_are_mended(draws):
    """Few scenes: a model that is honest on the whole, though not in each scene, gets hardly a scaling from them by chance."""
    _, gains = chosen(draws, 10)
    assert gains.mean() > -0.001 and gains.min() > -0.01
    kinds, gains = chosen(draws, 10, temperature=2.0)
    assert kinds.count("none") <= 0.1 * draws and gains.min() > 0.05
    kinds, gains = chosen(draws, 24, bias=(2.0, -1.0, 0.0))
    assert kinds.count("vector") >= 0.9 * draws and gains.mean() > 0.05


@settings(max_examples=30)
@given(st.integers(0, 999), st.floats(0, 1), st.booleans())
def test_a_share_of_a_scaling_keeps_at_least_its_share_of_a_gain(seed, share, vector):
    """The log loss is convex on the way from none to a scaling, which is why a share of it is the safe choice."""
    rng, pixels = np.random.default_rng(seed), scenes(seed, 2)
    inverse, bias = rng.uniform(0.3, 2, 3), tuple(rng.normal(size=3))
    full = Scaling(tuple(1 / inverse), bias if vector else ())
    ends = [measure(pixels, scaling).log_loss for scaling in (Scaling((1.0,)), full)]
    assert measure(pixels, full.nearer_to_none(share)).log_loss <= (1 - share) * ends[0] + share * ends[1] + 1e-4
    assert full.nearer_to_none(1) == full and full.nearer_to_none(0).temperature == (1.0,) * 3


def quarters(seed, number, each, *, size=60):
    """Labelled pixels of scenes in quarters, where the model is right on the whole and prefers classes by quarter."""
    rng, parts = np.random.default_rng(seed), []
    for quarter in range(number):
        bias = rng.normal(size=3)
        for scene in range(each):
            logits = 1.5 * rng.normal(size=3) + 2 * rng.normal(size=(size, 3))
            right, seen = softmax(logits + bias, 1), softmax(logits, 1)
            labels = (right.cumsum(1) < rng.random((size, 1))).sum(1).clip(0, 2)
            group = np.full(size, quarter * each + scene)
            parts.append((seen.astype(np.float32), labels.astype(np.uint8), group))
    return LabelledPixels(*map(np.concatenate, zip(*parts, strict=True)))


@pytest.mark.parametrize("draws", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_neighbouring_scenes_do_not_speak_for_other_quarters(draws):
    """Forty scenes of five quarters seem to ask for biases, which other quarters do not have."""
    kinds, gains = [], []
    for seed in range(4, 4 + draws):
        scaling, _ = choose(quarters(seed, 5, 8), "auto", by_class=False, enough=50)
        others = quarters(1000 + seed, 40, 2)
        kinds.append(scaling.kind)
        gains.append(measure(others, Scaling()).log_loss - measure(others, scaling).log_loss)
    assert kinds.count("vector") <= 0.1 * draws and np.mean(gains) > -0.002


@pytest.mark.parametrize("draws", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_auto_mends_classes_whose_errors_cancel_in_the_ece(draws):
    """A bias makes some classes too sure, and unsure logits others too unsure: the ECE is low, and that of classes is not."""
    world, changes = {"temperature": 0.85, "bias": (0.6, -0.3, -0.3)}, []
    for seed in range(draws):
        scaling, _ = choose(scenes(seed, 40, **world), "auto", by_class=False, enough=50)
        others = scenes(1000 + seed, 100, **world)
        before, after = measure(others, Scaling()), measure(others, scaling)
        assert before.ece < 0.04 < 0.07 < before.class_ece
        fields = ("ece", "class_ece", "log_loss", "accuracy")
        changes.append([getattr(after, name) - getattr(before, name) for name in fields])
    ece, class_ece, log_loss, accuracy = np.mean(changes, 0)
    assert class_ece < -0.05 and log_loss < -0.03 and accuracy > 0.01 and abs(ece) < 0.02


def test_labels_are_worth_what_their_places_tell():
    """Pixels that differ as much within a place as between places are independent; copies of one pixel are worth one."""
    rng = np.random.default_rng(0)
    raw = rng.dirichlet((1, 1, 1), 2000).astype(np.float32)
    labels = (raw.cumsum(1) < rng.random((2000, 1))).sum(1).clip(0, 2).astype(np.uint8)
    groups = np.arange(2000) // 100
    assert independent_labels(LabelledPixels(raw, labels, groups)) > 800
    first = groups * 100
    assert independent_labels(LabelledPixels(raw[first], labels[first], groups)) == pytest.approx(20, rel=0.02)
    assert independent_labels(LabelledPixels(raw, labels, np.arange(2000))) == 2000


def test_scalings_that_cannot_be_are_refused(run, tiny_city):
    with pytest.raises(InputError, match=r"unknown scaling 'matrix'"):
        calibrate(run, tiny_city / "west.yaml", data=tiny_city, scaling="matrix")
    with pytest.raises(
        InputError, match=r"too few for a vector scaling, which needs two classes of 1000 .* in 5 places"
    ):
        calibrate(run, tiny_city / "west.yaml", data=tiny_city, scaling="vector", **HOW)
    with pytest.raises(InputError, match=r"biases would have the source's shares of classes"):
        calibrate(run, from_source=True, scaling="vector")


def test_points_of_an_accuracy_sample_calibrate_too(tiny_city, run, tmp_path):
    with rasterio.open(tiny_city / "west_1_image.tif") as image, rasterio.open(tiny_city / "west_1_label.tif") as label:
        colours, places = label.read(), [(row, col) for row in range(4, 128, 16) for col in range(4, 128, 16)]
        points = [Point(*image.xy(row, col)) for row, col in places]
        crs = image.crs
    names = [{(255, 255, 255): "a", (0, 0, 255): "b", (0, 255, 0): "c"}[tuple(colours[:, r, c])] for r, c in places]
    frame = gpd.GeoDataFrame(
        {"reference": [None, *(f" {name.upper()}" for name in names[1:])]}, geometry=points, crs=crs
    ).to_crs("EPSG:4326")
    frame.to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="name the scenes that they lie on by `scene`"):
        calibrate(run, tmp_path / "points.gpkg", **HOW)
    with pytest.raises(MissingError, match=r"there is no file .*nowhere\.gpkg"):
        calibrate(run, tmp_path / "nowhere.gpkg", **HOW)
    result = calibrate(run, tmp_path / "points.gpkg", scene=[tiny_city / "west_1_image.tif"], **HOW)
    assert (result.pixels, result.groups, result.held_out) == (63, 63, True)
    frame["reference"] = "marsh"
    frame.to_file(tmp_path / "others.gpkg")
    with pytest.raises(InputError, match=r"column 'reference' .* holds marsh, and the model's classes are a, b, c"):
        calibrate(run, tmp_path / "others.gpkg", scene=[tiny_city / "west_1_image.tif"], overwrite=True, **HOW)


def test_a_source_makes_no_model_surer():
    """A sharper model is the wrong way on a target, where models are mostly too sure (Ovadia et al. 2019)."""
    assert not_sharper(Scaling((0.7,))) == (Scaling((1.0,)), (0.7,))
    assert not_sharper(Scaling((0.7, 1.5, 1.2), (), (0, 1))) == (Scaling((1.0, 1.5, 1.2), (), (0, 1)), (0.7,))
    assert not_sharper(Scaling((1.3,))) == (Scaling((1.3,)), ())


def test_without_labels_it_is_refused_or_named_biased(tiny_city, run):
    with pytest.raises(InputError, match=r"calibration needs labels of the target: pass `labels` .*biased under shift"):
        calibrate(run)
    result = calibrate(run, from_source=True, **HOW)
    assert result.estimate is not None and result.as_fields()["biased_under_shift"]
    assert 0 < result.estimate.atc <= 1 and 0 < result.estimate.confidence <= 1
    assert result.fitted_on == "source east, split val"


def test_undecided_pixels_are_a_class_of_the_map(tiny_city, run, tmp_path):
    plain = mapped(tiny_city, run, tmp_path / "plain")
    least = float(np.nanmedian(plain.confidences()))
    unsure = mapped(tiny_city, run, tmp_path / "unsure", min_confidence=least, polygons="gpkg", stac=True)
    decided = unsure.classes() != 3
    assert (unsure.classes()[decided] == plain.classes()[decided]).all() and 0.2 < decided.mean() < 0.8
    assert (plain.confidences()[decided] >= least - 1 / 254).all() and (
        plain.confidences()[~decided] <= least + 1 / 254
    ).all()
    assert (unsure.confidences() == plain.confidences()).all()
    assert unsure.area_m2["undecided"] == pytest.approx((~decided).sum() * 0.25)
    assert set(unsure.polygons_frame().name) == {*(np.array(["a", "b", "c", "undecided"])[np.unique(unsure.classes())])}
    with rasterio.open(unsure.raster) as file:
        assert file.tags()["RSUDA_MIN_CONFIDENCE"] == f"{least:g}" and file.colormap(1)[3][:3] == (150, 150, 150)
    assert "undecided" in (tmp_path / "unsure" / "west_1_image_classes.tif.aux.xml").read_text()
    assert unsure.class_probabilities().shape[0] == 3


@pytest.mark.slow
def test_torch_module_and_onnx_have_the_temperature(tiny_city, run, tmp_path):
    import torch

    calibrate(run, tiny_city / "west.yaml", data=tiny_city, by_class=False, **HOW)
    module = load(run)
    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, probabilities = module(image), module({"image": image})["probabilities"]
    (temperature,) = module.spec.temperature
    assert torch.allclose(probabilities, (logits / temperature).softmax(1), atol=1e-5)
    pytest.importorskip("onnxruntime")
    from rsuda.export.export import export
    from rsuda.runs.weights import load_run

    export(run, window=64, overlap=16)
    exported = load_run(run / "model.onnx")
    assert exported.spec.temperature == module.spec.temperature
    here, there = (mapped(tiny_city, model, tmp_path / str(k)) for k, model in enumerate((run, exported)))
    assert (here.classes() == there.classes()).mean() > 0.999
    assert np.nanmax(np.abs(here.confidences() - there.confidences())) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "bias"), [((0.5, 2.0, 1.5), ()), ((0.5, 2.0, 1.5), (1.0, -0.5, 0.0))])
def test_exported_files_have_the_scaling_and_undo_it(tmp_path, temperature, bias):
    import torch

    pytest.importorskip("onnxruntime")
    from rsuda.export.programs import PROBABILITIES, Softmax, to_onnx, traced
    from rsuda.learning.calibration import tempered
    from rsuda.runs.onnx_network import OnnxNetwork

    network, image = torch.nn.Conv2d(3, 3, 3, padding=1), torch.randn(2, 3, 32, 32)
    program = traced(Softmax(network.eval(), temperature, bias), 3, 32)
    (tmp_path / "model.onnx").write_bytes(to_onnx(program, PROBABILITIES).SerializeToString())
    exported = OnnxNetwork(tmp_path / "model.onnx")
    with torch.inference_mode():
        plain = network(image).softmax(1)
        wanted = tempered(plain, temperature, axis=1, bias=bias)
        assert torch.allclose(program.module()(image), wanted, atol=1e-5)
        assert torch.allclose(exported.raw(image), wanted, atol=1e-5)
    exported.temperature, exported.bias = temperature, bias
    assert torch.allclose(exported(image).softmax(1), plain, atol=1e-4)
