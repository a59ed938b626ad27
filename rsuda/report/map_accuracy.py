"""Take the accuracy of a map, estimated by ``rsuda assess``, into the report of the run that made the map."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rasterio.errors import RasterioError

from rsuda.accuracy.display import area, area_interval, area_unit, percent
from rsuda.accuracy.read_assessment import RESULTS, read_assessment
from rsuda.accuracy.results import Assessment, ClassAccuracy, Estimate
from rsuda.core.errors import InputError, MissingError
from rsuda.geo.maps.class_raster import raster_tags
from rsuda.report.runs import ReportRun

FOLDER = "accuracy"  # beside the page, where an assessment is looked for
_PAGE = "accuracy.html"


@dataclass(frozen=True)
class MapAccuracy:
    """An assessment as the page shows it.

    Attributes:
        run: index of the run whose model made the map; None where no run of the page did.
        link: address of the assessment's own page, relative to the report; '' without that page.
    """

    assessment: Assessment
    run: int | None
    link: str

    @property
    def classes(self) -> list[ClassAccuracy]:
        """The classes that the map or a label has."""
        return [
            part for part in self.assessment.classes if part.points_mapped + part.points_labelled or part.mapped_area
        ]

    @property
    def unit(self) -> str:
        """The unit of the areas."""
        return self._unit[0]

    @property
    def _unit(self) -> tuple[str, float, int]:
        return area_unit(self.assessment.total_area, self.assessment.unit)

    def mapped(self, part: ClassAccuracy) -> str:
        """Format the area of a class in the map."""
        return area(part.mapped_area, self._unit)

    def estimated(self, part: ClassAccuracy) -> str:
        """Format the estimated area of a class with its interval."""
        return area_interval(part.area, self._unit)

    def place(self, value: float) -> str:
        """Return the place of an area on the axis of the chart, in percent of its length; '' without a number."""
        most = max(max(part.area.high, part.mapped_area) for part in self.classes)
        return f"{100 * value / most:.2f}" if math.isfinite(value) and most else ""

    def share(self, estimate: Estimate) -> str:
        """Format a share with its interval in percent."""
        return percent(estimate, 0)


def map_accuracy(folder: str | Path | None, page: Path, runs: Sequence[ReportRun]) -> MapAccuracy | None:
    """Read an assessment.

    Args:
        folder: of ``rsuda assess --out``. By default the folder 'accuracy' beside the page, if a run of the page made its map.

    Raises:
        MissingError, InputError: the named folder holds no assessment.
    """
    place = page.parent / FOLDER if folder is None else Path(folder).expanduser()
    if folder is None and not (place / RESULTS).is_file():
        return None
    try:
        assessment = read_assessment(place)
    except (InputError, MissingError):
        if folder is None:
            return None
        raise
    network = _network(Path(assessment.map))
    run = next((i for i, run in enumerate(runs) if run.trained.digest == network), None)
    if folder is None and run is None:
        return None
    own_page = place / _PAGE
    link = quote(Path(os.path.relpath(own_page, page.parent)).as_posix()) if own_page.is_file() else ""
    return MapAccuracy(assessment, run, link)


def _network(place: Path) -> str | None:
    """Read which model made a map or a folder of its tiles; None where the map is missing or does not say."""
    file = min(place.glob("*_classes.tif"), default=None) if place.is_dir() else place
    if file is None or not file.is_file():
        return None
    try:
        return raster_tags(file).get("RSUDA_NETWORK")
    except RasterioError:
        return None
