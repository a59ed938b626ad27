"""Build the wheel and the sdist, and check what they hold; install nothing."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml

import rsuda
from rsuda.cli import main
from rsuda.core.version import __version__

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/rsuda"  # the release workflow puts the repository's in its place
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_COPIED = ("encoder.safetensors", "references.json")  # beside the sample tiles, and read from the package


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    pytest.importorskip("hatch_fancy_pypi_readme")
    return Path(next(builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_wheel_holds_the_package_and_the_sample_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(f.relative_to(ROOT).as_posix()) for f in (ROOT / "rsuda").rglob("*") if f.is_file()}
    tiles = {f"rsuda/{f.relative_to(ROOT).as_posix()}" for f in (ROOT / "sample_tiles").rglob("*.t*") if f.is_file()}
    extra = {f"rsuda/sample_tiles/{name}" for name in ("README.md", *NOT_COPIED)}
    assert len(tiles) == 2 * (6 * 3 + 6 * 2)
    package = {name for name in package if "__pycache__" not in name}
    assert {name for name in names if ".dist-info/" not in name} == package | tiles | extra
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 9e6


def test_wheel_finds_its_own_sample_data_in_an_empty_folder(unpacked, tmp_path):
    code = (
        "from rsuda.core.sample_data import sample_encoder, sample_tiles, tiles_folder;"
        "print(tiles_folder(), sample_tiles(), tiles_folder(), sample_encoder('tu-lcnet_100'), sep='\\n')"
    )
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r}); {code}"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split("\n")
    inside = unpacked / "rsuda" / "sample_tiles"
    assert answer[:4] == [str(inside), "sample_tiles", "sample_tiles", str(inside / "encoder.safetensors")]
    copied = {f.relative_to(tmp_path / "sample_tiles") for f in (tmp_path / "sample_tiles").rglob("*") if f.is_file()}
    tiles = {f.relative_to(inside) for f in inside.rglob("*") if f.is_file()}
    assert copied == {file for file in tiles if file.name not in NOT_COPIED}


def test_sample_leaves_what_exists(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["sample-tiles", "--out", "cities"])
    assert not end.value.code and "--data cities" in capsys.readouterr().out
    changed = tmp_path / "cities" / "vaihingen" / "top" / "top_mosaic_09cm_area2.tif"
    changed.write_bytes(b"mine")
    assert rsuda.sample_tiles("cities") == Path("cities") and changed.read_bytes() == b"mine"
    (tmp_path / "other").mkdir()
    with pytest.raises(rsuda.ExistsError, match="other exists and holds other files: choose another `out`"):
        rsuda.sample_tiles("other")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cities", "other"]


def test_metadata_are_whole_and_links_work_outside_of_the_repository(unpacked):
    [metadata] = unpacked.glob("*.dist-info/METADATA")
    message = message_from_bytes(metadata.read_bytes())
    assert message["Author"] and message["Keywords"] and message["License-Expression"] == "Apache-2.0"
    text = message.get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5 and all(link.startswith(("https://", "#")) for link in links)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures and all("/raw/" in link or not link.startswith(ADDRESS) for link in pictures)
    local = [link.partition("/v")[2].partition("/")[2].partition("#")[0] for link in links if link.startswith(ADDRESS)]
    assert local and all((ROOT / name).exists() for name in local)


def test_sdist_holds_what_its_tests_read(tmp_path):
    builder = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(ROOT))
    pytest.importorskip("hatch_fancy_pypi_readme")
    with tarfile.open(next(builder.build(directory=str(tmp_path), versions=["standard"]))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("tests", "docs", "notebooks", "configs", "sample_tiles", "benchmarks", ".github", ".ci", "rsuda")
    files = {
        f for folder in folders for f in (ROOT / folder).rglob("*") if f.is_file() and "__pycache__" not in f.parts
    }
    files |= {ROOT / name for name in ("README.md", "CITATION.cff", "LICENSE", "constraints-minimum.txt")}
    missing = {f.relative_to(ROOT).as_posix() for f in files} - names
    assert len(files) > 400 and not {name for name in missing if not name.startswith("benchmarks/results/")}


def test_addresses_and_versions_have_one_home():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cff["url"] == cff["repository-code"] == PROJECT["urls"]["Homepage"]
    assert all(url.startswith(PROJECT["urls"]["Homepage"]) for url in PROJECT["urls"].values())
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert [author["name"] for author in PROJECT["authors"]] == [author["name"] for author in cff["authors"]]


def test_recipe_for_conda_has_the_dependencies_of_the_package():
    recipe = yaml.safe_load((ROOT / ".github" / "packaging" / "conda" / "recipe.yaml").read_text())
    names = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    needed = {line.replace(" ", "") for line in recipe["requirements"]["run"] if not line.startswith("python ")}
    renamed = {
        names.get(line.partition(">")[0], line.partition(">")[0]) + ">" + line.partition(">")[2] for line in needed
    }
    assert renamed == set(PROJECT["dependencies"])
    assert recipe["context"]["python_min"] == PROJECT["requires-python"].removeprefix(">=")
    hosts = {line.replace(" ", "") for line in recipe["requirements"]["host"]}
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]) <= hosts


@pytest.mark.skipif(sys.platform == "win32", reason="a script of the shell")
def test_release_is_prepared_from_the_tag_of_the_version(tmp_path):
    plugin = "rsuda/qgis/plugin/rsuda_qgis/metadata.txt"
    addressed = ("pyproject.toml", "CITATION.cff", plugin, ".github/packaging/conda/recipe.yaml")
    for name in (*addressed, "rsuda/core/version.py", ".github/packaging/prepare"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    words = ["bash", str(tmp_path / ".github/packaging/prepare"), "https://forge.example/o/rsuda"]
    refused = subprocess.run([*words, "v99.0"], capture_output=True, text=True)
    assert refused.returncode == 1 and "differ" in refused.stderr
    subprocess.run([*words, f"v{__version__}"], check=True)
    for name in addressed:
        text = (tmp_path / name).read_text()
        assert ADDRESS not in text and "https://forge.example/o/rsuda" in text
