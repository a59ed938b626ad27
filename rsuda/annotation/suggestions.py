"""Define the result of ``rsuda.suggest``: windows to label, and their file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsuda.annotation.suggest import Suggestion
    from rsuda.core.spec import Spec
    from rsuda.data.domains.domain import Domain


@dataclass(frozen=True)
class Suggestions:
    """Windows of a domain that are most worth a label.

    Attributes:
        windows: the suggestions, the first the most valuable.
        domain: the domain of their scenes.
        spec: of the model that chose them; rows and columns are pixels of its GSD.
        file: the GeoPackage with the windows; None without ``out``.
    """

    windows: tuple[Suggestion, ...]
    domain: Domain
    spec: Spec
    file: Path | None
