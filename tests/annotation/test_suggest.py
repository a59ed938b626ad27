"""Windows to annotate: chosen by networks that say where they are unsure, written where they lie."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch
from oracle_models import NAMES, by_value, engine, sure, trained, write
from torch import nn

from rsuda.annotation.candidates import candidates
from rsuda.annotation.suggest import suggest, write_suggestions
from rsuda.core.errors import ExistsError, InputError
from rsuda.data.domain import Domain
from rsuda.geo.scene import Scene
from rsuda.learning.network import Architecture, Decoder, resize


def wavering(image):
    """Sure of the class that the first band tells, unless it is 10 a + b: then it wavers between classes a and b, the
    more so the greater the second band, on 0..1."""
    first, second = (image[:, 0] // 10).long() % len(NAMES), image[:, 0].long() % 10 % len(NAMES)
    return sure(first) + image[:, 1:2] * (sure(second) - sure(first)) / 2


def one_scene(folder, values, name="a", **given):
    return Scene(name, write(folder / f"{name}.tif", np.asarray(values, np.float32), **given))


def of(*scenes):
    return Domain("there", {s.name: s for s in scenes}, None, None, {"all": [s.name for s in scenes]})


def field(height, width, unsure=()):
    """Sure of class 1 but in squares (row, col, size, a and b as 10 a + b, how much)."""
    values = np.stack([np.full((height, width), 11.0), np.zeros((height, width))])
    for row, col, size, kind, much in unsure:
        values[:, row : row + size, col : col + size] = np.array([kind, much])[:, None, None]
    return values


def test_the_uncertain_corner_is_found_and_described(tmp_path):
    domain = of(
        one_scene(tmp_path, field(256, 320)), one_scene(tmp_path, field(256, 320, [(192, 256, 64, 23, 1)]), "b")
    )
    (found,) = suggest(engine(trained(wavering)), domain, k=1, size=64)
    assert (found.scene, found.row, found.col, found.size, found.rank, found.of) == ("b", 192, 256, 64, 1, 40)
    assert found.uncertainty == pytest.approx(np.log(2) / np.log(5), abs=1e-3)  # between two of five classes
    assert found.classes[NAMES[2]] + found.classes[NAMES[3]] == pytest.approx(1) and found.valid == 1


def test_features_of_a_window_are_the_mean_over_its_cells(tmp_path):
    """A network whose fused feature is its image, on cells of 4 px; windows of prediction overlap and cut candidates."""
    arch = Architecture("mobilenet_v2", "segformer", 5, 2, 8)
    head = Decoder(arch, [2, 8, 8, 8, 8, 8])
    head.body = nn.AvgPool2d(4)
    head.classifier = nn.Conv2d(2, 5, 1)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = head

        def forward(self, image):
            return resize(self.head(image)[1], image.shape[-2:])

    network = replace(trained(by_value), model=Whole())
    values = np.random.default_rng(0).random((2, 208, 256))
    scene = one_scene(tmp_path, values)
    looks = np.zeros((208, 256))  # of windows of 64 px, 48 apart: where two overlap, both are looked at
    for row in range(0, 145, 48):
        for col in range(0, 193, 48):
            looks[row : row + 64, col : col + 64] += 1
    found = list(candidates(engine(network), [scene], 52))
    assert len(found) == 16
    for c in found:
        assert (c.row % 4, c.col % 4) == (0, 0)
        here = np.s_[..., c.row : c.row + 52, c.col : c.col + 52]
        wanted = (values[here] * looks[here]).sum((1, 2)) / looks[here].sum()
        assert c.fused == pytest.approx(wanted, abs=1e-5)
    assert not head._forward_hooks


def test_windows_that_waver_otherwise_come_before_more_of_the_same(tmp_path):
    alike = [(64 * i, 0, 64, 23, 1.0) for i in range(4)]
    domain = of(one_scene(tmp_path, field(256, 320, [*alike, (0, 128, 64, 34, 0.9)])))
    found = suggest(engine(trained(wavering)), domain, k=2, size=64)
    assert [s.col for s in found] == [0, 128]
    assert found[0].uncertainty > found[1].uncertainty > 0.2


@pytest.mark.parametrize("gsd", [0.5, 0.8])
def test_windows_are_distinct_and_inside_the_scenes_and_their_data(tmp_path, gsd):
    values = np.random.default_rng(0).random((2, 2, 15, 20)) * np.array([40, 1])[:, None, None] + 1
    values = np.kron(values, np.ones((1, 1, 20, 20)))
    values[..., :200] = 0  # no data
    pixels = {"a": values[0], "b": values[1], "small": values[0, :, :40]}
    scenes = [one_scene(tmp_path, v, name, nodata=0) for name, v in pixels.items()]
    found = suggest(engine(trained(wavering, gsd=gsd)), of(*scenes), k=12, size=48)
    assert len(found) == 12 and {s.scene for s in found} == {"a", "b"}
    taken = np.zeros((2, 300, 400), int)
    for s in found:
        grid = scenes[0].grid_at(gsd)
        assert s.row >= 0 and s.row + s.size <= 300 * 0.5 / gsd and s.col >= 0 and s.col + s.size <= 400 * 0.5 / gsd
        assert scenes[0].read(("red", "green"), gsd, (s.row, s.col, 48, 48)).valid.mean() == pytest.approx(
            s.valid, abs=1e-3
        )
        assert s.valid >= 0.5 and grid.height >= s.row + s.size
        taken["ab".index(s.scene), s.row : s.row + 48, s.col : s.col + 48] += 1
    assert taken.max() == 1
    assert [s.rank for s in found] == list(range(1, 13))
    assert [s.uncertainty for s in found] == sorted((s.uncertainty for s in found), reverse=True)


def test_the_choice_is_the_same_for_a_seed_and_another_for_another(tmp_path):
    values = np.random.default_rng(1).random((2, 320, 320)) * np.array([40, 1])[:, None, None]
    values = np.kron(values[:, ::32, ::32], np.ones((1, 32, 32)))
    domain, network = of(one_scene(tmp_path, values)), engine(trained(wavering))
    places = [[(s.row, s.col) for s in suggest(network, domain, k=6, size=32, seed=seed)] for seed in (0, 0, 1, 2, 3)]
    assert places[0] == places[1] and any(places[0] != p for p in places[2:])


def test_fewer_windows_than_asked_for_all_come_back(tmp_path):
    domain = of(one_scene(tmp_path, field(64, 200, [(0, 64, 64, 23, 1)])))
    found = suggest(engine(trained(wavering)), domain, k=10, size=64)
    assert [(s.rank, s.of) for s in found] == [(1, 3), (2, 3), (3, 3)]


def test_memory_does_not_grow_with_the_height_of_a_scene(tmp_path, monkeypatch):
    """The network's answers for a scene are never held together: pieces have the height of a window at most."""

    heights = []
    real = candidates._maps
    monkeypatch.setattr(candidates, "_maps", lambda p, *rest: heights.append(p.shape[1]) or real(p, *rest))
    suggest(engine(trained(wavering)), of(one_scene(tmp_path, field(900, 64))), k=2, size=64)
    assert sum(heights) >= 14 * 64 and max(heights) <= 64


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"k": 0}, "at least 1 window must be asked for, not 0"),
        ({"size": 0}, "at least 1 px"),
        ({"size": 65}, "as large as a window of 65 px: the largest is 200 x 64 px of 0.5 m"),
        ({"split": "some"}, "unknown split of domain there 'some'"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, given, says):
    domain = of(one_scene(tmp_path, field(64, 200)), one_scene(tmp_path, field(30, 300), "b"))
    with pytest.raises(InputError, match=says):
        suggest(engine(trained(wavering)), domain, **{"size": 32, **given})


def test_scenes_without_data_are_refused(tmp_path):
    domain = of(one_scene(tmp_path, np.zeros((2, 64, 64)), nodata=0))
    with pytest.raises(InputError, match=r"no window of 32 x 32 px of 0.5 m in split 'all' of there holds data"):
        suggest(engine(trained(wavering)), domain, size=32)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
@pytest.mark.parametrize("gsd", [2.0, 3.0])
def test_squares_lie_where_their_pixels_say(located_raster, tmp_path, rotation, gsd):
    """The pixels of these scenes hold their own x and y: the window that is read is the square that is written."""
    scene = Scene("a", located_raster(150, 190, rotation=rotation), None, ("red", "green"))
    network = trained(lambda image: torch.cat([image * 0.01] * 2 + [image[:, :1] * 0], 1), gsd=gsd)
    found = suggest(engine(network), of(scene), k=4, size=32)
    path = write_suggestions(found, of(scene), network.spec, tmp_path / "windows.gpkg")
    layer = gpd.read_file(path)
    assert layer.crs == "EPSG:32633" and list(layer["rank"]) == [1, 2, 3, 4]
    for s, (_, square) in zip(found, layer.iterrows(), strict=True):
        pixels = scene.read(("red", "green"), gsd, (s.row, s.col, 32, 32)).values
        inside = square.geometry.centroid
        assert [inside.x, inside.y] == pytest.approx(pixels.mean((1, 2)), abs=gsd * 0.01)
        assert square.geometry.area == pytest.approx((32 * gsd) ** 2)
        assert (square["scene"], square["row"], square["col"]) == (s.scene, s.row, s.col)
        assert square["uncertainty"] == s.uncertainty and square["predicted"] in NAMES
        assert square[f"share_{NAMES[0]}"] == s.classes[NAMES[0]]


def test_scenes_of_two_systems_come_into_the_first_ones(located_raster, tmp_path):
    scenes = [Scene(n, located_raster(64, 64, crs=crs, origin=(500_000, 5_000_000)), None, ("red", "green"))
              for n, crs in (("a", "EPSG:32633"), ("b", "EPSG:32632"))]  # fmt: skip
    network = trained(lambda image: image[:, :1].repeat(1, 5, 1, 1), gsd=2.0)
    found = sorted(suggest(engine(network), of(*scenes), k=2, size=64), key=lambda s: s.scene)
    layer = gpd.read_file(write_suggestions(found, of(*scenes), network.spec, tmp_path / "w.gpkg"))
    assert layer.crs == "EPSG:32633"
    for name, square in zip("ab", layer.geometry, strict=True):
        own = gpd.GeoSeries([square], crs=layer.crs).to_crs(of(*scenes).scenes[name].grid.crs).iloc[0]
        assert own.bounds == pytest.approx((500_000, 5_000_000 - 128, 500_128, 5_000_000), abs=0.01)


def test_nothing_is_overwritten_and_scenes_without_a_place_are_refused(tmp_path):
    scene, network = one_scene(tmp_path, field(64, 64)), trained(wavering)
    found = suggest(engine(network), of(scene), k=1, size=64)
    path = write_suggestions(found, of(scene), network.spec, tmp_path / "w.gpkg")
    before = path.read_bytes()
    with pytest.raises(ExistsError, match="--overwrite"):
        write_suggestions(found, of(scene), network.spec, path)
    assert path.read_bytes() == before
    write_suggestions([replace(found[0], rank=7)], of(scene), network.spec, path, overwrite=True)
    assert gpd.read_file(path)["rank"].tolist() == [7]
    bare = one_scene(tmp_path, field(64, 64), "bare", crs=None)
    with pytest.raises(InputError, match=r"scene 'bare' .* has no CRS.*'crs'"):
        write_suggestions([replace(found[0], scene="bare")], of(bare), network.spec, tmp_path / "none.gpkg")
    assert not (tmp_path / "none.gpkg").exists()


SUGGEST = ["suggest", "good", "--device", "cpu", "--size", "64"]


def test_the_command_prints_a_table_and_writes_the_squares(rsuda):
    said = rsuda(*SUGGEST, "-k", 3, "--out", "w.gpkg")
    assert said.code == 0, said
    head, *lines = said.out.splitlines()
    assert head.split() == ["rank", "scene", "row", "col", "centre", "uncertainty", "predicted"]
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"] and lines[3] == "3 of 18 windows: w.gpkg"
    layer = gpd.read_file("w.gpkg")
    assert set(layer["scene"]) <= {"0", "1"} and (layer.area == 32 * 32).all()
    said = rsuda(*SUGGEST, "-k", 30, "--split", "val", "--json")
    told = json.loads(said.out)
    assert said.code == 0 and len(told) == 9 and {w["scene"] for w in told} == {"1"}
    said = rsuda(*SUGGEST, "-k", 30, "--split", "val")
    assert "note: 30 windows were asked for, but west has 9 only" in said.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("-k 0", "at least 1 window"),
        ("--size 300", "no scene is as large as a window of 300 px: the largest is 224 x 224 px"),
        ("--split vall", "did you mean 'val'"),
        ("--domain potsdamm", "did you mean 'potsdam'"),
        ("--out scene.tif", "scene.tif exists: pass --overwrite"),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(rsuda, more, says):
    said = rsuda(*SUGGEST, *more.split())
    assert said.code == 2 and len(said.err) == 1 and says in said.err[0], said


def test_the_command_reads_no_label(rsuda):
    for label in Path("data").glob("west_*_label.tif"):
        label.unlink()
    assert rsuda(*SUGGEST, "-k", 2).code == 0
