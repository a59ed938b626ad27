"""What the shell offers after an option: names found without loading anything heavy. Files are the shell's own offer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parents[1]
FORMATS = ("gpkg", "fgb", "geojson", "parquet", "none")


def methods(incomplete: str) -> list[str]:
    """Complete the names of methods; a file of one's own is completed by the shell."""
    from rsuda.methods import METHODS

    return _fitting(METHODS, incomplete)


def presets(incomplete: str) -> list[str]:
    from rsuda.core.settings import PRESETS

    return _fitting(PRESETS, incomplete)


def domains(incomplete: str) -> list[str]:
    """Known domains; domain files and folders are completed by the shell."""
    return _fitting((f.stem for f in (HERE / "data" / "known").glob("*.yaml")), incomplete)


def runs(incomplete: str) -> list[str]:
    """Run folders in runs/, those of a benchmark too."""
    found = {f.parent for depth in ("*", "*/*/*/*") for f in Path("runs").glob(f"{depth}/config.yaml")}
    return _fitting(map(str, found), incomplete)


def formats(incomplete: str) -> list[str]:
    return _fitting(FORMATS, incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(n for n in names if n.startswith(incomplete))
