"""Training that starts from another run's network, and annotated windows as its source."""

import shutil

import numpy as np
import pytest
import rasterio
import torch
import yaml
from method_runs import SMALL, WITH_SOURCE, Interrupt, InterruptionError, built, run_settings
from short_settings import settings

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE
from rsuda.data.find_domain import domain, find_domains
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import PatchDataset
from rsuda.data.statistics.class_locations import ClassLocations
from rsuda.methods.blocks.teacher import Teacher
from rsuda.runs.weights import load_run, saved_settings
from rsuda.training.build import build, check_run, common_ground
from rsuda.training.train import train

WINDOWS = {"0": (96, 32, 64)}  # scene of west: row, column, size


@pytest.fixture(scope="module")
def data(two_cities, tmp_path_factory):
    """A copy of the cities, to which files are added."""
    return shutil.copytree(two_cities, tmp_path_factory.mktemp("annotated") / "data")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run from east to west, each standardised by itself, so that its spec is no default."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(run_settings(data, "source-only", standardise="domain"), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def annotated(data):
    """West with labels of a window in one of its scenes, by index, as `rio rasterize` leaves them."""
    fields = yaml.safe_load((data / "west.yaml").read_text())
    legend = [{**c, "value": k} for k, c in enumerate(fields["legend"])]
    for name, (row, col, size) in WINDOWS.items():
        with rasterio.open(data / f"west_{name}_label.tif") as file:
            truth, profile = file.read(), file.profile
        label = np.full((1, *truth.shape[1:]), IGNORE, np.uint8)
        here = np.s_[:, row : row + size, col : col + size]
        label[here] = (truth[2] == 0)[None][here]  # road and tree, or roof
        with rasterio.open(data / f"marks_{name}.tif", "w", **{**profile, "count": 1}) as file:
            file.write(label)
    fields |= {"name": "marked", "legend": legend, "labels": ["marks_{n}.tif"], "ignore": [IGNORE]}
    (data / "marked.yaml").write_text(yaml.safe_dump({**fields, "splits": {"train": list(WINDOWS)}}))
    return data / "marked.yaml"


@pytest.mark.parametrize("name", WITH_SOURCE)
def test_network_and_teachers_start_as_the_others_network(data, name):
    first, _, _ = built(data, name, seed=0)
    then, _, _ = built(data, name, seed=1)
    wanted = {k: v.clone() for k, v in first.model.state_dict().items()}
    assert any((v != wanted[k]).any() for k, v in then.model.state_dict().items())
    then.start_from(wanted)
    assert all(torch.equal(v, wanted[k]) for k, v in then.model.state_dict().items())
    for part, teacher in ((n, m) for n, m in then.named_modules() if isinstance(m, Teacher)):
        own = dict(first.named_modules())[part].module.state_dict()  # a copy of its student from the beginning
        running = ("running_mean", "running_var", "num_batches_tracked")
        for key, value in teacher.module.state_dict().items():
            assert torch.equal(value, own[key]) or key.endswith(running), (part, key)
        assert teacher.n_averaged == 1


def test_a_run_that_learns_nothing_ends_as_it_started_and_keeps_the_spec(data, run, annotated, tmp_path):
    s = settings(start=str(run), source=str(annotated), steps=1, lr=0.0)
    assert (s.target.name, s.network.channels, s.align.standardise) == (
        str(data / "west.yaml"),
        SMALL["channels"],
        "domain",
    )
    train(s, tmp_path / "second", quiet=True)
    before, after = load_run(run), load_run(tmp_path / "second")
    learnt = dict(before.model.named_parameters())
    assert learnt and all(torch.equal(v, learnt[k]) for k, v in after.model.named_parameters())
    assert after.spec.as_fields() == before.spec.as_fields()
    assert saved_settings(tmp_path / "second").network.start == str(run)


def test_windows_of_the_target_enter_as_the_target_does_and_another_source_by_itself(data, run, annotated):
    start = load_run(run).spec
    assert start.mean != pytest.approx((0.485, 0.456, 0.406))
    for source, own in ((annotated, True), (data / "east.yaml", False)):
        found = pair(*find_domains(s := settings(start=str(run), source=str(source))), s, start)
        assert found.target_spec == start and (found.source_spec == start) == own
    assert found.source_spec.mean != pytest.approx(start.mean)


def test_another_methods_options_are_not_taken_over(data, run, tmp_path):
    train(run_settings(data, "bicl", steps=1), tmp_path / "bicl", quiet=True)
    s = settings(start=str(tmp_path / "bicl"), method="source-only")
    assert check_run(s)[0].method.options == {"class_weights": "none"}
    assert settings(start=str(tmp_path / "bicl")).method.options["source_only_share"] == 0.0
    train(settings(start=str(tmp_path / "bicl"), method="dacs", steps=1), tmp_path / "dacs", quiet=True)
    assert load_run(tmp_path / "dacs").method == "dacs"


def test_a_plain_network_becomes_both_branches_of_st_dasegnet_and_a_resumed_run_is_exact(data, run, tmp_path, caplog):
    options = {"neighbours": 0.0, "strided": 1, "adversarial_weight": 0.01}
    s = settings(start=str(run), method="st-dasegnet", steps=3, options=options)
    checked, pair_of_run, start = common_ground(check_run(s)[0], find_domains(s))
    model, plain = build(checked, pair_of_run, start).method.model.eval(), load_run(run).model.eval()
    learnt = plain.network.encoder.state_dict()
    for branch in (model.backbone_s, model.backbone_t):
        assert all(torch.equal(values, learnt[name]) for name, values in branch.state_dict().items())
    image = torch.rand(1, 3, 128, 128)
    assert torch.allclose(model(image), plain(image), atol=1e-5)
    train(s, tmp_path / "whole", quiet=True)
    assert "ce_t" in (tmp_path / "whole" / "metrics.csv").read_text()  # both branches learn from the first step
    assert "source_only_share has no effect" in caplog.text
    with pytest.raises(InterruptionError):
        train(s, tmp_path / "cut", quiet=True, callbacks=[Interrupt()])
    train(s, tmp_path / "cut", resume=True, quiet=True)
    whole, cut = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_patches_hold_labelled_pixels_however_few_they_are(tmp_path):
    size, crop = 1500, 192
    rng = np.random.default_rng(0)
    label = np.full((1, size, size), IGNORE, np.uint8)
    label[:, 1300:1364, 70:134] = rng.integers(0, 2, (1, 64, 64))
    label[:, 200:264, 700:764] = 0
    profile = {"driver": "GTiff", "height": size, "width": size, "dtype": "uint8"}
    for name, values in (("image", rng.integers(0, 256, (3, size, size), np.uint8)), ("label", label)):
        with rasterio.open(tmp_path / f"a_{name}.tif", "w", count=len(values), **profile) as file:
            file.write(values)
    fields = {
        "gsd": 0.5, "images": {"RGB": {"files": "{n}_image.tif", "bands": "RGB"}}, "labels": ["{n}_label.tif"],
        "legend": [{"name": n, "colour": c, "value": v} for v, (n, c) in enumerate((("a", "#000000"), ("b", "#ffffff")))],
        "ignore": [IGNORE], "splits": {"train": ["a"]},
    }  # fmt: skip
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(fields))
    found = domain(str(tmp_path / "d.yaml"), tmp_path)
    s = settings(source="d", target="d", method="source-only", crop=crop)
    patches = PatchDataset(pair(found, found, s), s, with_target=False)
    assert patches.pair.class_locations.sparse
    drawn = [set(np.unique(patches[i]["source_label"])) - {IGNORE} for i in range(30)]
    assert 7 < drawn.count({0}) < 23  # the window of one class is learnt from as often as the other
    # the block is within the middle half of the patch, or at the edge of the scene
    assert min(int((patches[i]["source_label"] != IGNORE).sum()) for i in range(12)) > 500


def test_whole_labels_are_drawn_from_as_ever(data):
    _, patches, _ = built(data, "source-only")
    assert not patches.pair.class_locations.sparse
    few = ClassLocations(2)
    few.add(0, np.full((64, 64), IGNORE, np.uint8))
    few.add(1, np.pad(np.ones((10, 10), np.uint8), 100, constant_values=IGNORE))
    rng = np.random.default_rng(0)
    drawn = {few.draw_labelled(rng) for _ in range(200)}
    assert few.sparse and {scene for scene, *_ in drawn} == {1} and len(drawn) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gsd": 1.0}, r"`gsd` is 1.0, but the model of .* was trained at 0.5 m"),
        ({"method": "hrda"}, r"network of method source-only, which does not fit method hrda"),
        ({"channels": 32}, r"does not fit method source-only with .*: start from it by method='source-only'"),
        ({"source": "other.yaml"}, r"classes of other \(tree, road, roof\) differ from those .*\(road, roof, tree\)"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(data, run, tmp_path, given, says, monkeypatch):
    fields = yaml.safe_load((data / "east.yaml").read_text())
    fields |= {"name": "other", "legend": [fields["legend"][k] for k in (2, 0, 1)]}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(fields))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        train(settings(start=str(run), **given), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_start_that_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(MissingError, match=r"nowhere, where no run is: name a folder that holds config\.yaml"):
        settings(start=str(tmp_path / "nowhere"))
    shutil.copytree(run, tmp_path / "unfinished", ignore=shutil.ignore_patterns("weights.safetensors"))
    with pytest.raises(MissingError, match=r"holds no weights"):
        train(settings(start=str(tmp_path / "unfinished")), tmp_path / "out", quiet=True)
