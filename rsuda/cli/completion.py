"""Complete names in the shell without loading anything heavy. The shell itself completes files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rsuda.core.vector_formats import FORMATS

HERE = Path(__file__).parents[1]


def methods(incomplete: str) -> list[str]:
    """Complete the names of methods; a file of one's own is completed by the shell."""
    from rsuda.methods import METHODS

    return _matching(METHODS, incomplete)


def presets(incomplete: str) -> list[str]:
    """Offer the presets."""
    return _matching((file.stem for file in (HERE / "core" / "presets").glob("*.yaml")), incomplete)


def domains(incomplete: str) -> list[str]:
    """Offer the known domains; the shell completes domain files and folders."""
    return _matching((file.stem for file in (HERE / "data" / "domain_files" / "catalogue").glob("*.yaml")), incomplete)


def runs(incomplete: str) -> list[str]:
    """Offer the run folders in runs/, those of a benchmark too."""
    folders = {file.parent for depth in ("*", "*/*/*/*") for file in Path("runs").glob(f"{depth}/config.yaml")}
    return _matching(map(str, folders), incomplete)


def formats(incomplete: str) -> list[str]:
    """Offer the formats of polygons."""
    return _matching([*FORMATS, "none"], incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
