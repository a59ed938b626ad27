"""Libraries that take long to load, and are loaded when something of them is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import geopandas
    import pandas
    import pyogrio
else:

    class _Late:
        """Stands for a library, and looks each name up in it."""

        def __init__(self, library: str) -> None:
            self.library = library

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self.library), name)

    geopandas, pandas, pyogrio = _Late("geopandas"), _Late("pandas"), _Late("pyogrio")

__all__ = ["geopandas", "load_tables", "pandas", "pyogrio"]


def load_tables() -> None:
    """Load what reads and writes polygons, on another thread than the one that will need it."""
    import_module("geopandas")
    import_module("pyogrio")
