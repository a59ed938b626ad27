"""Test that torch and torchvision of different builds end in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rsuda.cli.torch_builds import mixed_builds

ROOT = Path(__file__).parents[2]


def test_other_errors_are_not_those_of_builds():
    assert mixed_builds(RuntimeError("CUDA out of memory")) is None
    assert mixed_builds(ValueError("operator torchvision::nms does not exist")) is None


@pytest.mark.parametrize("command", [["adapt", "--source", "potsdam", "--target", "vaihingen", "--out", "run"]])
def test_a_torchvision_of_another_build_ends_in_one_sentence(command, tmp_path):
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")\n')
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    place = tmp_path / "empty"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rsuda.cli", *command], cwd=place, env=env, capture_output=True, text=True
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and "torchvision" in errors[0] and "of different builds" in errors[0]
    assert not (place / "run" / "weights.safetensors").exists()
