"""Check what a client asks a service to read: GeoTIFFs alone, and only where the service may read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rsuda.core.display import shown
from rsuda.core.errors import InputError, MissingError
from rsuda.serving.ranged_file import RangedFile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF


class NotAllowedError(InputError):
    """An address that the service may not read."""


def is_tiff(start: bytes) -> bool:
    """Check whether a file begins as a TIFF. Virtual rasters and archives, which name other files, do not."""
    return start[:4] in _MAGIC


def allowed_source(address: str, allow: Sequence[str], deadline: float) -> Path | RangedFile:
    """Return the path of a raster that a client names, or the file on a web server.

    Args:
        allow: folders, and URLs such as https://host/folder.
        deadline: of ``time.monotonic``, after which nothing more is read of a web server.

    Raises:
        NotAllowedError: the address is outside of ``allow``, or is malformed.
        MissingError: the file is missing or unreadable.
        InputError: the file is not a TIFF.
    """
    if not address or len(address) > 2000 or any(ord(letter) < 32 for letter in address):
        raise NotAllowedError("the address is empty, too long, or has control characters")
    if address.startswith(("http://", "https://")):
        return _url(address, [entry for entry in allow if "://" in entry], deadline)
    if "://" in address or address.startswith("/vsi"):
        raise NotAllowedError(f"this service cannot read {shown(address)}: name a file, or https://…")
    return _file(address, [Path(entry).expanduser().resolve() for entry in allow if "://" not in entry])


def _file(address: str, roots: Sequence[Path]) -> Path:
    try:
        file = _inside(Path(address), roots)
    except (OSError, RuntimeError, ValueError):  # too long a name, links in a circle, letters that no name may hold
        raise MissingError(f"there is no file {shown(address)}") from None
    if file is None:
        raise NotAllowedError(f"{shown(address)} is outside of what this service may read")
    if not file.is_file():
        raise MissingError(f"there is no file {shown(address)}")
    with file.open("rb") as stream:
        _check(stream.read(4), address)
    return file


def _inside(path: Path, roots: Sequence[Path]) -> Path | None:
    """Find a file below one of the roots, else a place there without a file; None where it is outside of all."""
    candidates = [path] if path.is_absolute() else [root / path for root in roots]
    inside = [
        place for place in (candidate.resolve() for candidate in candidates) if any(map(place.is_relative_to, roots))
    ]
    return next((place for place in inside if place.is_file()), inside[0] if inside else None)


def _url(address: str, roots: Sequence[str], deadline: float) -> RangedFile:
    try:
        parts, port = urlsplit(address), urlsplit(address).port
    except ValueError:
        raise NotAllowedError(f"{shown(address)} is an invalid URL: name a file, or https://…") from None
    path = unquote(parts.path)
    upwards = any(part.partition(";")[0] == ".." for part in path.split("/"))  # some servers take '..;' for '..'
    if parts.username or parts.password or upwards or "\\" in path:
        raise NotAllowedError(f"{shown(address)} is outside of what this service may read")
    for root in map(urlsplit, roots):
        folder = root.path.rstrip("/") + "/"
        same = (root.scheme, root.hostname, root.port) == (parts.scheme, parts.hostname, port)
        if same and path.startswith(folder):
            file = RangedFile(address, deadline)
            _check(file.block(0), address)
            return file
    raise NotAllowedError(f"{shown(address)} is outside of what this service may read")


def _check(start: bytes, address: str) -> None:
    if not is_tiff(start):
        raise InputError(f"{shown(address)} is not a GeoTIFF: name a .tif file")
