"""Rehearse the benchmark of a GPU on a CPU, so that none of its parts fails for the first time on a machine that is rented."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path):
    words = [sys.executable, SCRIPT, "--out", tmp_path / "page.md", "--tiny"]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    parts = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    assert [name.partition(",")[0] for name in parts] == [
        "steps", "prediction", "streams", "precision", "processes", "adaptation",
    ]  # fmt: skip
    assert "failed" not in page and "not run" not in page
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| cpu | fp32")]
    assert rows and float(rows[0][3]) == 0, "fp32 on the CPU is what the others are compared with"
