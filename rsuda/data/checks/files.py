"""Look for scenes that cannot be read or hold no data, so that they show before long work begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rsuda.core.errors import InputError, MissingError, RsudaError, joined_error
from rsuda.data.domains.domain import some_names
from rsuda.geo.rasters.info import WHOLE, sample
from rsuda.geo.rasters.raster import is_remote, quiet
from rsuda.geo.scenes.scene import Scene

_READERS = 8  # files that are read at once
_MOST = 100_000_000  # pixels of scenes that are looked through for data


def check_readable(scenes: Sequence[Scene]) -> None:
    """Raise MissingError or InputError for scenes whose first or last block cannot be read; it names up to five of them."""
    # a file that source and target share has one reader, and warnings are filtered outside of the threads
    images = {str(scene.image): scene for scene in scenes}
    with quiet(), ThreadPoolExecutor(_READERS) as readers:
        errors = [error for error in readers.map(_error_of, images.values()) if error is not None]
    if not errors:
        return
    raise joined_error(errors, len(images), "scenes cannot be read")


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


def check_pixels(scenes: Sequence[Scene]) -> list[str]:
    """Say which scenes cannot be read to their end, and which hold no data. Scenes with unreadable headers are left out."""
    readable = [scene for scene in scenes if _opens(scene)]
    with quiet(), ThreadPoolExecutor(_READERS) as readers:
        errors = list(readers.map(_error_of, readable))
    read_errors = [error for error in errors if error is not None]
    notes = [str(joined_error(read_errors, len(scenes), "scenes cannot be read"))] if read_errors else []
    note = no_data_note([scene for scene, error in zip(readable, errors, strict=True) if error is None])
    return notes if note is None else [*notes, note]


def no_data_note(scenes: Sequence[Scene]) -> str | None:
    """Say which readable scenes hold no data; None without any. Of many the first are looked through, and no remote one."""
    names, left = [], _MOST
    for scene in scenes:
        file = scene.file
        if is_remote(scene.image) or file.valid(file.image_numbers, (0, 0, 1, 1)) is None:  # all pixels hold data
            continue
        left -= min(scene.grid.height * scene.grid.width, WHOLE)
        if left < 0:
            break
        pixels, _, whole = sample(file, file.image_numbers)
        if whole and not pixels.size:
            names.append(scene.name)
    if not names:
        return None
    verb = "holds" if len(names) == 1 else "hold"
    return (
        f"{len(names)} of {len(scenes)} scenes {verb} no data, only nodata or transparent pixels ({some_names(names)})"
    )


def _opens(scene: Scene) -> bool:
    try:
        return scene.file is not None
    except (InputError, MissingError):
        return False
