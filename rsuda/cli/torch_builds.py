"""Recognise torch and torchvision of different builds, as those of PyPI and of the index for CPUs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_MISSING = "operator torchvision::"  # torch's words for an operator of torchvision that was built for another torch
_CPU = " --index-url https://download.pytorch.org/whl/cpu"


def mixed_builds(error: BaseException) -> str | None:
    """Write the sentence on an error that torch and torchvision of different builds raise when they are imported.

    Returns:
        Both versions and what to install; None for any other error.
    """
    if not isinstance(error, RuntimeError) or _MISSING not in str(error):
        return None
    return (
        f"torch {_version('torch')} and torchvision {_version('torchvision')} are of different builds: install both from one "
        f"index by pip install --force-reinstall torch torchvision{_CPU if 'cpu' in _version('torch') else ''}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
