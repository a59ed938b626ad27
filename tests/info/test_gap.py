"""The look at a pair before training: facts, tables, a plot, and the expected risk."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import yaml
from labelled_city import city
from matplotlib.image import imread
from oracle_models import write

import rsuda as package
from rsuda.core.errors import ExistsError, InputError
from rsuda.info.gap_risk import LEVELS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """East, a darker west, west in 16 bits with infrared, and a town of other bands."""
    folder = tmp_path_factory.mktemp("gap")
    city(folder, "east")
    city(folder, "west", gain=0.5, seed=1)
    for name, bands in (("deep", "IRRG"), ("radar", "VV,VH,green")):
        fields = yaml.safe_load((folder / "west.yaml").read_text())
        for n in range(2):
            with rasterio.open(folder / f"west_{n}_image.tif") as file:
                values, where = file.read().astype(np.uint16) * 30, file.transform
            write(folder / f"{name}_{n}_image.tif", values, where)
        fields |= {"name": name, "images": {"X": {"files": f"{name}_{{n}}_image.tif", "bands": bands}}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return folder


def gap_of(data, source, target, **more):
    return package.gap(str(data / f"{source}.yaml"), str(data / f"{target}.yaml"), data=data, **more)


def test_facts_of_two_cities(data):
    facts = gap_of(data, "east", "west")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["target"] == {"name": "west", "scenes": 1, "bands": "RGB", "gsd": [0.5, 0.5], "types": ["uint8"]}
    assert [part["name"] for part in facts["sources"]] == ["east"] and facts["gsd"] == 0.5
    assert sum(facts["classes"].values()) == pytest.approx(1, abs=1e-3) and len(facts["target_classes"]) == 3
    red = facts["bands"]["east"][0]
    with rasterio.open(data / "east_0_image.tif") as file:
        values = file.read(1)
    assert (red["source_mean"], red["source_deviation"]) == pytest.approx((values.mean(), values.std()), rel=0.3)
    assert red["target_mean"] < 0.7 * red["source_mean"]
    assert red["apart_aligned"] < red["apart"] and red["means_apart"] > 0.3
    assert facts["settings"]["align.standardise"]["value"] == "domain"
    assert all(choice["reason"] for choice in facts["settings"].values())


def test_the_settings_are_those_of_adapt(data):
    from rsuda.core.settings import make_settings
    from rsuda.data.find_domain import find_domains
    from rsuda.data.pairs.pair import pair

    names = {"source.name": str(data / "east.yaml"), "target.name": str(data / "deep.yaml"), "data": str(data)}
    settings = make_settings(names)
    matched = pair(*find_domains(settings), settings)
    facts = gap_of(data, "east", "deep")
    assert {name: choice["value"] for name, choice in facts["settings"].items()} == matched.alignment.as_settings()
    assert facts["target"]["types"] == ["uint16"] and facts["bands"]["east"][0]["target_band"] == "red"


def test_no_label_of_the_target_is_opened(data, tmp_path):
    for file in data.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for file in tmp_path.glob("west_*_label.tif"):
        file.write_bytes(b"no raster")
    assert gap_of(tmp_path, "east", "west") == gap_of(data, "east", "west")


@pytest.mark.parametrize(
    "source, target, level, part",
    [
        ("east", "east", "low", "the target's own"),
        ("east", "deep", "moderate", "without blue of the source"),
        ("east", "radar", "high", "of the source stands for"),
    ],
)
def test_each_part_of_the_gap_has_its_level(data, source, target, level, part):
    risk = gap_of(data, source, target)["risk"]
    levels = {reason["text"]: reason["level"] for reason in risk["reasons"]}
    assert [levels[text] for text in levels if part in text] == [level]
    assert risk["level"] == max(levels.values(), key=LEVELS.index)


def test_a_class_that_the_source_lacks_is_a_high_risk(data, tmp_path):
    fields = yaml.safe_load((data / "west.yaml").read_text())
    fields["legend"] = [*fields["legend"], {"name": "glacier", "colour": [1, 2, 3]}]
    (tmp_path / "cold.yaml").write_text(yaml.safe_dump(fields))
    risk = package.gap(str(data / "east.yaml"), str(tmp_path / "cold.yaml"), data=data)["risk"]
    assert risk["level"] == "high"
    assert {"level": "high", "text": "the source has no pixel of glacier, so the map cannot have it"} in risk["reasons"]


def test_several_sources_have_their_own_bands_and_lines(data, tmp_path):
    sources = [str(data / "east.yaml"), str(data / "west.yaml")]
    facts = package.gap(sources, str(data / "deep.yaml"), data=data, plot=tmp_path / "gap.png")
    assert list(facts["bands"]) == ["east", "west"] and len(facts["sources"]) == 2
    assert (tmp_path / "gap.png").stat().st_size > 10_000


def test_plot_is_a_picture_that_is_replaced_only_on_request(data, tmp_path):
    file = tmp_path / "gap.png"
    gap_of(data, "east", "west", plot=file)
    before = file.read_bytes()
    height, width, _ = imread(file).shape
    assert width > 900 and height > 700
    with pytest.raises(ExistsError, match=r"gap\.png exists"):
        gap_of(data, "east", "deep", plot=file)
    assert file.read_bytes() == before
    gap_of(data, "east", "deep", plot=file, overwrite=True)
    assert file.read_bytes() != before
    with pytest.raises(InputError):
        package.gap(str(data / "east.yaml"), "no-such-domain", data=data, plot=tmp_path / "other.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gap.png"]


def test_command_prints_tables_and_loads_no_learning_library(data, tmp_path):
    code = (
        "import sys; from rsuda.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print([name for name in ('torch', 'lightning') if name in sys.modules])"
    )
    words = ["gap", data / "east.yaml", data / "west.yaml", "--data", data]
    result = subprocess.run(
        [sys.executable, "-c", code, *words, "--plot", tmp_path / "a.png"], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.strip().endswith("[]") and not result.stderr, result.stderr
    for text in ("Expected risk, by a rule of thumb: ", "align.standardise", "uint8", "road", "Wrote "):
        assert text in result.stdout
    result = subprocess.run([sys.executable, "-c", code, *words, "--json"], capture_output=True, text=True, timeout=120)
    assert json.loads(result.stdout.rpartition("[]")[0])["kind"] == "gap"
