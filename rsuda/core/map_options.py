"""Define the options of prediction. One field is a flag of ``rsuda predict`` and a keyword of ``rsuda.predict``. If it
changes a map, it is also a part of the key by which finished maps are skipped."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from rsuda.core.errors import InputError
from rsuda.core.number_text import metres
from rsuda.core.spelling import spell
from rsuda.core.validation import FrozenModel, validate
from rsuda.core.vector_formats import FORMATS, check_format

Changes = Literal["pixels", "files", "nothing"]


def option(
    default: Any,
    description: str,
    *,
    changes: Changes,
    flags: tuple[str, ...] = (),
    **limits: Any,
) -> Any:
    """Declare a field of the options.

    Args:
        changes: what another value of the field changes: the pixels of a map, its files only, or nothing in it.
        flags: of the command line, where they are not the field's name.
        limits: further arguments of pydantic's Field, such as ``ge=0``.
    """
    extra: Any = {"changes": changes, "flags": list(flags)}
    return Field(default, description=description, json_schema_extra=extra, **limits)


def _keep_integer(value: Any, validate_float: ValidatorFunctionWrapHandler) -> Any:
    number = validate_float(value)
    return value if type(value) is int else number


# Keys of maps hold 2 and 2.0 as different text, so an integer is not converted.
Number = Annotated[float, WrapValidator(_keep_integer)]
Metres = Annotated[Number, BeforeValidator(metres)]


class PredictorOptions(FrozenModel):
    """Options of the model at work: windows, views, numerical precision and device."""

    window: int = option(
        512,
        "Side of the windows in pixels of the model's GSD, a multiple of 32.",
        changes="pixels",
        ge=32,
        multiple_of=32,
    )
    overlap: int = option(128, "Pixels by which neighbouring windows overlap.", changes="pixels", ge=0)
    batch_size: int = option(4, "Windows that the model computes at a time.", changes="nothing", ge=1)
    tta: Literal["none", "flips", "all"] = option(
        "none",
        "Test-time augmentation: mean over 'flips' (4 views), 'all' flips and right-angle turns (8), or none.",
        changes="pixels",
    )
    precision: Literal["auto", "bf16", "fp32"] = option(
        "auto", "auto, bf16 or fp32; auto is bf16 where the device computes in it.", changes="pixels"
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps (GPUs of Apple).", changes="nothing")

    @model_validator(mode="after")
    def _check_overlap(self) -> Self:
        if self.overlap >= self.window:
            raise InputError(f"{spell('overlap')} is {self.overlap}; it must be below the window of {self.window} px")
        return self


class FileOptions(FrozenModel):
    """Options of the files that are written for each scene."""

    out: Path | None = option(
        None, "Folder for the outputs; beside each scene by default.", changes="nothing", flags=("--out", "-o")
    )
    polygons: str | None = option(
        "gpkg", f"Format of the polygons: {', '.join(FORMATS)} or none.", changes="files", flags=("--format",)
    )
    min_area: Number = option(0.0, "Square metres; smaller polygons join a neighbour.", changes="files", ge=0)
    simplify: Metres = option(
        0.0, "Metres by which borders of polygons are simplified; shared borders stay shared.", changes="files", ge=0
    )
    regularise: tuple[str, ...] = option(
        (),
        "Class, such as building, whose outlines get right angles in a file of their own; may be repeated.",
        changes="files",
    )
    confidence: bool = option(False, "Write a raster of the class's probability, 0 to 254.", changes="files")
    probabilities: bool = option(
        False, "Write a raster of the probabilities of all classes, 0 to 254.", changes="files"
    )
    co: tuple[str, ...] = option(
        (), "NAME=VALUE: creation option of GDAL's COG driver; may be repeated.", changes="files"
    )
    stac: bool = option(False, "Write a STAC item of the outputs, <scene>_stac.json.", changes="files")
    overwrite: bool = option(False, "Replace existing outputs.", changes="nothing")

    @field_validator("polygons", mode="before")
    @classmethod
    def _none_is_no_polygons(cls, value: Any) -> Any:
        return None if value == "none" else value

    @model_validator(mode="after")
    def _check_polygons(self) -> Self:
        if self.polygons is not None:
            check_format(self.polygons)
        elif self.regularise:
            raise InputError(
                f"{spell('regularise')} squares polygons, and none are written: choose a {spell('polygons')} other than none"
            )
        return self


class MapOptions(PredictorOptions, FileOptions):
    """All options of prediction: of the files, of the model at work, of the scenes, and of a cluster."""

    adapt: Literal["none", "statistics"] = option(
        "none",
        "Adapt the model to each scene: 'statistics' fits its normalisation (batch norm) to the scene's colours; or none.",
        changes="pixels",
    )
    min_confidence: Number = option(
        0.0,
        "Probability below which a pixel is 'undecided', a class of its own after the model's.",
        changes="pixels",
        ge=0,
        le=1,
    )
    bands: str | None = option(
        None, "Band order of the scenes, for files that do not name their bands, e.g. RGBIR.", changes="pixels"
    )
    gsd: Metres | None = option(None, "Metres per pixel of scenes without a georeference.", changes="pixels", gt=0)
    nodata: Number | None = option(
        None, "Value that marks pixels without data, in all bands; the scenes' own by default.", changes="pixels"
    )
    crs: str | None = option(None, "CRS of scenes that have a transform but no CRS, e.g. EPSG:32632.", changes="pixels")
    aoi: Path | None = option(None, "File of polygons: predict only the area inside; nodata outside.", changes="pixels")
    bounds: tuple[float, float, float, float] | None = option(
        None, "LEFT BOTTOM RIGHT TOP in the scene's CRS: predict only this rectangle.", changes="pixels"
    )
    mosaic: bool = option(
        False, "Take the scenes as tiles of one: context over their borders, one map.", changes="nothing"
    )
    per_tile: bool = option(
        False, "With --mosaic: write rasters for each tile, and a virtual raster of them.", changes="files"
    )
    scheduler: str | None = option(
        None, "Run on a Dask cluster: tcp://HOST:PORT, or 'local' for --workers processes.", changes="nothing"
    )
    workers: int = option(2, "Processes of --scheduler local.", changes="nothing", ge=1)
    threads: int | None = option(None, "CPU threads of each process; all cores by default.", changes="nothing", ge=1)

    @model_validator(mode="after")
    def _check_mosaic(self) -> Self:
        if self.per_tile and not self.mosaic:
            raise InputError(f"{spell('per_tile')} divides the map of a mosaic: add {spell('mosaic', True)}")
        if self.per_tile and self.stac:
            raise InputError(f"the STAC item describes one raster: leave out {spell('stac')} or {spell('per_tile')}")
        return self

    @classmethod
    def of(cls, **values: Any) -> MapOptions:
        """Validate options. Raises InputError for an unknown option, or a value that is invalid."""
        try:
            return validate(cls, values, "option")
        except InputError as error:
            name = re.search(r"\boption (\w+) is ", str(error))
            if name is None or not spell(name[1]).startswith("--"):
                raise
            raise InputError(str(error).replace(f"option {name[1]}", spell(name[1]), 1)) from None

    @property
    def predictor(self) -> PredictorOptions:
        """The options of the model at work alone."""
        return PredictorOptions.model_construct(**{name: getattr(self, name) for name in PredictorOptions.model_fields})

    def changed(self, changes: Changes, *, without: Collection[str]) -> dict[str, Any]:
        """List the options of one kind whose value is not the default.

        Args:
            changes: kind of the fields, see ``option``.
            without: names of fields to leave out.

        Returns:
            plain values by name, fit for JSON.
        """
        names = {
            name
            for name, field in type(self).model_fields.items()
            if name not in without
            and field.json_schema_extra["changes"] == changes  # type: ignore[index]
            and getattr(self, name) != field.default
        }
        return self.model_dump(mode="json", include=names)
