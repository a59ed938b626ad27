"""Test the counting of scores with models that predict from pixel values."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from oracle_models import NAMES, by_value, engine, sure, trained, write

from rsuda.core.errors import ExistsError, InputError
from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate, write_scores
from rsuda.evaluation.metrics import confusion
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.sliding_window import predict_scene, predict_tile

SIZES = {"1": (150, 100), "2": (64, 65)}


def truth(n):
    """Labels of scene n: blocks of five classes, with unlabelled pixels."""
    rng = np.random.default_rng(int(n))
    height, width = SIZES[n]
    label = np.kron(rng.integers(0, 5, (10, 10)), np.ones((16, 16), int))[:height, :width].astype(np.uint8)
    label[rng.random(label.shape) < 0.1] = 255
    return label


def image_values(n):
    """Images of scene n: pixels are the label's class, wrong in a tenth of them."""
    rng = np.random.default_rng(10 + int(n))
    label = truth(n)
    return np.where((label == 255) | (rng.random(label.shape) < 0.1), rng.integers(0, 5, label.shape), label).astype(
        np.uint8
    )


def city(folder, names=NAMES, values=range(5), **extra):
    """A labelled domain of two scenes whose label values are the indices of NAMES."""
    for n in SIZES:
        write(folder / f"image_{n}.tif", np.stack([image_values(n)] * 2))
        write(folder / f"label_{n}.tif", truth(n)[None])
    fields = {
        "name": "city", "gsd": 0.5, "images": {"two": {"files": "image_{n}.tif", "bands": "red,green"}},
        "labels": ["label_{n}.tif"], "ignore": [255], "splits": {"val": ["*"], "first": ["1"]},
        "legend": [{"name": m, "value": v, "colour": [v, 0, 9]} for m, v in zip(names, values, strict=True)], **extra,
    }  # fmt: skip
    (folder / "city.yaml").write_text(yaml.safe_dump(fields))
    return domain(str(folder / "city.yaml"), folder)


def counted(names=SIZES):
    return sum(confusion(truth(n), image_values(n), 5) for n in names)


def labelled(n):
    return int((truth(n) != 255).sum())


@pytest.mark.parametrize("window, overlap", [(64, 16), (32, 0), (512, 128)])
def test_whole_scenes_count_each_labelled_pixel_once(tmp_path, window, overlap):
    evaluation = evaluate(engine(trained(by_value), window, overlap), city(tmp_path))
    assert (evaluation.scores.matrix == counted()).all()
    assert evaluation.scores.matrix.sum() == labelled("1") + labelled("2")
    assert (evaluation.scenes, evaluation.tiles, evaluation.off_palette) == (2, 0, 0)


def test_only_the_scenes_of_the_split_are_scored(tmp_path):
    evaluation = evaluate(engine(trained(by_value)), city(tmp_path), "first")
    assert (evaluation.scores.matrix == counted("1")).all() and evaluation.scenes == 1


def test_scores_count_the_scenes_pixels_at_any_gsd_of_the_model(tmp_path):
    evaluation = evaluate(engine(trained(by_value, gsd=0.25)), city(tmp_path))
    assert evaluation.scores.matrix.sum() == counted().sum()


def test_pixels_without_image_data_are_not_scored(tmp_path):
    place = city(tmp_path)
    write(tmp_path / "image_1.tif", np.stack([image_values("1")] * 2), nodata=3)
    evaluation = evaluate(engine(trained(by_value)), place, "first")
    assert evaluation.scores.matrix.sum() == ((truth("1") != 255) & (image_values("1") != 3)).sum()


def test_classes_of_different_legends_are_matched_by_name(tmp_path):
    # the model has the same classes in a different order, lacks one of them, and has one more
    names = ("soil", "water", "tree", "moor", "road")
    place, indices = city(tmp_path), {n: k for k, n in enumerate(names)}
    mapping = torch.tensor([indices.get(n, indices["moor"]) for n in NAMES])
    network = trained(lambda x: sure(mapping[x[:, 0].long().clamp(0, 4)]), names=names)
    evaluation = evaluate(engine(network), place)
    table = np.full(256, 255, np.uint8)
    table[:5] = [indices.get(n, 255) for n in NAMES]
    expected = sum(confusion(table[truth(n)], mapping.numpy()[image_values(n)], 5) for n in SIZES)
    assert (evaluation.scores.matrix == expected).all() and evaluation.scores.names == names
    assert expected.sum() < counted().sum()  # the domain's "roof" is unknown to the model, so it is not scored
    assert np.isnan(evaluation.scores.recall[indices["moor"]])


def test_off_palette_label_pixels_are_ignored_and_counted(tmp_path):
    place = city(tmp_path, NAMES[:4], range(4))
    network = trained(lambda x: sure(x[:, 0].clamp(0, 3).long(), 4), names=NAMES[:4])
    evaluation = evaluate(engine(network), place)
    assert evaluation.off_palette == sum((truth(n) == 4).sum() for n in SIZES)
    assert evaluation.scores.matrix.sum() == sum((truth(n) < 4).sum() for n in SIZES)


@pytest.mark.parametrize("clutter", [None, "soil"])
def test_a_clutter_class_is_scored_both_in_and_out_of_the_means(tmp_path, clutter):
    evaluation = evaluate(engine(trained(by_value)), city(tmp_path, **({"clutter": clutter} if clutter else {})))
    if clutter is None:
        assert evaluation.without_clutter is None and evaluation.as_fields()["without_clutter"] is None
        return
    assert evaluation.without_clutter.miou == pytest.approx(np.mean(evaluation.scores.iou[:4]))
    assert evaluation.scores.miou == pytest.approx(np.mean(evaluation.scores.iou))
    assert (evaluation.without_clutter.matrix == evaluation.scores.matrix).all()


# -- the tile lists of ST-DASegNet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride, tiles", [(32, {"1": (3, 2), "2": (1, 1)}), (64, {"1": (2, 1), "2": (1, 1)})])
def test_the_tile_protocol_scores_whole_tiles_and_drops_remainders(tmp_path, stride, tiles):
    place = city(tmp_path, protocol={"window": 64, "stride": stride})
    evaluation = evaluate(engine(trained(by_value)), place, protocol="st-dasegnet")
    expected, times = np.zeros((5, 5), int), {n: np.zeros(SIZES[n], int) for n in SIZES}
    for n, (down, across) in tiles.items():
        for i in range(down):
            for j in range(across):
                crop_labels = np.s_[i * stride : i * stride + 64, j * stride : j * stride + 64]
                expected += confusion(truth(n)[crop_labels], image_values(n)[crop_labels], 5)
                times[n][crop_labels] += 1
    assert (evaluation.scores.matrix == expected).all()
    assert evaluation.tiles == sum(a * b for a, b in tiles.values())
    assert times["1"].max() == (4 if stride == 32 else 1) and times["1"][-1, -1] == 0


@pytest.mark.parametrize("gsd", [0.5, 1.0])
def test_a_tile_is_predicted_like_a_scene_of_its_pixels(tmp_path, gsd):
    """This model uses its whole input, so pixels from outside the tile would change its prediction."""
    values = np.random.default_rng(5).uniform(0, 1, (1, 130, 170)).astype(np.float32)
    network = trained(lambda x: 9 * torch.cat([x - x.mean((2, 3), True), 0 * x], 1), ("grey",), gsd, names=NAMES[:2])
    tiler = engine(network)
    whole = Scene("whole", write(tmp_path / "whole.tif", values))
    for row, col in ((0, 0), (32, 64), (66, 106)):
        crop = write(tmp_path / f"{row}_{col}.tif", values[:, row : row + 64, col : col + 64])
        by_itself = predict_scene(engine(network, window=int(32 / gsd)), Scene("crop", crop)).classes
        assert (predict_tile(tiler, whole, row, col, 64) == by_itself).all()


# -- invalid input ---------------------------------------------------------------------------------------------


def test_a_domain_without_a_common_class_is_refused(tmp_path):
    network = trained(by_value, names=("a", "b", "c", "d", "e"))
    with pytest.raises(InputError, match="no name in common"):
        evaluate(engine(network), city(tmp_path))


def test_unknown_protocols_splits_and_missing_tile_lists_are_refused(tmp_path):
    place, network = city(tmp_path), engine(trained(by_value))
    with pytest.raises(InputError, match="did you mean 'scenes'"):
        evaluate(network, place, protocol="scene")
    with pytest.raises(InputError, match="no tile list"):
        evaluate(network, place, protocol="st-dasegnet")
    with pytest.raises(InputError, match="did you mean 'first'"):
        evaluate(network, place, "firsst")


def test_scenes_smaller_than_a_tile_are_refused(tmp_path):
    place = city(tmp_path, protocol={"window": 512, "stride": 256})
    with pytest.raises(InputError, match="512"):
        evaluate(engine(trained(by_value)), place, protocol="st-dasegnet")


@pytest.mark.parametrize("tiling", [{"window": 64}, {"window": 64, "stride": 0}, 64])
def test_a_tile_list_without_a_window_and_a_stride_is_refused(tmp_path, tiling):
    with pytest.raises(InputError, match="protocol"):
        city(tmp_path, protocol=tiling)


def test_a_label_mostly_outside_the_legend_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"label_1\.tif are outside the legend"):
        evaluate(engine(trained(by_value)), city(tmp_path, NAMES, range(20, 25)))


def test_labels_without_any_class_are_refused(tmp_path):
    place = city(tmp_path)
    write(tmp_path / "label_1.tif", np.full((1, *SIZES["1"]), 255, np.uint8))
    with pytest.raises(InputError, match="no pixel of split 'first'"):
        evaluate(engine(trained(by_value)), place, "first")


# -- files -------------------------------------------------------------------------------------------------------------


def test_json_and_csv_contain_the_scores_and_the_confusion_matrix(tmp_path):
    (tmp_path / "data").mkdir()
    evaluation = evaluate(engine(trained(by_value)), city(tmp_path / "data", clutter="soil"))
    json_file, csv_file = write_scores(evaluation, tmp_path)
    assert (json_file.name, csv_file.name) == ("scores_city_val.json", "scores_city_val.csv")
    fields = json.loads(json_file.read_text())
    assert fields["confusion"] == counted().tolist() and fields["scenes"] == 2 and fields["split"] == "val"
    assert fields["miou"] == pytest.approx(evaluation.scores.miou, abs=1e-6)
    assert fields["without_clutter"]["miou"] == pytest.approx(evaluation.without_clutter.miou, abs=1e-6)
    assert fields["classes"]["tree"]["pixels"] == counted()[2].sum()
    rows = list(csv.reader(csv_file.open()))
    assert rows[0] == ["class", "iou", "precision", "recall", "f1", "pixels", *NAMES]
    assert [r[0] for r in rows[1:]] == list(NAMES)
    assert [[int(v) for v in r[6:]] for r in rows[1:]] == counted().tolist()
    assert [float(r[1]) for r in rows[1:]] == pytest.approx(evaluation.scores.iou.tolist(), abs=1e-6)


def test_scores_of_another_protocol_or_split_do_not_replace_each_other(tmp_path):
    place, network = city(tmp_path, protocol={"window": 64, "stride": 32}), engine(trained(by_value))
    for split, protocol in (("val", "scenes"), ("first", "scenes"), ("val", "st-dasegnet")):
        write_scores(evaluate(network, place, split, protocol), tmp_path / "run")
    assert len(list((tmp_path / "run").iterdir())) == 6


def test_a_class_without_score_is_empty_in_csv_and_null_in_json(tmp_path):
    (tmp_path / "data").mkdir()
    names = (*NAMES, "moor")
    network = trained(lambda x: sure(x[:, 0].clamp(0, 4).long(), 6), names=names)
    json_file, csv_file = write_scores(evaluate(engine(network), city(tmp_path / "data")), tmp_path)
    assert json.loads(json_file.read_text())["classes"]["moor"]["iou"] is None
    assert list(csv.reader(csv_file.open()))[-1][:6] == ["moor", "", "", "", "", "0"]


def test_scores_record_how_the_scenes_were_predicted(tmp_path):
    (tmp_path / "data").mkdir()
    file, _ = write_scores(evaluate(engine(trained(by_value), 64, 16), city(tmp_path / "data")), tmp_path)
    assert json.loads(file.read_text())["prediction"] == {
        "precision": "fp32", "window": 64, "overlap": 16, "tta": "none", "device": "cpu",
    }  # fmt: skip


def test_different_scores_are_replaced_only_on_demand(tmp_path):
    (tmp_path / "data").mkdir()
    place, run = city(tmp_path / "data"), tmp_path / "run"
    good = evaluate(engine(trained(by_value)), place)
    bad = evaluate(engine(trained(lambda x: sure(torch.zeros_like(x[:, 0]).long(), 5))), place)
    file, table = write_scores(good, run)
    before = file.read_bytes(), table.read_bytes()
    assert write_scores(good, run) == (file, table)  # the same numbers are no conflict
    with pytest.raises(
        ExistsError, match=r"other scores \(mIoU 8.* at fp32, window 64; now mIoU .*\): pass overwrite=True"
    ):
        write_scores(bad, run)
    assert (file.read_bytes(), table.read_bytes()) == before
    file.write_text("[]")
    with pytest.raises(ExistsError, match="not readable"):
        write_scores(bad, run)
    write_scores(bad, run, overwrite=True)
    assert json.loads(file.read_text())["confusion"] == bad.scores.matrix.tolist()
