"""Look at a source and a target as ``rsuda adapt`` does before training: ``rsuda gap``. It loads no learning library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsuda.core.atomic import atomic_write
from rsuda.core.sample_data import SAMPLE_DOMAINS, tiles_folder
from rsuda.core.settings import make_settings
from rsuda.data.find_domain import find_domains, names_and_objects
from rsuda.data.pairs.look import look_at
from rsuda.info.gap_measure import measure


def gap(
    source: Any,
    target: Any,
    *,
    data: str | Path | None = None,
    source_bands: str | None = None,
    target_bands: str | None = None,
    target_nodata: float | None = None,
    plot: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compare two domains as ``rsuda adapt`` does before training. No label of the target is opened.

    Args:
        source, target: as in ``rsuda.adapt``.
        data: folder of the files of domains that are named. Without it, 'potsdam' and 'vaihingen' are the sample tiles.
        source_bands, target_bands: band order, such as 'IRRG'.
        target_nodata: value that marks pixels of the target without data; the files' own by default.
        plot: PNG to draw the comparison in.
        overwrite: replace an existing plot.

    Returns:
        sources and target (scenes, bands, GSD in metres, pixel types), the source's class shares, mean and deviation of
        each band in raw values, distances in deviations, the settings that are chosen with reasons, and the expected risk.

    Raises:
        InputError, MissingError: as ``rsuda.adapt`` before it trains.
        ExistsError: the plot exists, and ``overwrite`` is False.

    Example:
        >>> import rsuda
        >>> facts = rsuda.gap("potsdam", "vaihingen", data="sample_tiles")
        >>> facts["settings"].get("align.band_matching")
        {'value': 'name', 'reason': 'both domains have ir, red, green'}
        >>> facts["risk"].get("level") in ("low", "moderate", "high")
        True
    """
    names, objects = names_and_objects(source, target)
    if data is None and {names["source.name"], names["target.name"]} <= set(SAMPLE_DOMAINS):
        data = tiles_folder()
    values = {
        **names,
        "data": data,
        "source.bands": source_bands,
        "target.bands": target_bands,
        "target.nodata": target_nodata,
    }
    settings = make_settings({name: value for name, value in values.items() if value is not None})
    if plot is None:
        return measure(look_at(*find_domains(settings, objects), settings)).as_fields()
    from rsuda.info.gap_plot import draw_gap

    with atomic_write(plot, overwrite=overwrite) as temporary:
        gap_measurement = measure(look_at(*find_domains(settings, objects), settings))
        draw_gap(gap_measurement, temporary)
    return gap_measurement.as_fields()
