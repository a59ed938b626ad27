"""Find the folder of a model that is named by a hub's address: hf://org/name[@revision], or file:///folder.

Only files of SHARED are downloaded: weights as safetensors, JSON, the card and its picture. None of them runs code.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rsuda.core.display import shown
from rsuda.core.errors import InputError, MissingError, check_extra
from rsuda.learning.downloads import quick_downloads
from rsuda.runs.folders import SPEC, WEIGHTS

CARD, PICTURE, ITEM = "README.md", "preview.png", "stac.json"
SHARED = (WEIGHTS, SPEC, ITEM, CARD, PICTURE, "label_free.json", "calibration.json", "scores_*.json")
MOST_BYTES = 8 << 30  # of all files of a model
_HUB = re.compile(r"hf:/{1,2}(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w./-]{1,100}))?")


@dataclass(frozen=True)
class HubAddress:
    """A model on a hub: a repository with a revision, or a folder that stands for one.

    Attributes:
        repository: 'org/name'; '' for a folder.
        revision: branch, tag or commit; None for the newest.
        folder: of an address file://…; None for a repository.
    """

    repository: str
    revision: str | None = None
    folder: Path | None = None

    @staticmethod
    def of(place: object) -> HubAddress | None:
        """Read an address; None for a path of this machine. Raises InputError for an address that is invalid."""
        text = os.fspath(place).replace("\\", "/") if isinstance(place, os.PathLike) else str(place)
        if text.startswith("file:/"):
            path = unquote(urlsplit(text).path) if os.name != "nt" else url2pathname(urlsplit(text).path)
            return HubAddress("", None, Path(path))
        if not re.match(r"hf:/", text):
            return None
        match = _HUB.fullmatch(text)
        if match is None or ".." in text:
            raise InputError(f"{shown(text)} is no address of a model: write hf://ORG/NAME or hf://ORG/NAME@REVISION")
        return HubAddress(match["repo"], match["revision"])

    def __str__(self) -> str:
        if self.folder is not None:
            return f"file://{self.folder.as_posix()}"
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def local_model(place: str | Path) -> Path:
    """Return the folder of a model: a path itself, or the cached files of a hub's address.

    A repository is downloaded once; without a network the cached files are used.

    Raises:
        InputError: the address is invalid, or huggingface_hub is missing.
        MissingError: the model is neither on the hub nor in the cache, or it has no weights.
    """
    address = HubAddress.of(place)
    if address is None:
        return Path(place)
    folder = address.folder if address.folder is not None else _downloaded(address)
    if not (folder / WEIGHTS).is_file():
        raise MissingError(f"{address} holds no {WEIGHTS}, so it is no model of rsuda")
    return folder


def model_name(path: Path) -> str:
    """Name a model after its folder or file; one in the cache of a hub after its repository and commit."""
    folder = path if path.parent.name == "snapshots" else path.parent
    if folder.parent.name == "snapshots":
        return f"{folder.parents[1].name.removeprefix('models--').replace('--', '/')}@{folder.name[:12]}"
    return path.name


def _downloaded(address: HubAddress) -> Path:
    check_extra("hub", "huggingface_hub")
    from huggingface_hub import snapshot_download

    how: dict[str, Any] = {"revision": address.revision, "allow_patterns": [*SHARED]}
    try:
        with quick_downloads():
            _check_size(address)
            return Path(snapshot_download(address.repository, **how))
    except InputError:
        raise
    except Exception as error:  # of HTTP, of the hub and of its cache, in several versions
        try:
            return Path(snapshot_download(address.repository, **how, local_files_only=True))
        except Exception:
            raise MissingError(
                f"{address} is not in the cache and cannot be downloaded ({type(error).__name__}): check its name and the "
                "network, and HF_TOKEN if it is private"
            ) from None


def _check_size(address: HubAddress) -> None:
    """Check what would be downloaded before it is. Raises InputError for more than MOST_BYTES."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return
    info = HfApi().model_info(address.repository, revision=address.revision, files_metadata=True)
    files = [part for part in info.siblings or [] if any(fnmatch(part.rfilename, name) for name in SHARED)]
    total = sum(part.size or 0 for part in files)
    if total > MOST_BYTES:
        raise InputError(f"{address} has {total / 1e9:.1f} GB of files; at most {MOST_BYTES / 1e9:.1f} are downloaded")
