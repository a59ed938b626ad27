"""Test the limits of untrusted YAML and JSON files, on both sides of each."""

import json

import pytest

from rsuda.core.documents import DEEPEST, MOST_BYTES, MOST_VALUES, read_json, read_yaml
from rsuda.core.errors import InputError, MissingError


def nested(depth):
    tree = 0
    for _ in range(depth):
        tree = [tree]
    return tree


@pytest.mark.parametrize(("read", "name"), [(read_yaml, "file.yaml"), (read_json, "file.json")])
def test_file_holds_at_most_50_000_values(tmp_path, read, name):
    assert MOST_VALUES == 50_000
    file = tmp_path / name
    file.write_text(json.dumps([0] * (MOST_VALUES - 1)))  # the list itself is a value
    assert len(read(file, "legend")) == MOST_VALUES - 1
    file.write_text(json.dumps([0] * MOST_VALUES))
    with pytest.raises(InputError, match="more than 50000 values"):
        read(file, "legend")


def test_aliases_of_yaml_count_as_often_as_they_stand_for_values(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text("a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\nb: [" + ", ".join(["*a"] * 4_000) + "]\n")
    assert len(read_yaml(file, "legend")["b"]) == 4_000
    file.write_text("a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\nb: [" + ", ".join(["*a"] * 5_000) + "]\n")
    with pytest.raises(InputError, match="more than 50000 values"):
        read_yaml(file, "legend")


def test_file_nests_at_most_40_times(tmp_path):
    assert DEEPEST == 40
    file = tmp_path / "file.json"
    file.write_text(json.dumps(nested(DEEPEST)))
    assert read_json(file, "legend") == nested(DEEPEST)
    file.write_text(json.dumps(nested(DEEPEST + 1)))
    with pytest.raises(InputError, match="deeper than 40 times"):
        read_json(file, "legend")


def test_file_has_at_most_a_million_bytes(tmp_path):
    file = tmp_path / "file.json"
    file.write_text("1" + " " * (MOST_BYTES - 1))
    assert read_json(file, "legend") == 1
    file.write_text("1" + " " * MOST_BYTES)
    with pytest.raises(InputError, match=r"legend .*file\.json has 1000001 bytes; at most 1000000"):
        read_json(file, "legend")


@pytest.mark.parametrize("text", ["[" + str(2**64) + "]", '["\\ud800"]'])
def test_numbers_above_63_bits_and_lone_surrogates_are_refused(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(InputError, match="legend"):
        read_json(tmp_path / "file.json", "legend")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"there is no legend .*file\.json"):
        read_json(tmp_path / "file.json", "legend")
