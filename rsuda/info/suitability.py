"""Check whether a scene suits a model: what predict would refuse, and how far its colours are from the training imagery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spec import Spec
from rsuda.data.checks.suitability import doubts
from rsuda.inference.open_scene import open_scene


def suitability(
    path: str | Path,
    spec: Spec,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    nodata: float | None = None,
) -> dict[str, Any]:
    """Check whether a scene suits a model.

    Args:
        bands, gsd, crs, nodata: as for predict, for a file without them.

    Returns:
        ``verdict``: 'fits', 'doubtful' or 'refused', with ``reasons``, sentences. If the scene is not refused also
        ``bands`` (needed, and by name in the file), ``gsd_ratio`` (scene over model), ``values`` (by band: the scene's 0.5
        and 99.5 percentiles, the model's range, and the share outside of it) and ``colour_distance``.

    The colour distance of a band is the 2-Wasserstein distance between two normal distributions: that of the scene's values
    and that of the model's standardisation. Its unit is the standard deviation of the latter: sqrt((difference of means)² +
    (difference of deviations)²). At 0 both are equal; from 1 on, colours are those of another sensor, season or exposure.
    """
    try:
        scene = open_scene(path, spec, bands=bands, gsd=gsd, crs=crs, nodata=nodata)
        facts, reasons = doubts(scene, spec)
    except (InputError, MissingError) as error:
        return {"verdict": "refused", "reasons": [str(error)]}
    return {"verdict": "doubtful" if reasons else "fits", "reasons": reasons, **facts}
