"""Test that rsuda does without what only Unix has: the modules and functions are removed in a process of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import without_unix

ROOT = Path(__file__).resolve().parents[2]
HOMES = {
    ROOT / "rsuda" / "core" / "machine.py",
    ROOT / "rsuda" / "qgis" / "plugin" / "rsuda_qgis" / "child.py",  # runs inside of QGIS, without rsuda
}
ONLY_UNIX = {*without_unix.OF_OS, "uname", "fork", "SIGKILL", *without_unix.OF_SIGNAL}
TINY = [
    *("--method", "source-only", "--preset", "sample", "--weights", "none", "--steps", "2", "--crop", "64"),
    *("--batch-size", "2", "--device", "cpu", "--standardise", "imagenet", "--band-mixing", "0", "--no-bank", "-q"),
]


def sources():
    for file in sorted((ROOT / "rsuda").rglob("*.py")):
        yield file, ast.parse(file.read_text(encoding="utf-8"))


def test_only_one_file_of_rsuda_and_one_of_its_plugin_use_what_only_unix_has():
    offences = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {name.name for name in node.names} | {getattr(node, "module", None)}
                used = names & set(without_unix.MODULES)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = {node.attr} & ONLY_UNIX if node.value.id in ("os", "signal") else set()
            else:
                continue
            offences += [f"{file.name}:{node.lineno} {name}" for name in used if file not in HOMES]
    assert not offences


def test_text_files_name_their_encoding():
    """Windows reads and writes text in an encoding of its own unless one is named."""
    offences = []
    for file, tree in sources():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            named = {word.arg for word in node.keywords}
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            text = name in ("write_text", "read_text") or (
                name in ("open", "NamedTemporaryFile") and ("newline" in named or modes in (["r"], ["w"], ["a"], ["x"]))
            )
            home = getattr(getattr(node.func, "value", None), "id", None)
            if text and home not in ("rasterio", "stac_io") and "encoding" not in named:
                offences.append(f"{file.name}:{node.lineno}")
    assert not offences


def run_without_unix(folder, *commands):
    words = [word for command in commands for word in (*command, "--then")][:-1]
    code = [sys.executable, "-X", "warn_default_encoding", without_unix.__file__]
    ended = subprocess.run([*code, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def test_scene_is_described_and_predicted_without_unix(tiny_city, tiny_run, tmp_path):
    scene = tiny_city / "village_0_image.tif"
    predict = ["predict", scene, "--model", tiny_run, "--out", tmp_path, "--device", "cpu", "-q"]
    assert "GTiff" in run_without_unix(tmp_path, ["info", scene, "--model", tiny_run], predict)
    assert (tmp_path / "village_0_image_classes.tif").is_file()


@pytest.mark.slow
def test_every_quick_command_works_without_unix(tiny_city, tmp_path):
    pair = ["--source", tiny_city / "east.yaml", "--target", tiny_city / "west.yaml", "--data", tiny_city]
    (tmp_path / "plan.yaml").write_text(
        f"pairs: {{one: {{source.name: {tiny_city / 'east.yaml'}, target.name: {tiny_city / 'west.yaml'}}}}}\n"
        "methods: {plain: {method.name: source-only}}\nseeds: [0]\n"
        "settings: {preset: sample, training.steps: 2, training.batch_size: 2, patches.window: 64, network.weights: none}\n",
        encoding="utf-8",
    )
    of_run = ["run", "--data", tiny_city]
    run_without_unix(
        tmp_path,
        ["adapt", *pair, *TINY, "--workers", "1", "--out", "run"],
        ["predict", tiny_city / "village_0_image.tif", "--model", "run", "--out", "maps", "--device", "cpu"],
        ["evaluate", *of_run, "--device", "cpu"],
        ["report", *of_run, "--device", "cpu"],
        ["suggest", *of_run, "--device", "cpu"],
        ["info", tiny_city / "west.yaml", "--data", tiny_city],
        ["benchmark", "plan.yaml", "--data", tiny_city, "--out", "table", "--device", "cpu"],
    )
    assert (tmp_path / "table" / "table.md").is_file()


def test_system_says_how_much_memory_and_disk_it_has(tmp_path):
    from rsuda.core import machine

    assert machine.memory() > 1 << 28
    assert machine.free_disk(tmp_path) > 0
    assert machine.memory() > machine.peak_memory() > 1 << 20


def test_unknown_memory_and_disk_are_no_limits(tmp_path, monkeypatch):
    import os
    import shutil

    from rsuda.core import machine
    from rsuda.core.capacity import check_disk, check_memory

    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(shutil, "disk_usage")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert machine.memory() is None and machine.free_disk(tmp_path) is None
    check_memory(1 << 60, "a test", "do less", root=tmp_path)
    check_disk(1 << 60, tmp_path, "a test")


def test_peak_memory_counts_bytes_of_macos_and_kibibytes_of_linux(monkeypatch):
    resource = pytest.importorskip("resource")
    from rsuda.core import machine

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", "darwin")
    assert most <= machine.peak_memory() < 2 * most


def test_graphics_card_of_apple_is_refused_where_there_is_none():
    import torch

    from rsuda.core.errors import InputError
    from rsuda.learning.device import pick_device

    if torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(InputError, match="no GPU of Apple: use auto or cpu"):
        pick_device("mps")
