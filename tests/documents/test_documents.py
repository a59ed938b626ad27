"""Run every configuration and the commands of the README; pages and notebooks have other tests."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
import yaml
from shapely.geometry import box
from short_settings import settings

from rsuda.benchmark.plan import read_plan
from rsuda.core.legend import IGNORE
from rsuda.data.domain_files.domain_file import read_domain_file
from rsuda.data.find_domain import domain
from rsuda.methods import METHODS
from rsuda.runs.resolve import resolve
from rsuda.training.build import check_run
from rsuda.training.train import train

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if p.parent.name not in ("domains", "benchmarks"))
BENCHMARKS = sorted((ROOT / "configs" / "benchmarks").glob("*.yaml"))
DOMAINS = sorted(
    [
        *(ROOT / "configs" / "domains").glob("*.yaml"),
        *(ROOT / "rsuda" / "data" / "domain_files" / "catalogue").glob("*.yaml"),
    ]
)
assert len(CONFIGS) >= 3 and len(BENCHMARKS) >= 2 and len(DOMAINS) >= 8  # or no test is made of them


def rsuda(*arguments, cwd):
    command = [sys.executable, "-m", "rsuda.cli", *map(str, arguments)]
    env = {k: v for k, v in os.environ.items() if k != "RSUDA_DATA"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configuration_resolves_and_its_window_fits_its_method(path):
    s, _ = check_run(settings(path))
    assert s.source.name and s.target.name


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.stem)
def test_benchmark_file_resolves_and_has_a_baseline_and_an_oracle(path, tmp_path):
    plan = read_plan(path, tmp_path / "out")
    assert {plan.baseline, plan.oracle} <= set(plan.methods)
    methods = {job.settings.method.name for job in plan.jobs}
    least = 2 if path.stem in ("st_dasegnet", "further_fields") else 9  # of one method, or all methods
    assert least <= len(methods) and methods <= set(METHODS)


def test_page_of_public_benchmarks_names_their_files_and_no_number_without_a_source():
    text = (ROOT / "docs" / "public_benchmarks.md").read_text()
    for name in ("isprs", "loveda"):
        assert (
            f"configs/benchmarks/{name}.yaml" in text and (ROOT / "configs" / "benchmarks" / f"{name}.yaml").is_file()
        )
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| .*\d\.\d.*$", text, re.M) if "protocol" not in row]
    scores = [row for row in rows if row[1] in ("A", "B", "C", "test", "val")]
    assert len(scores) >= 15 and all(len(row) in (5, 7) and len(row[-1]) > 5 for row in scores)
    numbers = [float(cell) for row in scores for cell in row[2:-1] if cell != "\N{EN DASH}"]
    assert all(20 < number < 80 for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configuration_trains(path, tmp_path):
    """Train one step on the sample tiles, with a smaller window and batch, where the tiles have the pair.

    One of the configurations with mit_b5 trains it; the others train the smallest of its family.
    """
    data = str(ROOT / "sample_tiles")
    s = settings(path, data=data, steps=1, batch_size=2, crop=192, weights="none", workers=0)
    if s.network.encoder == "mit_b5" and path.stem != "potsdam-irrg_vaihingen_mit-b5":
        s = s.changed({"network.encoder": "mit_b0"})
    if not {s.source.name, s.target.name} <= {"potsdam", "vaihingen"}:
        pytest.skip("the sample tiles do not hold this pair")
    train(s, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    shutil.rmtree(tmp_path / "run")  # two gigabytes of checkpoint


@pytest.mark.parametrize("path", DOMAINS, ids=lambda p: p.stem)
def test_domain_file_has_a_legend_splits_and_a_source_of_its_data(path):
    fields = read_domain_file(path)
    assert len(fields.class_legend) >= 2 and {"train", "val"} <= set(fields.splits) and fields.get and fields.gsd


def test_readme_takes_the_sample_tiles_and_says_so():
    text = (ROOT / "README.md").read_text()  # whose blocks test_page_runs runs
    commands = [
        c for block in re.findall(r"```bash\n(.*?)```", text, re.S) for c in re.findall(r"\.venv/bin/rsuda (.*)", block)
    ]
    assert [c.split()[0] for c in commands] == ["adapt", "predict", "report"]
    source, target = re.findall(r"(?:potsdam|vaihingen)[\w-]*", commands[0])[:2]
    said = []
    resolve(None, {"source.name": source, "target.name": target}, "out", False, said.append)
    assert said[0].startswith("No data folder was passed: using the synthetic sample_tiles/")


def test_readme_has_at_most_650_words_and_links_to_files():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert len(links) > 20 and not [link for link in links if not (ROOT / link).exists()]
    words = re.sub(r"<!--.*?-->|\]\([^)]*\)", "", text).split()
    assert len([word for word in words if re.search(r"\w", word)]) <= 650


def test_sample_tiles_are_valid_domains():
    for name, counts in (("potsdam", {"train": 4, "val": 2}), ("vaihingen", {"train": 4, "val": 2})):
        found = domain(name, ROOT / "sample_tiles")
        assert {k: len(found.labelled(k)) for k in counts} == counts
        scene = found.labelled("val")[0]
        label, off = scene.read_label(found.legend, None, (0, 0, scene.grid.height, scene.grid.width))
        assert off == 0 and set(range(6)) <= set(label.flatten().tolist())
        assert scene.grid.crs is not None and scene.grid.metres()[0] == pytest.approx(found.gsd, rel=1e-6)
    assert sum(f.stat().st_size for f in (ROOT / "sample_tiles").rglob("*") if f.is_file()) < 12e6


@pytest.mark.slow
def test_sample_tiles_equal_those_that_their_script_draws():
    pytest.importorskip("scipy")
    render = runpy.run_path(str(ROOT / "sample_tiles" / "make.py"))["render"]
    found = domain("vaihingen", ROOT / "sample_tiles")
    scene = found.scenes["5"]
    image, label = render("vaihingen", "5")
    whole = (0, 0, scene.grid.height, scene.grid.width)
    assert (scene.read_label(found.legend, None, whole)[0] == label).mean() > 0.999
    stored = scene.read(("ir", "red", "green"), None, whole).values.astype(float)
    assert abs(stored - image[..., :3].transpose(2, 0, 1)).mean() < 6  # JPEG


@pytest.mark.slow
def test_commands_of_annotate_md_run_in_order(tmp_path):
    """Train, suggest windows, take their map as labels, and train again from the first run, with few steps."""
    text = (ROOT / "docs" / "annotate.md").read_text()
    commands = [c for block in re.findall(r"```bash\n(.*?)```", text, re.S) for c in re.findall(r"rsuda (.*)", block)]
    assert [c.split()[0] for c in commands] == ["suggest", "predict", "adapt"]
    shutil.copytree(ROOT / "sample_tiles", tmp_path / "sample_tiles")
    few = ["--steps", 2, "--batch-size", 2, "--workers", 0, "--device", "cpu"]
    rsuda("adapt", "--source", "potsdam", "--target", "vaihingen", *few, cwd=tmp_path)
    assert "4 of" in rsuda(*shlex.split(commands[0]), cwd=tmp_path)
    where = set(gpd.read_file(tmp_path / "windows.gpkg")["scene"])
    rsuda(*shlex.split(commands[1]), "--device", "cpu", cwd=tmp_path)
    found = sorted((tmp_path / "sample_tiles" / "corrected").glob("*_polygons.gpkg"))
    assert {re.search(r"area(\d+)_", p.name).group(1) for p in found} == where
    fields = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.S).group(1))
    (tmp_path / "annotated.yaml").write_text(yaml.safe_dump({**fields, "splits": {"train": sorted(where)}}))
    annotated = domain(str(tmp_path / "annotated.yaml"), tmp_path / "sample_tiles")
    squares = gpd.read_file(tmp_path / "windows.gpkg")
    for scene in annotated.labelled("train"):  # just the windows are labelled
        label, _ = scene.whole_label(annotated.legend)
        inside = squares.union_all().intersection(box(*scene.grid.bounds)).area
        assert inside > 0 and (label != IGNORE).sum() == pytest.approx(inside / 0.09**2, rel=0.03)
    rsuda(*shlex.split(commands[2]), *few, cwd=tmp_path)
    assert (tmp_path / "runs" / "vaihingen_annotated" / "scores_vaihingen_val.json").is_file()


@pytest.mark.parametrize("results", ["four_fields", "four_fields_lite0", "further_fields"])
def test_benchmarks_have_the_rows_of_the_results(results):
    table = (ROOT / "benchmarks" / "results" / results / "table.md").read_text()
    rows = re.findall(r"^\|.*\|$", table.partition("### All pairs")[2].partition("###")[0], re.MULTILINE)
    assert len(rows) >= 6
    assert set(rows) <= set((ROOT / "BENCHMARKS.md").read_text().splitlines())


@pytest.mark.parametrize("page", ["index.md", "choosing.md"])
def test_gains_in_sentences_are_those_of_the_results(page):
    table = (ROOT / "benchmarks" / "results" / "four_fields_lite0" / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| source-free |"))
    first, second, third, fourth = (f"{float(gain):.0f}" for gain in re.findall(r"\+\d+\.\d", row))
    assert f"{first}, {second}, {third} and {fourth} points" in (ROOT / "docs" / page).read_text()
