"""Read a pixel of the first and of the last block of each scene, so that a truncated file shows before long work begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.geo.raster import quiet
from rsuda.geo.scene import Scene

_READERS = 8  # files that are read at once


def check_readable(scenes: Sequence[Scene]) -> None:
    """Raise MissingError or InputError for scenes whose first or last block cannot be read; it names the first of them."""
    # a file that source and target share has one reader, and warnings are filtered outside of the threads
    images = {str(scene.image): scene for scene in scenes}
    with quiet(), ThreadPoolExecutor(_READERS) as readers:
        errors = [error for error in readers.map(_error_of, images.values()) if error is not None]
    if not errors:
        return
    others = f" ({len(errors)} of {len(images)} scenes cannot be read)" if len(errors) > 1 else ""
    raise type(errors[0])(f"{errors[0]}{others}")


def _error_of(scene: Scene) -> RsudaError | None:
    try:
        file = scene.file
        corners = [(0, 0, 1, 1), (file.grid.height - 1, file.grid.width - 1, 1, 1)]
        with file.opened():
            for corner in corners:
                file.read(None, corner)
    except (InputError, MissingError) as error:
        return error
    return None
