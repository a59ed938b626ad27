"""OpenMP's threads spin for a bounded time and keep to a container's limit; what a user has set wins."""

import subprocess
import sys

import pytest

from rsuda.core import threads
from rsuda.core.threads import SPIN_COUNT, processor_limit, set_up_threads


@pytest.mark.parametrize(
    ("set_before", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": str(SPIN_COUNT), "RSUDA_SPINCOUNT": str(SPIN_COUNT), "OMP_NUM_THREADS": "2"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "2"}),
        ({"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "5"}, {"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "5"}),
        (  # with which training stops for ever
            {"OMP_DYNAMIC": "true", "GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "5"},
            {"OMP_DYNAMIC": "false", "GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "5"},
        ),
    ],
)
def test_variables_of_the_user_win(set_before, expected, monkeypatch):
    monkeypatch.setattr(threads, "processor_limit", lambda: 2)
    monkeypatch.setattr(threads, "usable_cores", lambda: 64)
    monkeypatch.setattr(threads, "is_busy", lambda: False)
    environment = dict(set_before)
    set_up_threads(environment)
    assert environment == expected


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("cpu.max", "150000 100000\n", 2),
        ("cpu.max", "max 100000\n", None),
        ("slice/job/cpu.max", "50000 100000\n", 1),
        ("cpu.max", "not a number", None),
        ("cpu/slice/cpu.cfs_quota_us", "300000", 3),
        ("cpu/cpu.cfs_quota_us", "-1", None),
    ],
)
def test_limits_of_containers_are_read(tmp_path, file, text, limit):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if file.endswith("cfs_quota_us"):
        path.with_name("cpu.cfs_period_us").write_text("100000")
    groups = tmp_path / "groups"
    groups.write_text("0::/slice/job\n")
    assert processor_limit(str(tmp_path), str(groups)) == limit
    assert processor_limit(str(tmp_path / "nowhere"), str(tmp_path / "nothing")) is None


def test_it_is_set_before_torch_is_imported():
    code = "import rsuda, os, sys; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    count, loaded = printed.split()
    assert count in ("0", str(SPIN_COUNT)) and loaded == "False"  # by the load of the machine


@pytest.mark.parametrize(
    ("text", "busy"),
    [
        ("0.00 0.00 0.00 1/200 77", False),
        ("9.00 9.00 9.00 2/200 77", True),
        ("0 0 0 40/200 7", True),
        ("", False),
        ("a b c d", False),
    ],
)
def test_threads_sleep_at_once_where_other_processes_run_on_all_cores(tmp_path, monkeypatch, text, busy):
    (tmp_path / "loadavg").write_text(text)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    assert threads.is_busy(str(tmp_path / "loadavg")) is busy
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 64)
    assert not threads.is_busy(str(tmp_path / "loadavg"))


@pytest.mark.parametrize("busy", [False, True])
def test_a_child_process_looks_at_the_load_anew(monkeypatch, busy):
    monkeypatch.setattr(threads, "is_busy", lambda: not busy)
    threads.set_up_threads(environment := {})
    monkeypatch.setattr(threads, "is_busy", lambda: busy)
    threads.set_up_threads(environment)
    assert environment["GOMP_SPINCOUNT"] == ("0" if busy else str(SPIN_COUNT))
    environment["GOMP_SPINCOUNT"] = "7"  # as a user sets it between the two
    threads.set_up_threads(environment)
    assert environment["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize(
    ("text", "cores", "threads_now", "advised"),
    [
        ("1.20 0.50 0.10 2/91 7", 2, 2, 1),  # one program, now and over the last minute
        ("5.00 4.00 4.00 6/91 7", 2, 2, 1),  # at least one thread stays
        ("5.00 4.00 4.00 3/91 7", 16, 16, 14),
        ("1.20 0.50 0.10 2/91 7", 2, 1, None),
        ("0.90 0.50 0.10 2/91 7", 2, 2, None),  # for a moment only
        ("1.90 0.50 0.10 1/91 7", 2, 2, None),  # it has just ended
        ("", 2, 2, None),
        ("a b c d", 2, 2, None),
    ],
)
def test_fewer_threads_are_advised_beside_busy_programs(tmp_path, monkeypatch, text, cores, threads_now, advised):
    (tmp_path / "loadavg").write_text(text)
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: cores)
    busy = threads.busy_cores(str(tmp_path / "loadavg"))
    monkeypatch.setattr(threads, "busy_cores", lambda: busy)
    advice = threads.advice_on_threads(threads_now)
    assert (advice is None) if advised is None else f"threads={advised}" in advice
