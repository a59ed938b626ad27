"""Commands in their own processes: answers, errors, and the end with the process that started them."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from rsuda.cluster.command import UnwantedError, run_command
from rsuda.core.errors import InputError


def run(what, file, folder, is_needed=lambda: True):
    run_command(["child_command", what, str(file)], str(folder), 3, is_needed)


def gone(pid, seconds=20):
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_command_gets_its_folder_and_threads(tmp_path):
    run("answer", tmp_path / "answer", tmp_path)
    answer = json.loads((tmp_path / "answer").read_text())
    assert answer.pop("pid") != os.getpid()
    assert answer == {"threads": 3, "omp": "3", "cwd": str(tmp_path)}
    run("answer", tmp_path / "answer", tmp_path / "missing")
    assert json.loads((tmp_path / "answer").read_text())["cwd"] == os.getcwd()


def test_a_failing_command_raises_its_sentence_or_its_traceback(tmp_path):
    with pytest.raises(InputError, match=r"^this is wrong: do that$"):
        run("sentence", tmp_path / "answer", tmp_path)
    with pytest.raises(RuntimeError, match="KeyError: 'by mistake'"):
        run("bug", tmp_path / "answer", tmp_path)
    with pytest.raises(InputError, match="its process was killed"):
        run("die", tmp_path / "answer", tmp_path)


def test_an_unneeded_command_is_killed(tmp_path):
    file = tmp_path / "answer"
    with pytest.raises(UnwantedError):
        run("wait", file, tmp_path, lambda: not file.is_file())
    assert gone(json.loads(file.read_text())["pid"], 1)


STARTER = """
import sys
from rsuda.cluster.command import run_command
run_command(["child_command", "wait", sys.argv[1]], ".", 1, lambda: True)
"""


def test_a_command_ends_when_its_starter_is_killed(tmp_path):
    file = tmp_path / "answer"
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(file)], env={**os.environ, "PYTHONPATH": paths}
    ) as starter:
        until = time.monotonic() + 60
        while not (file.is_file() and file.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        pid = json.loads(file.read_text())["pid"]
        assert psutil.pid_exists(pid)
        os.kill(starter.pid, signal.SIGKILL)
    assert gone(pid)


def test_a_file_in_the_working_folder_is_not_imported(tmp_path):
    for name in ("json", "rsuda", "child_command"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run')")
    run("answer", tmp_path / "answer", tmp_path)
    assert (tmp_path / "answer").is_file()
