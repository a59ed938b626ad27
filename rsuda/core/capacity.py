"""Check that memory and disk hold what a task needs, before anything is allocated or written."""

from __future__ import annotations

from pathlib import Path

from rsuda.core.display import size_text
from rsuda.core.errors import InputError, MissingError
from rsuda.core.machine import free_disk, memory
from rsuda.core.spelling import spell


def check_memory(needed: int, what: str, instead: str, root: Path = Path("/")) -> None:
    """Raise InputError if a number of bytes exceeds the memory of this machine or container, before it is allocated.

    Args:
        needed: bytes.
        what, instead: what needs them, and what to do about it, for the sentence.
        root: folder that has ``proc`` and ``sys``; tests pass another one.
    """
    machine = memory()
    if machine is not None and needed > machine:
        raise InputError(
            f"{what} needs {size_text(needed)} of memory, and this machine has {size_text(machine)}: {instead}"
        )
    container = container_memory(root)
    if container is not None and needed > container:
        raise InputError(
            f"{what} needs {size_text(needed)} of memory, and this container has {size_text(container)} left: {instead}"
        )


def container_memory(root: Path = Path("/")) -> int | None:
    """Measure the bytes that the memory limits of the process's cgroups (version 1 or 2) leave; None without a limit.

    Pages of the file cache do not count as used, since the system can release them. Schedulers such as SLURM and Kubernetes
    set these limits; the memory of the machine does not show them.
    """
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mounts = root / "sys" / "fs" / "cgroup"
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            mount = mounts
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            mount = mounts / "memory"
        else:
            continue
        inner = mount / path.lstrip("/")
        # a container often sees its own group as the mount point, and a limit of a parent group holds as well
        folders = {mount, *(folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount))}
        left += [bytes_left for folder in folders if (bytes_left := _group_memory(folder, *names)) is not None]
    return min(left, default=None)


def _group_memory(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """Measure the bytes that one cgroup has left; None without a limit or without these files."""
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in (limit, usage, "memory.stat")]
        most, in_use = int(texts[0]), int(texts[1])  # 'max' is not a number
        statistics = dict(line.split() for line in texts[2].splitlines())
        return max(0, most - max(0, in_use - int(statistics.get(cache, 0))))
    except (OSError, ValueError):
        return None


def check_disk(needed: int, folder: Path, what: str) -> None:
    """Raise MissingError if a number of bytes exceeds the free space on the disk of a folder, which may not exist yet."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = free_disk(parent)
    if free is not None and needed > free:
        raise MissingError(
            f"{what} needs {size_text(needed)} on the disk of {parent}, which has {size_text(free)} left: choose "
            f"another {spell('out')}"
        )
