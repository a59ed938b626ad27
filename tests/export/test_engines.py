"""Test the script that compares what runs a network on a CPU."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "engines.py"


@pytest.mark.slow
def test_engines_agree_in_float32(monkeypatch, capsys):
    """Eight bits of a random network on noise are timed too, but their classes say nothing."""
    spec = importlib.util.spec_from_file_location("engines", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = ["--encoder", "resnet18", "--channels", "16", "--window", "64", "--rounds", "2"]
    monkeypatch.setattr(sys, "argv", ["engines.py", *words])
    module.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    same = {row[0].removeprefix("| "): row[4] for row in rows[1:]}
    assert [*same][:4] == ["rsuda, fp32", "rsuda, bf16", "onnxruntime, fp32", "onnxruntime, 8 bits"]
    assert same["rsuda, fp32"] == "100.0%" and float(same["onnxruntime, fp32"].rstrip("%")) > 99.9
    assert all(0 < float(row[2]) < 10 and row[1] in ("1", "4") for row in rows[1:])
