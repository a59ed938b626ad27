"""Validate the field ``images`` of a domain file: its deliveries, with the pattern and the bands of each raster."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import PlainValidator, model_validator

from rsuda.core.display import shown
from rsuda.core.validation import FrozenModel
from rsuda.data.domain_files.field_types import FilePattern, band_list


class ImageFiles(FrozenModel):
    """One delivery of a domain's images: a pattern of file names and the band order of the files.

    Attributes:
        files: pattern of the files.
        bands: names of the bands of one file in their order.
        more: further rasters of the same scenes; a list in a domain file is the first raster and these.
    """

    files: FilePattern
    bands: Annotated[tuple[str, ...], PlainValidator(band_list)]
    nodata: float | None = None
    more: tuple[ImageFiles, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """Expand patterns of images: a list of rasters is one delivery, ``{band}`` stands for each band's name."""
        entries = value if isinstance(value, list) else [value]
        parts = [part for entry in entries for part in _parts_of(entry)]
        return {**parts[0], "more": tuple(parts[1:])} if len(parts) > 1 else parts[0] if parts else value

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        every = [band for part in self.parts for band in part.bands]
        twice = next((band for band in every if every.count(band) > 1), None)
        if twice is not None:
            raise ValueError(f"band {shown(twice)} occurs twice in the rasters of a scene: give it another name in one")
        return self

    @property
    def parts(self) -> tuple[ImageFiles, ...]:
        """The rasters of a scene, the first one first."""
        return (self, *self.more)

    @property
    def all_bands(self) -> tuple[str, ...]:
        """Names of the bands of all rasters of a scene."""
        return tuple(band for part in self.parts for band in part.bands)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of all rasters of a scene."""
        return tuple(part.files for part in self.parts)


def as_deliveries(value: Any) -> Any:
    """Read the field ``images`` when it is a list: the rasters of one delivery."""
    return {"images": value} if isinstance(value, list) and value else value


def _parts_of(entry: Any) -> list[Any]:
    """Find one raster for each band where a pattern has the field {band}; names as delivered replace the field."""
    if not (isinstance(entry, dict) and "{band}" in str(entry.get("files")) and isinstance(entry.get("bands"), list)):
        return [entry]
    names = band_list(entry["bands"])
    files = str(entry["files"])
    return [
        {**entry, "files": files.replace("{band}", text), "bands": [name]}
        for text, name in zip(entry["bands"], names, strict=True)
    ]
