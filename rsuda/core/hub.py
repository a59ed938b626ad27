"""Find the folder of a model that is named by a hub's address: hf://org/name[@revision], or file:///folder.

Only files of SHARED are downloaded: weights as safetensors, JSON, settings, the card and its picture. None of them runs code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rsuda.core.display import shown
from rsuda.core.documents import read_json
from rsuda.core.downloads import quick_downloads
from rsuda.core.errors import ExistsError, InputError, MissingError, check_extra

WEIGHTS, SPEC, CONFIG = "weights.safetensors", "spec.json", "config.yaml"
CARD, PICTURE, ITEM = "README.md", "preview.png", "stac.json"
ORIGIN = "origin.json"  # in a copy of a hub's model: its address, and the digest of its weights there
SHARED = (WEIGHTS, SPEC, CONFIG, ITEM, CARD, PICTURE, "label_free.json", "calibration.json", "scores_*.json")
MOST_BYTES = 8 << 30  # of all files of a model
_COPIES = Path("runs")
_log = logging.getLogger("rsuda")
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
            return HubAddress("", None, _folder_of(text))
        if not re.match(r"hf:/", text):
            return None
        match = _HUB.fullmatch(text)
        if match is None or ".." in text:
            address = re.sub(r"^hf:/(?!/)", "hf://", text)  # paths have lost a slash
            raise InputError(
                f"{shown(address)} is an invalid address of a model: write hf://ORG/NAME or hf://ORG/NAME@REVISION"
            )
        return HubAddress(match["repo"], match["revision"])

    def __str__(self) -> str:
        if self.folder is not None:
            return f"file://{self.folder.as_posix()}"
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def _folder_of(address: str) -> Path:
    """Return the folder of an address file:///folder. Raises InputError where part of the address would be dropped."""
    parts = urlsplit(address)
    if os.name != "nt" and parts.netloc not in ("", "localhost"):
        raise InputError(
            f"{shown(address)} names a host, '{parts.netloc}': write file:/// with three slashes and the folder's whole path"
        )
    if parts.query or parts.fragment:
        raise InputError(f"{shown(address)} has a '?' or '#': write %3F or %23 for it")
    return Path(unquote(parts.path) if os.name != "nt" else url2pathname(parts.path))


def local_model(place: str | os.PathLike[str]) -> Path:
    """Return the folder of a model that is read: a path itself, or the cached files of a hub's address.

    A repository is downloaded once; without a network the cached files are used.

    Raises:
        InputError: the address is invalid, huggingface_hub is missing, or a link leads out of the model.
        MissingError: the model is neither on the hub nor in the cache, or it has no weights.
    """
    address = HubAddress.of(place)
    if address is None:
        return Path(place).expanduser()
    folder = address.folder if address.folder is not None else _downloaded(address)
    if not (folder / WEIGHTS).is_file():
        raise MissingError(f"{address} has no file {WEIGHTS}, which every model of rsuda has: check the address")
    check_links(folder)
    return folder


def run_folder(place: str | os.PathLike[str]) -> Path:
    """Return the folder of a run that is written into: a path itself, or a copy in runs/ of a hub's model.

    The copy is made once. It is used again while the hub has the weights that it was made of.

    Raises:
        InputError, MissingError: as ``local_model``.
        ExistsError: the copy's place is taken by something else.
    """
    address = HubAddress.of(place)
    if address is None:
        return Path(place).expanduser()
    model = local_model(place)
    name = address.repository.replace("/", "_") or model.resolve().name
    copy = _COPIES / name
    origin = {"address": str(address), "sha256": hashlib.sha256((model / WEIGHTS).read_bytes()).hexdigest()}
    if copy.exists():
        if not (copy / ORIGIN).is_file() or read_json(copy / ORIGIN, "origin of a copy") != origin:
            raise ExistsError(
                f"{copy} exists and differs from {address} as it is now: rename it, or name {copy} itself"
            )
        return copy
    _copy_shared(model, copy, origin)
    _log.info("%s is copied to %s", address, copy)
    return copy


def pinned(place: str) -> str:
    """Name the commit in the address of a repository, so that it is the same model later. Other places stay as they are."""
    address = HubAddress.of(place)
    if address is None or not address.repository:
        return place
    return str(HubAddress(address.repository, local_model(place).name))


def shared_files(folder: Path) -> list[Path]:
    """List the files of a folder that hubs may have, by name."""
    return [file for file in sorted(folder.iterdir()) if file.is_file() and is_shared(file.name)]


def check_links(folder: Path) -> None:
    """Check that no shared file of a model is a link that leads elsewhere: copies and pushes of it would hold your files.

    The cache of a hub has links of its own, from a snapshot to its repository. Raises InputError.
    """
    root = (folder.parents[1] if folder.parent.name == "snapshots" else folder).resolve()
    for file in shared_files(folder):
        place = file.resolve()
        if not place.is_relative_to(root):
            raise InputError(
                f"{shown(str(file))} is a link that leads out of the model, to {shown(str(place))}: put a copy in its place, if "
                "you trust the model"
            )


def is_shared(name: str) -> bool:
    """Check whether a file of this name may be on a hub. Names with folders may not, since a hub would choose the place."""
    return not set(name) & {"/", "\\"} and any(fnmatch(name, pattern) for pattern in SHARED)


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


def _copy_shared(model: Path, copy: Path, origin: dict[str, str]) -> None:
    """Copy the shared files of a model to a folder that appears whole."""
    _COPIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_COPIES, prefix=".copy-") as name:
        draft = Path(name) / copy.name
        draft.mkdir()
        for file in shared_files(model):
            shutil.copyfile(file, draft / file.name)
        (draft / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8", newline="\n")
        draft.rename(copy)


def _check_size(address: HubAddress) -> None:
    """Check what would be downloaded before it is. Raises InputError for more than MOST_BYTES."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return
    info = HfApi().model_info(address.repository, revision=address.revision, files_metadata=True)
    files = [part for part in info.siblings or [] if is_shared(part.rfilename)]
    total = sum(part.size or 0 for part in files)
    if total > MOST_BYTES:
        raise InputError(f"{address} has {total / 1e9:.1f} GB of files; at most {MOST_BYTES / 1e9:.1f} are downloaded")
