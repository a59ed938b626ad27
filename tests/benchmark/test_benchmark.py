"""A benchmark from its file to its table: what runs, what is kept, what is refused, and the numbers of the table."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_contents import same
from safetensors.torch import load_file
from short_settings import changed
from typer.testing import CliRunner

from rsuda.benchmark.job import RESULT
from rsuda.benchmark.plan import folder_of, read_plan, run_plan
from rsuda.benchmark.table import write_table
from rsuda.cli import app, main
from rsuda.core.errors import InputError, MissingError
from rsuda.core.settings import dump
from rsuda.evaluation.label_free import SCORES
from rsuda.methods import METHODS, described
from rsuda.training.build import check_run

SAMPLE_TILES = Path(__file__).parents[2] / "sample_tiles"
TINY = {"crop": 64, "batch_size": 2, "steps": 2, "weights": "none", "workers": 0, "channels": 16, "precision": "fp32"}


@pytest.fixture(scope="module")
def data(two_cities):
    return two_cities


def wrote(folder, **held):
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    return file


def held(data):
    pair = {"source": str(data / "east.yaml"), "target": str(data / "west.yaml"), "matched": {"standardise": "domain"}}
    return {
        "about": "Tiny.", "settings": {**TINY, "data": str(data)}, "seeds": [0, 1], "pairs": {"east → west": pair},
        "methods": {
            "source-only": {"as_is": True}, "twin": {"method": "bicl", "seeds": [1], "options": {"forward_weight": 0.0}},
            "oracle": {"oracle": True, "as_is": True, "seeds": [0]},
        },
    }  # fmt: skip


def test_a_plan_has_one_run_for_each_method_seed_and_pair(data, tmp_path):
    plan = read_plan(wrote(tmp_path, **held(data)), tmp_path / "out", {"training.steps": 5})
    assert [(j.method, j.seed, j.settings.method.name) for j in plan.jobs] == [
        ("source-only", 0, "source-only"), ("source-only", 1, "source-only"), ("twin", 1, "bicl"), ("oracle", 0, "source-only"),
    ]  # fmt: skip
    plain, _, twin, oracle = (j.settings for j in plan.jobs)
    assert (plain.align.standardise, twin.align.standardise, oracle.align.standardise) == (
        "imagenet",
        "domain",
        "imagenet",
    )
    assert oracle.source.name == oracle.target.name == plain.target.name != plain.source.name
    assert twin.method.options["forward_weight"] == 0 and {j.settings.training.steps for j in plan.jobs} == {5}
    assert len({j.folder for j in plan.jobs}) == 4


def test_a_plan_names_what_rows_are_compared_with(data, tmp_path):
    fields = held(data)
    plan = read_plan(wrote(tmp_path, **fields), tmp_path / "out")
    assert (plan.baseline, plan.oracle, plan.control, dict(plan.twins)) == ("source-only", "oracle", "source-only", {})
    fields["methods"]["dacs"] = {"twin": "twin", "training": {"steps": 4}}
    plan = read_plan(wrote(tmp_path, **fields, control="twin"), tmp_path / "out")
    assert plan.control == "twin" and dict(plan.twins) == {"dacs": "twin"}
    assert {job.settings.training.steps for job in plan.jobs if job.method == "dacs"} == {4}


@pytest.mark.slow
def test_runs_are_kept_and_the_table_says_what_they_scored(data, tmp_path):
    file, out = wrote(tmp_path, **held(data)), tmp_path / "out"
    plan = read_plan(file, out)
    ended = dict((j.folder.relative_to(out).as_posix(), f) for j, f in run_plan(plan, ["cpu"]))
    assert len(ended) == 4 and all(isinstance(f, dict) for f in ended.values())
    result = ended["east-west/twin/1"]
    assert result["row"] == "twin" and result["method"] == "bicl"
    assert result["peak_memory_mb"] is None or result["peak_memory_mb"] > 0  # None where an earlier run's peak hides it
    assert set(result["label_free"]) == set(SCORES) and result["pseudo_labels"]
    total = np.sum([*result["confusion_by_scene"].values()], 0)
    assert total.tolist() == result["confusion"] and len(result["confusion_by_scene"]) == result["scenes"]
    before = {p: p.stat().st_mtime_ns for p in out.rglob(RESULT)}
    assert list(run_plan(read_plan(file, out), ["cpu"])) == []
    assert {p: p.stat().st_mtime_ns for p in out.rglob(RESULT)} == before
    files = write_table(plan, out)
    assert [f.suffix for f in files] == [".md", ".csv", ".png"] and all(f.stat().st_size for f in files)
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert len(files[1].read_text().splitlines()) == 5
    assert f"{100 * result['miou']:.1f}" in files[0].read_text()


@pytest.mark.slow
def test_two_processes_of_one_device_go_on_after_a_failure_and_a_kill(data, tmp_path):
    """One run ends by a bug and one kills its process; the others equal the same runs in a process of their own."""
    (tmp_path / "bad.py").write_text(BAD)
    bad = {name: {"method": {"name": f"{tmp_path / 'bad.py'}:{name}"}, "seeds": [0]} for name in ("Bug", "Killed")}
    methods = {**bad, "source-only": {}, "after": {"method": "source-only"}}
    fields = {**held(data), "methods": methods, "seeds": [0, 1]}
    plan = read_plan(wrote(tmp_path, **fields), tmp_path / "out")
    ended = {(job.method, job.seed): result for job, result in run_plan(plan, ["cpu", "cpu"], threads=1)}
    assert len(ended) == len(plan.jobs) == 6
    assert ended["Bug", 0] == "RuntimeError: a bug" and "was killed" in ended["Killed", 0]
    for seed in (0, 1):
        assert ended["source-only", seed]["miou"] == ended["after", seed]["miou"]
    alone = read_plan(wrote(tmp_path, **{**fields, "methods": {"after": methods["after"]}}), tmp_path / "alone")
    list(run_plan(alone, ["cpu"], threads=1))
    for job in alone.jobs:
        assert same_weights(job.folder, tmp_path / "out" / job.folder.relative_to(tmp_path / "alone"))


@pytest.mark.slow
def test_a_plan_on_the_sample_tiles_from_the_command_to_its_tables(tmp_path):
    plan = {
        "settings": {"preset": "sample", "training": {"steps": 2, "precision": "fp32"}, "patches": {"workers": 0, "window": 64}},
        "pairs": {"p": {"source": "potsdam", "target": "vaihingen", "matched": {"align": {"target_statistics": True}}}},
        "methods": {"source-only": {}, "copy": {"method": "source-only", "twin": "source-only"}, "oracle": {"oracle": True}},
    }  # fmt: skip
    out = tmp_path / "out"
    words = ["--data", str(SAMPLE_TILES), "--out", str(out), "--device", "cpu", "--device", "cpu", "--threads", "1"]
    ended = CliRunner().invoke(app, ["benchmark", str(wrote(tmp_path, **plan)), *words])
    assert ended.exit_code == 0 and "[3 of 3]" in ended.output
    table = (out / "table.md").read_text()
    assert table in ended.output and "resamples of the 2 scenes" in table and "Rows differ" not in table
    assert "| copy | source-only | 0 | +0.0 | +0.0 to +0.0 | +0.0 | 0/1 |" in table
    again = CliRunner().invoke(app, ["benchmark", str(tmp_path / "plan.yaml"), *words])
    assert "3 of them done" in again.output and table in again.output


def same_weights(*folders):
    one, other = (load_file(folder / "weights.safetensors") for folder in folders)
    return same(one, other)


BAD = """
import os
from rsuda.methods.source_only import SourceOnly


class Bug(SourceOnly):
    def loss(self, *_):
        raise RuntimeError("a bug")


class Killed(SourceOnly):
    def loss(self, *_):
        os.kill(os.getpid(), 9)
"""


def test_a_finished_run_of_other_settings_is_not_taken_for_this_one(data, tmp_path):
    plan = read_plan(wrote(tmp_path, **held(data)), tmp_path / "out")
    job = plan.jobs[0]
    job.folder.mkdir(parents=True)
    (job.folder / RESULT).write_text("{}")
    (job.folder / "config.yaml").write_text(dump(check_run(changed(job.settings, steps=7))[0]))
    with pytest.raises(InputError, match=r"was run with training\.steps 7, and the file now says 2"):
        next(run_plan(plan, ["cpu"]))


def test_the_command_refuses_in_one_sentence(tmp_path, monkeypatch, capfd):
    file = wrote(tmp_path, pairs={"a": {"source": "potsdam", "target": "vaihingen"}}, methods={"dcas": {}})
    monkeypatch.setattr(sys, "argv", ["rsuda", "benchmark", str(file), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        main()
    err = capfd.readouterr().err
    assert end.value.code == 2 and err.count("\n") == 1 and "dacs" in err
    assert "Traceback" not in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": {"dcas": {}}}, ["dcas", "dacs"]),
        ({"methods": {"dacs": {"options": {"kep": 1}}}}, ["kep", "keep"]),
        ({"methods": {"dacs": {"stepz": 1}}}, ["stepz", "steps"]),
        ({"methods": {"dacs": {"only": ["nowhere"]}}}, ["nowhere", "east"]),
        ({"methods": {"dacs": {"seeds": 3}}}, ["seeds of dacs", "3"]),
        ({"methods": {"hrda": {"crop": 96}}}, ["hrda", "64", "96"]),
        ({"methods": {"dacs": {"batch_size": 1}}}, ["batch_size", "is 1, which leaves batch norm"]),
        ({"methods": {"dacs": {"devices": 2}}}, ["dacs", "devices 2", "leave them out of the row"]),
        ({"methods": {}}, ["methods"]),
        ({"sedes": [1]}, ["sedes", "seeds"]),
        ({"control": "source-onyl"}, ["control", "source-onyl", "source-only"]),
        ({"baseline": ["source-only"]}, ["baseline"]),
        ({"methods": {"dacs": {"twin": "mic"}, "bicl": {}}}, ["twin of dacs", "mic", "bicl"]),
        ({"methods": {"dacs": {"twin": "dacs"}}}, ["twin of dacs"]),
    ],
)
def test_a_wrong_file_is_refused_before_anything_runs(data, tmp_path, change, words):
    file = wrote(tmp_path, **{**held(data), **change})
    with pytest.raises(InputError) as error:
        read_plan(file, tmp_path / "out")
    assert all(w in str(error.value) for w in words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../away", "/etc", "..", "a/b"])
def test_no_name_leads_out_of_the_output_folder(tmp_path, name):
    folder = folder_of(tmp_path, name, name, 0)
    assert folder.resolve().is_relative_to(tmp_path) and ".." not in folder.parts


def test_names_that_would_share_a_folder_are_refused(data, tmp_path):
    methods = {"dacs a": {"method": "dacs"}, "dacs-a": {"method": "dacs"}}
    with pytest.raises(InputError, match="names whose letters and digits differ"):
        read_plan(wrote(tmp_path, **{**held(data), "methods": methods}), tmp_path / "out")


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(MissingError, match="no benchmark file"):
        read_plan(tmp_path / "none.yaml", tmp_path)
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="name: value"):
        read_plan(tmp_path / "list.yaml", tmp_path)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        read_plan(tmp_path / "bad.yaml", tmp_path)


def test_methods_lists_every_method_with_all_its_options():
    out = CliRunner().invoke(app, ["methods"]).output
    for name in METHODS:
        assert f" {name} " in out
        about = described(name)
        assert set(about["options"]) == set(METHODS[name].Options.model_fields)
        assert all(what for _, what in about["options"].values()), name
        assert about["cost"] >= 1
    one = json.loads(CliRunner().invoke(app, ["methods", "cluda", "--json"]).output)
    assert one["cluda"]["window_multiple"] == 64 and one["cluda"]["options"]["temperature"][0] == 1.0


def test_an_unknown_method_is_named_with_the_known_ones():
    found = CliRunner().invoke(app, ["methods", "clud"])
    assert isinstance(found.exception, InputError) and "cluda" in str(found.exception)
