"""Calibration changes confidence alone, is written into the run and its exports, and needs labels."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely.geometry import Point

from rsuda.core.errors import ExistsError, InputError
from rsuda.evaluation.calibrate import calibrate
from rsuda.evaluation.reliability import BINS, Reliability, tally
from rsuda.inference.predict import predict
from rsuda.inference.segmenter import load
from rsuda.runs.weights import load_run

HOW = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16}


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


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


def test_points_of_an_accuracy_sample_calibrate_too(tiny_city, run, tmp_path):
    with rasterio.open(tiny_city / "west_1_image.tif") as image, rasterio.open(tiny_city / "west_1_label.tif") as label:
        colours, places = label.read(), [(row, col) for row in range(4, 128, 16) for col in range(4, 128, 16)]
        points = [Point(*image.xy(row, col)) for row, col in places]
        crs = image.crs
    names = [{(255, 255, 255): "a", (0, 0, 255): "b", (0, 255, 0): "c"}[tuple(colours[:, r, c])] for r, c in places]
    frame = gpd.GeoDataFrame({"reference": [None, *names[1:]]}, geometry=points, crs=crs).to_crs("EPSG:4326")
    frame.to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="name the scenes that they lie on by `scene`"):
        calibrate(run, tmp_path / "points.gpkg", **HOW)
    result = calibrate(run, tmp_path / "points.gpkg", scene=[tiny_city / "west_1_image.tif"], **HOW)
    assert (result.pixels, result.groups, result.held_out) == (63, 63, True)
    frame["reference"] = "marsh"
    frame.to_file(tmp_path / "others.gpkg")
    with pytest.raises(InputError, match=r"column 'reference' .* holds marsh, and the model's classes are a, b, c"):
        calibrate(run, tmp_path / "others.gpkg", scene=[tiny_city / "west_1_image.tif"], overwrite=True, **HOW)


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

    calibrate(run, tiny_city / "west.yaml", data=tiny_city, **HOW)
    module = load(run)
    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, probabilities = module(image), module({"image": image})["probabilities"]
    (temperature,) = module.spec.temperature
    assert torch.allclose(probabilities, (logits / temperature).softmax(1), atol=1e-5)
    pytest.importorskip("onnxruntime")
    from rsuda.export.export import export
    from rsuda.export.onnx_network import load_exported

    export(run, window=64, overlap=16)
    exported = load_exported(run / "model.onnx")
    assert exported.spec.temperature == module.spec.temperature
    here, there = (mapped(tiny_city, model, tmp_path / str(k)) for k, model in enumerate((run, exported)))
    assert (here.classes() == there.classes()).mean() > 0.999
    assert np.nanmax(np.abs(here.confidences() - there.confidences())) < 0.01
