"""Test that a domain file near a mistyped name is named, and that the sample tiles need no data folder."""

import shutil
from pathlib import Path

import pytest

import rsuda
from rsuda.cli.terminal import Notes, print_facts

FILE = Path(__file__).parents[2] / "configs" / "domains" / "dubai.yaml"


@pytest.mark.parametrize("folder", [".", "configs/domains"])
def test_domain_file_near_the_name_is_named(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    near = Path(folder) / "dubai.yaml"
    near.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILE, near)
    for function in (rsuda.info, rsuda.domain):
        with pytest.raises(rsuda.InputError, match=f"unknown domain 'dubai': to use its domain file, pass {near}"):
            function("dubai")
        with pytest.raises(rsuda.MissingError, match=f"no domain file dubai.yml: did you mean {near}"):
            function("dubai.yml")


def test_gap_of_the_sample_cities_needs_no_data_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = rsuda.gap("potsdam", "vaihingen")
    assert facts["target"]["name"] == "vaihingen" and facts["sources"][0]["scenes"] == 4


def test_equal_sides_of_a_pixel_are_one_number(capsys):
    print_facts({"gsd": [0.09, 0.09]})
    print_facts({"gsd": [0.5, 1.0]})
    assert capsys.readouterr().out == "gsd: 0.09\ngsd: 0.5 to 1\n"


def test_note_of_many_scenes_is_printed_once_with_their_number(capsys):
    notes = Notes()
    for name in ("x1", "x2", "x3"):
        notes.show([f"d/{name}.tif has no CRS", f"out/{name}_classes.tif stays"], f"d/{name}.tif")
    notes.show(["d/x3.tif has a collar"], "d/x3.tif")
    notes.close()
    assert capsys.readouterr().out.splitlines() == [
        "note: d/x1.tif has no CRS",
        "note: out/x1_classes.tif stays",
        "note: d/x3.tif has a collar",
        "note: 2 more scenes like this: d/x1.tif has no CRS",
        "note: 2 more scenes like this: out/x1_classes.tif stays",
    ]
