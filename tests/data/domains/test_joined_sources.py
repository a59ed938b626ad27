"""Several sources train as one: each label is read with its own legend, each image with its own bands, range and GSD."""

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_origin

import rsuda
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.settings import make_settings
from rsuda.data.domains.joined_sources import join_legends
from rsuda.data.find_domain import find_domains
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import PatchDataset

TRUE = ((np.arange(160)[None] // 40 + np.arange(128)[:, None] // 40) % 3).astype(np.uint8)  # tree, grass, road
SHORT = {"training.seed": 0, "patches.window": 64, "preset": "sample", "network.weights": "none", "patches.workers": 0}


def save(path, pixels, gsd=1.0):
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": pixels.shape[1], "width": pixels.shape[2], "count": len(pixels), "dtype": pixels.dtype.name}
    place = {"crs": "EPSG:32633", "transform": from_origin(400000, 5500000, gsd, gsd)}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place) as file:
        file.write(pixels)


def image(bands, scale=1, gsd=1):
    levels = np.stack([60 + 50 * ((TRUE + k) % 3) for k in range(bands)]).astype(float)
    noise = np.random.default_rng(bands).normal(0, 4, levels.shape)
    pixels = ((levels + noise).clip(1, 254) * scale).astype("uint8" if scale == 1 else "uint16")
    return pixels.repeat(gsd, 1).repeat(gsd, 2)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Sources a (RGB, 8 bit) and b (RGB and IR, 16 bit, 0.5 m, CORINE values), and a target that knows vegetation and road."""
    root = tmp_path_factory.mktemp("city")
    legends = {
        "a": [("tree", 0), ("grass", 1), ("road", 2)],
        "b": [("Laubwald", 311), ("urban", 112), ("sea", 512)],
        "t": [("vegetation", 5), ("road", 7)],
    }
    classes = {
        "a": {"tree": "vegetation", "grass": "vegetation"},
        "b": {"Laubwald": "vegetation", "road": ["urban"], "unknown": ["sea"]},
    }
    labels = {
        "a": TRUE,
        "b": np.array([311, 512, 112])[TRUE].astype(np.int32).repeat(2, 0).repeat(2, 1),
        "t": np.array([5, 5, 7], np.uint8)[TRUE],
    }
    images = {"a": image(3), "b": image(4, 40, 2), "t": image(3)}
    bands = {"a": "RGB", "b": "RGBIR", "t": "RGB"}
    for name, entries in legends.items():
        save(root / name / "img" / "x.tif", images[name], 0.5 if name == "b" else 1.0)
        save(root / name / "lab" / "x.tif", labels[name], 0.5 if name == "b" else 1.0)
        fields = {
            "name": name,
            "images": {"X": {"files": f"{name}/img/{{t}}.tif", "bands": bands[name]}},
            "labels": [f"{name}/lab/{{t}}.tif"],
            "legend": [{"name": n, "value": v, "colour": [40 * k, 9, 9]} for k, (n, v) in enumerate(entries)],
            "classes": classes.get(name, {}),
            "splits": {"train": ["*"], "val": ["*"]},
        }
        (root / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return root


def joined(city, **changes):
    names = {
        "source.name": str(city / "a.yaml"),
        "source.also": [str(city / "b.yaml")],
        "target.name": str(city / "t.yaml"),
    }
    chosen = make_settings({**SHORT, **names, "data": str(city), **changes})
    return pair(*find_domains(chosen), chosen), chosen


def test_labels_of_each_source_get_the_common_classes(city):
    domains, _ = joined(city)
    assert domains.legend.names == ("vegetation", "road")
    first, second = (scene.read_label(domains.legend, 1.0, (0, 0, 128, 160))[0] for scene in domains.source)
    assert (first == np.array([0, 0, 1], np.uint8)[TRUE]).all()
    assert (second == np.array([0, IGNORE, 1], np.uint8)[TRUE]).all()
    assert sum(domains.class_shares) == pytest.approx(1)


def test_each_source_has_its_own_range(city):
    domains, _ = joined(city)
    first, second = domains.parts
    assert (first.spec.high[0], domains.source_spec.bands) == (255, ("red", "green", "blue"))
    assert second.spec.high[0] > 4000 and second.scenes == ("b:x",)


def test_patches_of_all_sources_are_on_one_scale(city):
    domains, chosen = joined(city)
    patches = PatchDataset(domains, chosen, with_target=False)
    found = {patches.where(i).split()[1] for i in range(1)} | {
        patches._source_window(patches._generator(0, i))[0].name for i in range(20)
    }
    assert {"a:x", "b:x"} <= found
    items = [patches[i]["source_image"].numpy() for i in range(12)]
    assert all(image.min() > -0.2 and image.max() < 1.2 and image.mean() > 0.2 for image in items)


@pytest.mark.parametrize("temperature", [0.0, 0.01])
def test_weights_are_the_shares_of_the_patches(city, temperature):
    domains, chosen = joined(city, **{"source.weights": [9, 1], "align.rare_temperature": temperature})
    patches = PatchDataset(domains, chosen, with_target=False)
    names = [patches._source_centre(np.random.default_rng(i))[0].name for i in range(400)]
    assert 0.75 < names.count("a:x") / len(names) < 0.98


def test_each_source_needs_a_weight(city):
    with pytest.raises(InputError, match=r"source.weights has 1 numbers, and there are 2 sources \(a, b\)"):
        joined(city, **{"source.weights": [1]})


def test_one_source_named_twice_trains_as_one(city):
    def domains(also):
        names = {"source.name": str(city / "a.yaml"), "source.also": also, "target.name": str(city / "t.yaml")}
        chosen = make_settings({**SHORT, **names, "data": str(city)})
        return PatchDataset(pair(*find_domains(chosen), chosen), chosen, with_target=True)

    once, twice = domains([]), domains([str(city / "a.yaml")])
    assert twice.pair.parts == ()
    for i in range(3):
        assert all((once[i][key] == twice[i][key]).all() for key in once[i])


def test_two_sources_train_and_are_scored_on_a_third_domain(city, tmp_path):
    run = rsuda.adapt(
        [city / "a.yaml", rsuda.domain(city / "b.yaml", city)],
        city / "t.yaml",
        method="source-only",
        data=city,
        out=tmp_path / "run",
        steps=2,
        batch_size=2,
        settings={key: value for key, value in SHORT.items() if key != "preset"},
        preset="sample",
    )
    assert run.scores.scores.names == ("vegetation", "road") and run.scores.notes == ()
    assert int(run.scores.scores.matrix.sum()) == TRUE.size
    assert run.scores.scores.matrix.sum(1).tolist() == [int((TRUE < 2).sum()), int((TRUE == 2).sum())]


def test_classes_of_unlike_names_are_named_with_the_share_of_pixels(city, tmp_path):
    run = rsuda.adapt(
        city / "a.yaml",
        rsuda.domain(city / "t.yaml", city, classes={"vegetation": "Vegetations"}),
        method="source-only",
        data=city,
        out=tmp_path / "run",
        settings={**SHORT, "training.steps": 2, "training.batch_size": 2},
    )
    (note,) = run.scores.notes
    share = (TRUE < 2).mean()
    assert f"Vegetations of t, which are not scored ({share:.1%} of its labelled pixels)" in note
    assert "did you mean 'vegetation' for 'Vegetations'" in note and "classes: {Vegetations: vegetation}" in note
    assert run.scores.as_fields()["notes"] == [note]


def test_sources_without_a_common_band_are_refused(city):
    text = (city / "b.yaml").read_text().replace("bands: RGBIR", "bands: [x1, x2, x3, x4]")
    (city / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=r"the sources have no band in common \(RGB of a, .* of b\)"):
        joined(city, **{"source.also": [str(city / "c.yaml")]})


def test_classes_with_one_colour_are_drawn_apart():
    one, two = (Legend((name,), (((1, 1, 1),),)) for name in "ab")
    legend = join_legends([one, two, one])
    assert legend.names == ("a", "b") and len(set(legend.palette)) == 2


def test_a_list_of_sources_in_a_file_is_read(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("source: [a.yaml, b.yaml]\ntarget: t\n")
    assert make_settings({}, file).source.names == ("a.yaml", "b.yaml")
