"""Set how OpenMP's threads behave, before torch loads it: they share a busy machine, and keep to a container's limit.

torch's wheels for Linux bring libgomp. A thread of it that waits for the others spins some 300 000 rounds, milliseconds, before
it sleeps. Beside another busy process the thread that all wait for has no core meanwhile, and training stands still.

The number of threads does not follow the load. Sums over more or fewer threads round otherwise, and a resumed run would
differ from the uninterrupted one. OpenMP does follow it with OMP_DYNAMIC, and then training stops for ever: oneDNN's gradients of
1x1 convolutions wait for threads that OpenMP has not started.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import MutableMapping

from rsuda.core.machine import usable_cores
from rsuda.core.spelling import spell

# Rounds on a machine with free cores, as measured by benchmarks/busy_neighbour.py. Training steps beside two busy processes on
# two cores took 26 s with 10 000 rounds or OpenMP's own, 11 s with 3 000 and 10 s with 1 000. Alone they took 5.1 s with
# 3 000, 5.9 s with 1 000 and 5.5 s with OpenMP's own. Where all cores have work when a command begins, threads sleep at
# once: 8 s beside one or two busy processes, and 5.8 s alone.
SPIN_COUNT = 3_000
_LOOKS, _PAUSE = 3, 0.002  # looks at the processes that run, and seconds between them
_ROUNDS, _WAITING = "GOMP_SPINCOUNT", ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_CHOSEN = "RSUDA_SPINCOUNT"  # the rounds that rsuda has chosen; a process that it starts chooses for itself
_NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def set_up_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set variables that OpenMP reads when torch is imported. Variables that a user has set win, but for OMP_DYNAMIC; those of a
    parent do not."""
    if "OMP_DYNAMIC" in environment:
        environment["OMP_DYNAMIC"] = "false"
    rounds = environment.get(_CHOSEN)
    if rounds is not None and environment.get(_ROUNDS) == rounds:
        del environment[_ROUNDS]
    if not any(name in environment for name in _WAITING):
        environment[_ROUNDS] = environment[_CHOSEN] = "0" if is_busy() else str(SPIN_COUNT)
    limit = processor_limit()
    if limit is not None and limit < usable_cores() and not any(name in environment for name in _NUMBERS):
        environment["OMP_NUM_THREADS"] = str(limit)


def is_busy(file: str = "/proc/loadavg") -> bool:
    """Check whether other processes run on cores that this one would use, at each of three looks. False where no one says."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        running = _read(file).split()[3:4]  # such as 3/512, of all threads
        others = int(running[0].partition("/")[0]) - 1 if running and running[0].partition("/")[0].isdigit() else 0
        if others + usable_cores() <= (os.cpu_count() or 1):
            return False
    return True


def busy_cores(file: str = "/proc/loadavg") -> int:
    """Count the cores that other processes use, now and on average over the last minute; 0 where no one says."""
    average, *_, running = [*_read(file).split(), "", "", "", ""][:4]
    try:
        count = min(int(float(average)), int(running.partition("/")[0]) - 1)
    except ValueError:
        return 0
    cores = os.cpu_count() or 1
    return max(0, count) if usable_cores() == cores else 0  # the processes may run on cores that this one may not use


def advice_on_threads(threads: int) -> str | None:
    """Advise fewer threads where other processes use the cores of some; None where all have a core."""
    cores = usable_cores()
    busy = min(busy_cores(), cores)
    free = max(1, cores - busy)
    if threads <= free:
        return None
    return (
        f"other programs use {busy} of {cores} cores, so that {threads} threads would wait for each other: "
        f"{spell('threads', free)} is often faster"
    )


def processor_limit(root: str = "/sys/fs/cgroup", groups: str = "/proc/self/cgroup") -> int | None:
    """Count the processors that a container may use, at least 1; None without a limit. Both versions of cgroups are read."""
    paths = ("", *_groups(groups))
    quotas = [*(_quota(f"{root}{path}") for path in paths), *(_old_quota(f"{root}/cpu{path}") for path in paths)]
    limits = [quota for quota in quotas if quota is not None]
    return max(1, math.ceil(min(limits))) if limits else None


def _groups(file: str) -> list[str]:
    """List the paths of this process's groups and of those above them, each below the root."""
    paths: list[str] = []
    for line in _read(file).splitlines():
        parts = [part for part in line.rpartition(":")[2].split("/") if part not in ("", "..")]
        paths += [f"/{'/'.join(parts[:count])}" for count in range(1, len(parts) + 1)]
    return paths


def _quota(folder: str) -> float | None:
    quota, _, period = _read(f"{folder}/cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _old_quota(folder: str) -> float | None:
    return _ratio(_read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # 'max', or no such file
        return None
    return share if share > 0 else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
