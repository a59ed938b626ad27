"""Define the options of a service: its limits, and what it may read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from rsuda.core.validation import FrozenModel, validate


class ServeOptions(FrozenModel):
    """Limits of a service.

    Attributes:
        allow: folders and addresses (https://host/path) whose rasters may be named by clients; none by default.
        max_bytes: of a request's body.
        max_pixels: of the predicted window, in pixels of the scene.
        queue: requests that wait while one is computed; further ones get status 503.
        timeout: seconds from a request's arrival to its answer; then it gets status 504 and its work stops.
    """

    allow: tuple[str, ...] = ()
    max_bytes: Annotated[int, Field(ge=1000)] = 64_000_000
    max_pixels: Annotated[int, Field(ge=1)] = 25_000_000
    queue: Annotated[int, Field(ge=1)] = 16
    timeout: Annotated[float, Field(gt=0)] = 60.0

    @classmethod
    def of(cls, **values: Any) -> ServeOptions:
        """Validate options. Raises InputError for an unknown option, or a value that is invalid."""
        return validate(cls, values, "option")
