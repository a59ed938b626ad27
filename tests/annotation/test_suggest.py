"""Windows to label: models that say where they are uncertain choose them, and they are written where they belong."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch
from oracle_models import NAMES, by_value, engine, sure, trained, write
from torch import nn

import rsuda.annotation.candidates as candidates_module
from rsuda.annotation.candidates import candidates
from rsuda.annotation.suggest import suggest, write_if_located, write_suggestions
from rsuda.core.errors import ExistsError, InputError
from rsuda.data.domains.domain import Domain
from rsuda.geo.scenes.scene import Scene
from rsuda.learning.calibration import tempered
from rsuda.learning.network import Architecture, Decoder, resize


def uncertain(image):
    """Predict the class of the first band; where it is 10 a + b, hesitate between classes a and b, the more the greater the
    second band, on 0..1."""
    first, second = (image[:, 0] // 10).long() % len(NAMES), image[:, 0].long() % 10 % len(NAMES)
    return sure(first) + image[:, 1:2] * (sure(second) - sure(first)) / 2


def one_scene(folder, values, name="a", **options):
    return Scene(name, write(folder / f"{name}.tif", np.asarray(values, np.float32), **options))


def domain_of(*scenes):
    return Domain(
        "there", {scene.name: scene for scene in scenes}, None, None, {"all": [scene.name for scene in scenes]}
    )


def field(height, width, squares=()):
    """Pixels of class 1 except in squares (row, col, size, a and b as 10 a + b, amount)."""
    values = np.stack([np.full((height, width), 11.0), np.zeros((height, width))])
    for row, col, size, classes, amount in squares:
        values[:, row : row + size, col : col + size] = np.array([classes, amount])[:, None, None]
    return values


def test_the_uncertain_corner_is_suggested_and_described(tmp_path):
    domain = domain_of(
        one_scene(tmp_path, field(256, 320)), one_scene(tmp_path, field(256, 320, [(192, 256, 64, 23, 1)]), "b")
    )
    (window,) = suggest(engine(trained(uncertain)), domain, k=1, size=64)
    position = (window.scene, window.row, window.col, window.size)
    assert position == ("b", 192, 256, 64) and (window.rank, window.candidates) == (1, 40)
    assert window.uncertainty == pytest.approx(np.log(2) / np.log(5), abs=1e-3)  # between two of five classes
    assert window.classes[NAMES[2]] + window.classes[NAMES[3]] == pytest.approx(1) and window.valid == 1


def test_uncertainty_is_that_of_the_calibrated_confidence_and_progress_ends_at_all_pixels(tmp_path):
    """A temperature of 2 makes a class of 88 % one of 73 %; a bias for class 2 makes it the predicted one."""
    domain = domain_of(
        one_scene(tmp_path, field(128, 128, [(0, 0, 128, 23, 0.2)])), one_scene(tmp_path, field(64, 64), "b")
    )
    plain = trained(uncertain)
    shown = []
    (before,) = suggest(engine(plain), domain, k=1, size=128, progress=lambda done, total: shown.append((done, total)))
    assert shown == sorted(shown) and shown[-1] == (128 * 128 + 64 * 64,) * 2
    for temperature, bias in (((2.0,), ()), ((1.0,) * 5, (0.0, 0.0, 0.0, 40.0, 0.0))):
        scaled = replace(plain, spec=replace(plain.spec, temperature=temperature, bias=bias))
        (window,) = suggest(engine(scaled), domain, k=1, size=128)
        blend = engine(plain).probabilities(
            np.array([[[[23.0]], [[0.2]]]], np.float32) * np.ones((1, 1, 32, 32), np.float32)
        )
        wanted = tempered(torch.from_numpy(blend), temperature, axis=1, bias=bias)[0, :, 0, 0].double()
        entropy = -(wanted * wanted.clamp_min(1e-30).log()).sum() / np.log(5)
        assert (
            window.uncertainty == pytest.approx(float(entropy), abs=1e-3) and window.uncertainty != before.uncertainty
        )
        assert window.classes[NAMES[int(wanted.argmax())]] == 1


def test_features_of_a_window_are_the_mean_over_its_cells(tmp_path):
    """The fused feature of this model is its image, on cells of 4 px; windows of prediction overlap and cut candidates."""
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
    weight = np.zeros((208, 256))  # windows of 64 px, 48 apart: where two overlap, both count
    for row in range(0, 145, 48):
        for col in range(0, 193, 48):
            weight[row : row + 64, col : col + 64] += 1
    windows = list(candidates(engine(network), [scene], 52))
    assert len(windows) == 16
    for candidate in windows:
        assert (candidate.row % 4, candidate.col % 4) == (0, 0)
        inside = np.s_[..., candidate.row : candidate.row + 52, candidate.col : candidate.col + 52]
        expected = (values[inside] * weight[inside]).sum((1, 2)) / weight[inside].sum()
        assert candidate.fused == pytest.approx(expected, abs=1e-5)
    assert not head._forward_hooks


def test_different_windows_come_before_similar_ones(tmp_path):
    similar = [(64 * i, 0, 64, 23, 1.0) for i in range(4)]
    domain = domain_of(one_scene(tmp_path, field(256, 320, [*similar, (0, 128, 64, 34, 0.9)])))
    windows = suggest(engine(trained(uncertain)), domain, k=2, size=64)
    assert [window.col for window in windows] == [0, 128]
    assert windows[0].uncertainty > windows[1].uncertainty > 0.2


@pytest.mark.parametrize("gsd", [0.5, 0.8])
def test_windows_do_not_overlap_and_contain_data(tmp_path, gsd):
    values = np.random.default_rng(0).random((2, 2, 15, 20)) * np.array([40, 1])[:, None, None] + 1
    values = np.kron(values, np.ones((1, 1, 20, 20)))
    values[..., :200] = 0  # no data
    pixels = {"a": values[0], "b": values[1], "small": values[0, :, :40]}
    scenes = [one_scene(tmp_path, values, name, nodata=0) for name, values in pixels.items()]
    windows = suggest(engine(trained(uncertain, gsd=gsd)), domain_of(*scenes), k=12, size=48)
    assert len(windows) == 12 and {window.scene for window in windows} == {"a", "b"}
    counts = np.zeros((2, 300, 400), int)
    for window in windows:
        grid = scenes[0].grid_at(gsd)
        assert (
            window.row >= 0
            and window.row + window.size <= 300 * 0.5 / gsd
            and window.col >= 0
            and window.col + window.size <= 400 * 0.5 / gsd
        )
        assert scenes[0].read(("red", "green"), gsd, (window.row, window.col, 48, 48)).valid.mean() == pytest.approx(
            window.valid, abs=1e-3
        )
        assert window.valid >= 0.5 and grid.height >= window.row + window.size
        counts["ab".index(window.scene), window.row : window.row + 48, window.col : window.col + 48] += 1
    assert counts.max() == 1
    assert [window.rank for window in windows] == list(range(1, 13))
    assert [window.uncertainty for window in windows] == sorted(
        (window.uncertainty for window in windows), reverse=True
    )


def test_the_choice_depends_on_the_seed_only(tmp_path):
    values = np.random.default_rng(1).random((2, 320, 320)) * np.array([40, 1])[:, None, None]
    values = np.kron(values[:, ::32, ::32], np.ones((1, 32, 32)))
    domain, network = domain_of(one_scene(tmp_path, values)), engine(trained(uncertain))
    positions = [
        [(window.row, window.col) for window in suggest(network, domain, k=6, size=32, seed=seed)]
        for seed in (0, 0, 1, 2, 3)
    ]
    assert positions[0] == positions[1] and any(positions[0] != other for other in positions[2:])


def test_fewer_candidates_than_requested_are_all_suggested(tmp_path):
    domain = domain_of(one_scene(tmp_path, field(64, 200, [(0, 64, 64, 23, 1)])))
    windows = suggest(engine(trained(uncertain)), domain, k=10, size=64)
    assert [(window.rank, window.candidates) for window in windows] == [(1, 3), (2, 3), (3, 3)]


def test_memory_does_not_grow_with_the_height_of_a_scene(tmp_path, monkeypatch):
    """The predictions of a scene are never in memory together: blocks have the height of a window at most."""
    heights = []
    original = candidates_module._maps
    monkeypatch.setattr(
        candidates_module, "_maps", lambda blend, *rest: heights.append(blend.shape[1]) or original(blend, *rest)
    )
    suggest(engine(trained(uncertain)), domain_of(one_scene(tmp_path, field(900, 64))), k=2, size=64)
    assert sum(heights) >= 14 * 64 and max(heights) <= 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "the number of windows is 0; it must be at least 1"),
        ({"size": 0}, "`size` is 0; it must be at least 1"),
        ({"size": 65}, "as large as a window of 65 px: the largest is 200 x 64 px of 0.5 m"),
        ({"split": "some"}, "unknown split of domain there 'some'"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, options, message):
    domain = domain_of(one_scene(tmp_path, field(64, 200)), one_scene(tmp_path, field(30, 300), "b"))
    with pytest.raises(InputError, match=message):
        suggest(engine(trained(uncertain)), domain, **{"size": 32, **options})


def test_scenes_without_data_are_refused(tmp_path):
    domain = domain_of(one_scene(tmp_path, np.zeros((2, 64, 64)), nodata=0))
    with pytest.raises(InputError, match=r"no window of 32 x 32 px of 0.5 m in split 'all' of there has data"):
        suggest(engine(trained(uncertain)), domain, size=32)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
@pytest.mark.parametrize("gsd", [2.0, 3.0])
def test_squares_have_the_position_of_their_pixels(located_raster, tmp_path, rotation, gsd):
    """The pixels of these scenes are their own x and y, so the read window must be the written square."""
    scene = Scene("a", located_raster(150, 190, rotation=rotation), None, ("red", "green"))
    network = trained(lambda image: torch.cat([image * 0.01] * 2 + [image[:, :1] * 0], 1), gsd=gsd)
    windows = suggest(engine(network), domain_of(scene), k=4, size=32)
    path = write_suggestions(windows, domain_of(scene), network.spec, tmp_path / "windows.gpkg")
    layer = gpd.read_file(path)
    assert layer.crs == "EPSG:32633" and list(layer["rank"]) == [1, 2, 3, 4]
    for window, (_, square) in zip(windows, layer.iterrows(), strict=True):
        pixels = scene.read(("red", "green"), gsd, (window.row, window.col, 32, 32)).values
        inside = square.geometry.centroid
        assert [inside.x, inside.y] == pytest.approx(pixels.mean((1, 2)), abs=gsd * 0.01)
        assert square.geometry.area == pytest.approx((32 * gsd) ** 2)
        assert (square["scene"], square["row"], square["col"]) == (window.scene, window.row, window.col)
        assert square["uncertainty"] == window.uncertainty and square["predicted"] in NAMES
        assert square[f"share_{NAMES[0]}"] == window.classes[NAMES[0]]


def test_scenes_of_two_systems_are_written_in_the_first_one(located_raster, tmp_path):
    scenes = [Scene(name, located_raster(64, 64, crs=crs, origin=(500_000, 5_000_000)), None, ("red", "green"))
              for name, crs in (("a", "EPSG:32633"), ("b", "EPSG:32632"))]  # fmt: skip
    network = trained(lambda image: image[:, :1].repeat(1, 5, 1, 1), gsd=2.0)
    windows = sorted(suggest(engine(network), domain_of(*scenes), k=2, size=64), key=lambda window: window.scene)
    layer = gpd.read_file(write_suggestions(windows, domain_of(*scenes), network.spec, tmp_path / "w.gpkg"))
    assert layer.crs == "EPSG:32633"
    for name, square in zip("ab", layer.geometry, strict=True):
        original = gpd.GeoSeries([square], crs=layer.crs).to_crs(domain_of(*scenes).scenes[name].grid.crs).iloc[0]
        assert original.bounds == pytest.approx((500_000, 5_000_000 - 128, 500_128, 5_000_000), abs=0.01)


def test_nothing_is_overwritten_and_scenes_without_crs_are_refused(tmp_path):
    scene, network = one_scene(tmp_path, field(64, 64)), trained(uncertain)
    windows = suggest(engine(network), domain_of(scene), k=1, size=64)
    path = write_suggestions(windows, domain_of(scene), network.spec, tmp_path / "w.gpkg")
    before = path.read_bytes()
    with pytest.raises(ExistsError, match="overwrite=True"):
        write_suggestions(windows, domain_of(scene), network.spec, path)
    assert path.read_bytes() == before
    write_suggestions([replace(windows[0], rank=7)], domain_of(scene), network.spec, path, overwrite=True)
    assert gpd.read_file(path)["rank"].tolist() == [7]
    bare = one_scene(tmp_path, field(64, 64), "bare", crs=None)
    with pytest.raises(InputError, match=r"scene 'bare' .* has no CRS.*'crs'"):
        write_suggestions([replace(windows[0], scene="bare")], domain_of(bare), network.spec, tmp_path / "none.gpkg")
    assert not (tmp_path / "none.gpkg").exists()


SUGGEST = ["suggest", "good", "--device", "cpu", "--size", "64"]


def test_the_command_prints_a_table_and_writes_the_squares(rsuda):
    result = rsuda(*SUGGEST, "-k", 3, "--out", "w.gpkg")
    assert result.code == 0, result
    head, *lines = result.out.splitlines()
    assert head.split() == ["rank", "scene", "row", "col", "centre", "uncertainty", "predicted"]
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"] and lines[3] == "3 of 18 windows: w.gpkg"
    layer = gpd.read_file("w.gpkg")
    assert set(layer["scene"]) <= {"0", "1"} and (layer.area == 32 * 32).all()
    result = rsuda(*SUGGEST, "-k", 30, "--split", "val", "--json")
    rows = json.loads(result.out)
    assert result.code == 0 and len(rows) == 9 and {w["scene"] for w in rows} == {"1"}
    result = rsuda(*SUGGEST, "-k", 30, "--split", "val")
    assert "note: 30 windows were asked for, but west has 9 only" in result.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("-k 0", "the number of windows is 0"),
        ("--size 300", "no scene is as large as a window of 300 px: the largest is 224 x 224 px"),
        ("--split vall", "did you mean 'val'"),
        ("--domain potsdamm", "did you mean 'potsdam'"),
        ("--out scene.tif", "scene.tif does not end with .gpkg"),
        ("--out w.shp", "w.shp does not end with .gpkg"),
    ],
)
def test_the_command_refuses_in_one_sentence(rsuda, more, message):
    result = rsuda(*SUGGEST, *more.split())
    assert result.code == 2 and len(result.err) == 1 and message in result.err[0], result


def test_the_command_reads_no_label(rsuda):
    for label in Path("data").glob("west_*_label.tif"):
        label.unlink()
    assert rsuda(*SUGGEST, "-k", 2).code == 0


def test_file_of_windows_without_crs_is_left_out_with_a_note(tmp_path, caplog):
    scene, network = one_scene(tmp_path, field(64, 64), crs=None), trained(uncertain)
    windows = suggest(engine(network), domain_of(scene), k=1, size=64)
    with caplog.at_level("WARNING", "rsuda"):
        assert write_if_located(windows, domain_of(scene), network.spec, tmp_path / "w.gpkg") is None
    assert "w.gpkg is not written: scene" in caplog.text and not list(tmp_path.glob("w.*"))
    place = one_scene(tmp_path, field(64, 64), "placed")
    placed = [replace(windows[0], scene="placed")]
    file = write_if_located(placed, domain_of(place), network.spec, tmp_path / "w.gpkg")
    style = file.with_suffix(".qml").read_text()
    assert 'name="style" value="no"' in style and 'fieldName="rank"' in style
    assert file.read_bytes()[60:64] == (10200).to_bytes(4, "big")  # the version of GeoPackage that old programs read
