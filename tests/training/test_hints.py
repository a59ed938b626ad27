"""Hints of the target, an old map or rough polygons, correct the pseudo labels of every method of self-training."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
import yaml
from method_runs import Interrupt, InterruptionError, run_settings
from shapely.geometry import box

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE
from rsuda.data.find_domain import domain, training_domains
from rsuda.data.pairs.patches import PatchDataset
from rsuda.methods import METHODS
from rsuda.runs.weights import load_run
from rsuda.training.build import build, check_run, common_ground
from rsuda.training.train import train

HINTED = [name for name, cls in METHODS.items() if "hint_accuracy" in cls.Options.model_fields]


def with_hints(data, folder, hints, **fields):
    """Write west as a domain with hints; its files stay where they are."""
    file = folder / "hinted.yaml"
    file.write_text(yaml.safe_dump({"extends": str(data / "west.yaml"), "name": "west", "hints": hints, **fields}))
    return str(file)


def old_map(data, folder, change=lambda label: label):
    """An old map of west, beside no image: copies of its labels, changed."""
    west = domain(str(data / "west.yaml"), data)
    for scene in west.scenes.values():
        with rasterio.open(scene.label) as file:
            label, profile = file.read(), file.profile
        (folder / "old").mkdir(exist_ok=True)
        with rasterio.open(folder / "old" / f"{scene.name}.tif", "w", **profile) as file:
            file.write(change(label))
    return f"{folder / 'old'}/"


def patches(data, target, method="dacs", **changes):
    settings, _ = check_run(run_settings(data, method, target=target, **changes))
    settings, pair, start = common_ground(settings, training_domains(settings))
    return PatchDataset(pair, settings, with_target=True), settings, pair, start


def test_a_patch_has_the_hints_of_its_own_place_and_everything_else_stays(two_cities, tmp_path):
    plain, *_ = patches(two_cities, str(two_cities / "west.yaml"))
    hinted, _, pair, _ = patches(two_cities, with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path)))
    west = domain(str(two_cities / "west.yaml"), two_cities)
    for item in range(4):
        one, other = plain[item], hinted[item]
        assert other.keys() - one.keys() == {"target_hint"}
        assert all(torch.equal(one[key], other[key]) for key in one)
        scene, window, _ = hinted._target_window(hinted._generator(1, item))
        label, _ = west.scenes[scene.name].read_label(west.legend, pair.gsd, window)
        assert torch.equal(other["target_hint"], torch.from_numpy(label)) and (label != IGNORE).any()


def test_hints_move_with_their_image(two_cities, tmp_path):
    dataset, settings, pair, start = patches(
        two_cities, with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path)), **{"patches.flip_rotate": True}
    )
    batch = torch.utils.data.default_collate([dataset[0], dataset[1]])
    marked = batch | {"target_image": batch["target_hint"][:, None].expand(-1, 3, -1, -1).float()}
    moved = build(settings, pair, start).augmentation.target(marked)
    mean, std = pair.target_spec.mean[0], pair.target_spec.std[0]
    back = (moved["target_image"][:, 0] * std + mean).round().to(torch.uint8)
    assert torch.equal(back, moved["target_hint"]) and not torch.equal(moved["target_hint"], batch["target_hint"])


def test_polygons_are_hints_where_they_lie_and_nowhere_else(two_cities, tmp_path):
    west = domain(str(two_cities / "west.yaml"), two_cities)
    first = west.split("train")[0]
    left, bottom, right, top = rasterio.transform.array_bounds(
        first.grid.height, first.grid.width, first.grid.transform
    )
    half = gpd.GeoDataFrame(
        {"kind": ["tower"]}, geometry=[box(left, bottom, (left + right) / 2, top)], crs=first.grid.crs
    )
    half.to_file(tmp_path / "osm.gpkg")
    name = west.legend.names[1]
    hints = {"files": str(tmp_path / "osm.gpkg"), "attribute": "kind", "classes": {"tower": name}}
    _, _, pair, _ = patches(two_cities, with_hints(two_cities, tmp_path, hints))
    grid = first.grid
    label, _ = pair.hints[first.name].read_label(pair.legend, None, (0, 0, grid.height, grid.width))
    assert (label[:, : grid.width // 2] == 1).all() and (label[:, grid.width // 2 :] == IGNORE).all()
    assert any(f"name {name} " in note for note in pair.notes)


def weights(path):
    return load_run(path).model.state_dict()


def equal(one, other):
    return all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("method", HINTED)
def test_every_method_learns_from_hints(two_cities, tmp_path, method):
    shifted = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path, lambda label: np.roll(label, 40, -1)))
    changes = {"steps": 2, "method.hint_accuracy": 0.999, "source_first": method == "source-free"}
    if method == "source-free":
        changes |= {"options": {"prototype_weight": 0.0, "source_only_share": 0.5}}
    elif method == "st-dasegnet":
        changes |= {"method.trust": "classes"}
    train(run_settings(two_cities, method, **changes), tmp_path / "plain", quiet=True)
    train(run_settings(two_cities, method, target=shifted, **changes), tmp_path / "hinted", quiet=True)
    assert not equal(weights(tmp_path / "plain"), weights(tmp_path / "hinted"))


def test_hints_that_are_right_by_chance_leave_the_run_as_it_is_to_the_last_bit(two_cities, tmp_path):
    target = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path))
    third = {"steps": 2, "method.hint_accuracy": 1 / 3}  # of three classes
    train(run_settings(two_cities, "dacs", **third), tmp_path / "plain", quiet=True)
    train(run_settings(two_cities, "dacs", target=target, **third), tmp_path / "hinted", quiet=True)
    assert equal(weights(tmp_path / "plain"), weights(tmp_path / "hinted"))


def test_an_interrupted_run_with_hints_goes_on_as_the_uninterrupted_one(two_cities, tmp_path):
    settings = run_settings(two_cities, "dacs", target=with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path)))
    train(settings, tmp_path / "whole", quiet=True)
    with pytest.raises(InterruptionError):
        train(settings, tmp_path / "cut", quiet=True, callbacks=[Interrupt()])
    train(settings, tmp_path / "cut", resume=True, quiet=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_a_run_without_the_source_reads_hints_too(two_cities, tmp_path):
    target = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path))
    dataset, *_ = patches(two_cities, target, "source-free")
    assert (dataset[0]["target_hint"] != IGNORE).any()


def test_a_method_that_reads_no_hints_says_so(two_cities, tmp_path, caplog):
    target = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path))
    train(run_settings(two_cities, "source-only", target=target, steps=1), tmp_path / "run", quiet=True)
    assert "method source-only does not use the hints" in caplog.text


def test_hints_that_cannot_help_are_refused_in_a_sentence(two_cities, tmp_path):
    with pytest.raises(MissingError, match=r"hints old/\*.tif of domain west match no file"):
        patches(two_cities, with_hints(two_cities, tmp_path, "old/*.tif"))
    far = gpd.GeoDataFrame({"kind": ["x"]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:32633")
    far.to_file(tmp_path / "far.gpkg")
    name = domain(str(two_cities / "west.yaml"), two_cities).legend.names[0]
    with pytest.raises(InputError, match="hints of west"):
        patches(two_cities, with_hints(two_cities, tmp_path, {"files": str(tmp_path / "far.gpkg"), "class": name}))
    with pytest.raises(InputError, match=r"hints.0: .*'lava'"):
        patches(two_cities, with_hints(two_cities, tmp_path, {"files": "a.gpkg", "class": "lava"}))
    others = [{"name": f"other {k}", "colour": colour} for k, colour in enumerate(colours(two_cities))]
    renamed = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path), legend=others)
    with pytest.raises(InputError, match=r"name none of the classes .*'classes' in its domain file"):
        patches(two_cities, renamed)


def colours(data):
    return [list(colour) for colour in domain(str(data / "west.yaml"), data).legend.palette]


def test_labels_of_the_target_change_nothing_beside_hints(two_cities, tmp_path):
    hints = old_map(two_cities, tmp_path)
    labelled = with_hints(two_cities, tmp_path, hints)
    train(run_settings(two_cities, "dacs", target=labelled, steps=2), tmp_path / "labelled", quiet=True)
    blind = with_hints(two_cities, tmp_path, hints, labels=[])
    assert not domain(blind, two_cities).has_labels("train")
    train(run_settings(two_cities, "dacs", target=blind, steps=2), tmp_path / "blind", quiet=True)
    assert equal(weights(tmp_path / "labelled"), weights(tmp_path / "blind"))


def test_a_scene_whose_hints_lie_elsewhere_is_left_out_with_the_reason(two_cities, tmp_path):
    target = with_hints(two_cities, tmp_path, old_map(two_cities, tmp_path), splits={"train": ["0", "1"]})
    with rasterio.open(tmp_path / "old" / "0.tif", "r+") as file:
        file.transform = rasterio.transform.from_origin(900_000, 10, 0.5, 0.5)
    _, _, pair, _ = patches(two_cities, target)
    assert list(pair.hints) == ["1"]
    assert any("those of 1 more are left out, the first since" in note for note in pair.notes)
