"""Pick the device and the precision of a command."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from rsuda.core.errors import InputError, unknown
from rsuda.core.machine import set_allocator, share_memory_pool
from rsuda.core.spelling import spell

PRECISIONS = ("auto", "bf16", "fp32")


def pick_device(name: str) -> torch.device:
    """Choose the device: 'auto' is the GPU of NVIDIA, AMD or Apple, or the CPU without one.

    Raises:
        InputError: the name is invalid, or this machine does not have the device.
    """
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device '{name}' is not auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device '{name}' is not auto, cpu, cuda, cuda:N or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device '{name}' was asked for, but this machine has no GPU of Apple: use auto or cpu")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device '{name}' was asked for, but this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Choose the precision: 'auto' is 'bf16' where the device computes in it natively, else 'fp32'.

    Other names stay as they are.
    """
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "mps":
        return "fp32"
    # torch offers no public question for this; without an answer stay with fp32
    answers = [getattr(torch.cpu, f, lambda: False)() for f in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return "bf16" if any(answers) else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def use_threads(count: int | None) -> None:
    """Compute with a number of CPU threads in this process; None changes nothing.

    Raises InputError for a number below 1.
    """
    if count is not None and count < 1:
        raise InputError(f"{spell('threads')} is {count}; it must be at least 1")
    if count is not None:
        torch.set_num_threads(count)


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next tensors, in one pool for all threads.

    By default it returns every large block to the system, which then hands out each page again. A forward pass of large
    windows on a CPU spends more than half of its time on that (BENCHMARKS.md, Prediction). Does nothing without glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # numbers of <malloc.h>
    set_allocator(mmap_threshold, 1 << 30)
    set_allocator(trim_threshold, (1 << 31) - 1)
    share_memory_pool()
