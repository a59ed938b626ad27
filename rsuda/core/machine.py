"""Ask the machine for memory and disk, and end processes: the one home of what Unix, macOS and Windows do in their own ways.

Each question has a fallback, or no answer (None), so that every command works where a system lacks a module or a function.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any


def _module(name: str) -> Any:
    """Import a module that some systems lack, or whose own needs they lack; None there."""
    try:
        return import_module(name)
    except (ImportError, AttributeError):
        return None


def host() -> str:
    """Name this machine."""
    return platform.node() or "this machine"


def processor() -> str:
    """Name the processor; Python does not report it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == "model name"), "")


def usable_cores() -> int:
    """Count the processor's cores that this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int | None:
    """Count the bytes of the machine's memory; None where the system does not say."""
    with suppress(AttributeError, ValueError, OSError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return pages * size if pages > 0 and size > 0 else None
    if psutil := _module("psutil"):
        return int(psutil.virtual_memory().total)
    return _windows_memory()


def share_memory_pool() -> None:
    """Let threads that begin from now on take memory from one pool of glibc.

    Their own pools hold at most 64 MB. Larger tensors go back to the system at once, and prediction in float32 takes a
    quarter more processor time. A thread keeps the pool that it has, so this comes first. Does nothing without glibc.
    """
    arena_max = -8  # number of <malloc.h>
    set_allocator(arena_max, 1)


def set_allocator(option: int, value: int) -> None:
    """Set an option of glibc's memory allocator (mallopt). Does nothing where the C library has none, as musl."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(option, value)


def return_freed_memory() -> None:
    """Return freed memory that the C library keeps to the system, between two parts of a long task. Linux with glibc only."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _windows_memory() -> int | None:
    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "files", "free_files", "virtual", "left", "more")),
        )

    status = Status(length=ctypes.sizeof(Status))
    with suppress(AttributeError, OSError):
        windows: Any = ctypes.windll  # type: ignore[attr-defined,unused-ignore]
        if windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return int(status.total)
    return None


def peak_memory() -> int | None:
    """Count the most bytes that this process has had in memory; None where the system does not say."""
    if resource := _module("resource"):
        peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
    if psutil := _module("psutil"):
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    return None


def reset_peak_memory() -> None:
    """Let ``peak_memory`` count from now on, on Linux; other systems cannot do this, and it stays as it is."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see proc(5)


def free_disk(folder: Path) -> int | None:
    """Count the free bytes on the disk of a folder; None where the system does not say."""
    with suppress(AttributeError, OSError):
        return shutil.disk_usage(folder).free
    if psutil := _module("psutil"):
        with suppress(AttributeError, OSError):
            return int(psutil.disk_usage(str(folder)).free)
    return None


def flush(path: str | Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError where a folder cannot be opened."""
    # Windows flushes files only through a descriptor that may write
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own session, with its own children, and wait for its end."""
    if hasattr(os, "killpg") and hasattr(signal, "SIGKILL"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif psutil := _module("psutil"):
        with suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
    process.kill()
    process.wait()


def was_killed(code: int) -> bool:
    """Check whether an exit code says that the system killed the process, as it does when memory runs out."""
    return code == -getattr(signal, "SIGKILL", 9)
