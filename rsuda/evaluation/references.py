"""Give known scores on the sample tiles, to compare a run of preset 'sample' with: source-only and the oracle."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from rsuda.core.documents import read_json
from rsuda.core.errors import RsudaError
from rsuda.core.sample_data import SAMPLE, references_file
from rsuda.core.settings import Settings
from rsuda.data.domains.domain import Domain


@dataclass(frozen=True)
class Reference:
    """A measured score.

    Attributes:
        what: the run in words, such as 'source only, all 400 steps'.
        miou: in 0..1.
    """

    what: str
    miou: float


def references(settings: Settings, target: Domain) -> list[Reference]:
    """List the references of a run, which ``sample_tiles/references.json`` holds with the way they were made.

    They are of preset 'sample' with its encoder. The file has the SHA-256 of each scored image and label, so other or
    changed tiles have no references.
    """
    net = settings.network
    if settings.preset != SAMPLE or net.weights != SAMPLE or net.start:
        return []
    try:
        fields = read_json(references_file(), "references")
        conditions, split = fields["scored"], settings.validation.split
        if (
            conditions["split"] != split
            or not target.has_labels(split)
            or conditions["files"] != _digests(target, split)
        ):
            return []
        runs = [Reference(str(run["what"]), float(run["miou"])) for run in fields["runs"]]
    except (RsudaError, KeyError, TypeError, ValueError):
        return []
    return [reference for reference in runs if math.isfinite(reference.miou)]


def _digests(target: Domain, split: str) -> dict[str, str]:
    """Return the SHA-256 of the images and labels of a split by their names."""
    scenes = target.labelled(split)
    files = [Path(file) for scene in scenes for file in (*scene.images, scene.label) if file is not None]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files) if file.is_file()}
