"""Which device and which precision a command runs at."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from rsuda.errors import InputError, unknown

PRECISIONS = ("auto", "bf16", "fp32")


def pick_device(name: str) -> torch.device:
    """'auto' is the GPU if there is one. Raises InputError for a device this machine does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device '{name}' is not auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device '{name}' was asked for, but this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """'bf16' where the device computes in it natively, else 'fp32', for 'auto'; otherwise the name itself."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # torch offers no public question for this; without an answer stay with fp32
    answers = [getattr(torch.cpu, f, lambda: False)() for f in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return "bf16" if any(answers) else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
