"""Read the rasters of zip archives in place: an archive stands for a folder of its name, as if it were unpacked."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from rsuda.geo.rasters.raster import SUFFIXES

logger = logging.getLogger("rsuda")

ARCHIVE = ".zip"
_MOST = 100_000  # members of an archive that are listed
_VSIZIP = "/vsizip/"
_ENCRYPTED = 1  # bit of a member's flags


def members(archive: Path) -> dict[str, int]:
    """List the rasters of an archive with their bytes; a damaged archive is left out with a warning.

    Only the table of contents is read. Encrypted members and archives within the archive are left out.
    """
    try:
        with ZipFile(archive) as file:
            entries = file.infolist()[:_MOST]
    except (BadZipFile, OSError, ValueError) as error:
        logger.warning("%s is left out, since the archive is damaged (%s): download it again", archive, error)
        return {}
    rasters = [entry for entry in entries if entry.filename.lower().endswith(SUFFIXES) and _is_plain(entry.filename)]
    readable = {entry.filename: entry.file_size for entry in rasters if not entry.flag_bits & _ENCRYPTED}
    if len(readable) < len(rasters):
        logger.warning("%s has rasters that a password protects: unpack them to use them", archive)
    return readable


def _is_plain(name: str) -> bool:
    """Check whether a member lies in the archive's own folders, and in none that is hidden."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not any(part.startswith((".", "/", "__MACOSX")) for part in parts)


def files_in_archives(root: Path, archives: Iterable[str], files: Iterable[str]) -> list[str]:
    """List the rasters of archives below a folder by relative paths, without those that are unpacked.

    Args:
        archives: paths relative to the folder.
        files: the files below the folder; one with the name and bytes of a member is that member.
    """
    sizes: dict[str, set[str]] = {}
    for file in files:
        sizes.setdefault(PurePosixPath(file).name, set()).add(file)
    inside: list[str] = []
    for archive in archives:
        for name, size in members(root / archive).items():
            same = sizes.get(PurePosixPath(name).name, ())
            if not any(os.path.getsize(root / file) == size for file in same):
                inside.append(f"{archive[: -len(ARCHIVE)]}/{name}")
    return sorted(inside)


def rasters_in_archives(place: Path) -> list[str]:
    """List the GDAL paths of the rasters of an archive, or of the archives directly in a folder."""
    archives = [place] if place.is_file() else sorted(place.glob("*.[zZ][iI][pP]"))
    return [member_path(archive, name) for archive in archives for name in sorted(members(archive))]


def path_of(root: Path, file: str) -> Path | str:
    """Return the path of a file of ``list_files``: as it is, or GDAL's path of a member of an archive."""
    path = root / Path(file).expanduser()
    if path.exists():
        return path
    for parent in path.parents:
        if parent == root:
            break
        for suffix in (ARCHIVE, ARCHIVE.upper()):
            archive = parent.with_name(parent.name + suffix)
            if archive.is_file():
                return member_path(archive, path.relative_to(parent).as_posix())
    return path


def member_path(archive: Path, name: str) -> str:
    """Return GDAL's path of a member of an archive."""
    return f"{_VSIZIP}{{{archive.absolute().as_posix()}}}/{name}"


def note_of_archives(images: Iterable[Path | str]) -> str | None:
    """Name the archives that images are read in, in one sentence; None without any."""
    inside = [image for image in images if isinstance(image, str) and image.startswith(_VSIZIP)]
    if not inside:
        return None
    archives = list(dict.fromkeys(image[len(_VSIZIP) + 1 :].partition("}")[0] for image in inside))
    images_are = "1 image is" if len(inside) == 1 else f"{len(inside)} images are"
    folder = archives[0][: -len(ARCHIVE)]
    return (
        f"{images_are} read inside of {', '.join(Path(archive).name for archive in archives[:3])}, which is slow: "
        f"to train faster, unpack the archives, as in unzip '{archives[0]}' -d '{folder}'"
    )
