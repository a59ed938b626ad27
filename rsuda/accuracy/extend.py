"""Add points to an earlier sample of a map, whose labels stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from rsuda.accuracy.class_map import ClassMap
from rsuda.accuracy.points_file import CHIP, COLUMNS, REFERENCE, Design, columns_of, read_points
from rsuda.accuracy.strata import Stratum
from rsuda.core.errors import InputError, unknown
from rsuda.core.spelling import spell

_LABELS = (REFERENCE, "note")


@dataclass(frozen=True)
class EarlierSample:
    """A sample that is extended.

    Attributes:
        file: of ``rsuda.sample``.
        points: with labels.
        design: how they were drawn.
    """

    file: Path
    points: gpd.GeoDataFrame
    design: Design

    @staticmethod
    def read(file: str | os.PathLike[str]) -> EarlierSample:
        """Read a sample. Raises InputError for points without the tables of ``rsuda.sample``."""
        path = Path(file).expanduser()
        points, design = read_points(path)
        if design is None or not {"row", "col", *_LABELS} <= set(points.columns) or "seed" not in design.facts:
            raise InputError(
                f"{path} cannot be extended, since the tables or columns of rsuda sample are missing: name the file that it wrote"
            )
        return EarlierSample(path, points, design)

    @property
    def seed(self) -> int:
        """The seed of its draws, which go on."""
        return int(self.design.facts["seed"])

    def least(self, map_: ClassMap, strata: list[Stratum]) -> np.ndarray:
        """Return the points (H,) that each stratum has already. Raises InputError for another map or other strata."""
        if not map_.digest() or self.design.facts.get("digest") != map_.digest():
            raise InputError(f"{self.file} is a sample of another map than {map_.place}, so it cannot be extended")
        before = [(part.name, part.pixels) for part in self.design.strata]
        if before != [(part.name, part.pixels) for part in strata]:
            raise InputError(
                f"{self.file} has other strata ({', '.join(name for name, _ in before[:10])}): pass the {spell('strata')} and "
                f"{spell('bands')} that it was drawn with"
            )
        return np.array([part.points for part in self.design.strata])

    def with_added(
        self, map_: ClassMap, strata: list[Stratum], add: Mapping[str, int]
    ) -> tuple[np.ndarray, str | None]:
        """Return the points (H,) that each stratum has with those that are added, and a note where its pixels are fewer.

        Raises InputError for an unknown stratum; see also ``least``.
        """
        numbers, names = self.least(map_, strata), [part.name for part in strata]
        for name, count in add.items():
            if name not in names:
                raise unknown("stratum", name, names)
            numbers[names.index(name)] += count
        pixels = np.array([part.pixels for part in strata])
        less = ", ".join(names[k] for k in np.flatnonzero(numbers > pixels))
        note = f"{less} has fewer pixels than were asked for, and all of them are drawn" if less else None
        return np.minimum(numbers, pixels), note

    def picture_notes(self, folder: Path | None) -> list[str]:
        """Say that the points have pictures and the new ones get none, without a folder for them."""
        if CHIP not in self.points.columns or folder is not None:
            return []
        return [
            f"the earlier points have pictures, and these have none: pass {spell('chips')} and {spell('image')} for them"
        ]

    def carry_labels(self, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Put the earlier points first, in their order, with their labels and columns of the user's, and number all again."""
        order = self.points.sort_values("id") if "id" in self.points else self.points
        rank = {place: number for number, place in enumerate(zip(order["row"], order["col"], strict=True))}
        ranks = [rank.get(place, len(rank)) for place in zip(frame["row"], frame["col"], strict=True)]
        frame = frame.iloc[np.argsort(ranks, kind="stable")].reset_index(drop=True)
        earlier = np.sort(ranks) < len(rank)
        earlier_points = order.iloc[np.sort(ranks)[earlier]]
        extra_columns = [name for name in columns_of(order) if name not in (*COLUMNS, "fid")]
        frame = frame.assign(**{name: pd.Series([None] * len(frame), dtype=object) for name in extra_columns})
        for name in (*_LABELS, *extra_columns):
            frame.loc[earlier, name] = earlier_points[name].to_numpy()
        return frame.assign(id=np.arange(1, len(frame) + 1))
