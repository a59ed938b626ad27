"""Push a run to a hub of models: weights, spec, scores and card, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rsuda.core.atomic import make_folder
from rsuda.core.display import quoted
from rsuda.core.errors import ExistsError, InputError, MissingError, WriteError, check_extra, write_error
from rsuda.core.hub import CARD, CONFIG, ITEM, HubAddress, check_links, is_shared, local_model, shared_files
from rsuda.core.hub_settings import without_machine
from rsuda.core.settings import Settings, dump
from rsuda.core.spelling import spell
from rsuda.export.stac_model import model_item
from rsuda.geo.maps.stac_item import write_item
from rsuda.runs.folders import WEIGHTS, saved_settings
from rsuda.runs.weights import load_run
from rsuda.sharing.card import card_text, license_of_card


@dataclass(frozen=True)
class Pushed:
    """What was pushed: the address, the names of the files, and their bytes."""

    address: str
    files: tuple[str, ...]
    bytes: int

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"address": self.address, "files": list(self.files), "bytes": self.bytes}


def push(
    run: str | os.PathLike[str],
    address: str,
    *,
    license: str | None = None,
    private: bool = False,
    overwrite: bool = False,
) -> Pushed:
    """Push a finished run to a hub: its weights, spec, settings, scores, picture, card and, with pystac, its STAC item.

    Folders of this machine are taken out of the settings. Logs and checkpoints stay: checkpoints are pickles.

    Args:
        run: a run folder or another model of a hub, which is loaded and checked first.
        address: hf://ORG/NAME[@BRANCH], or file:///FOLDER.
        license: of the weights, as hubs name it ('cc-by-4.0'); by default that of the run's card, if it has one.
        private: whether a new repository is private.
        overwrite: replace a model that is there.

    Returns:
        the address, the names of the files, and their bytes.

    Raises:
        InputError, MissingError: the address is invalid, the run is not finished, or huggingface_hub is missing.
        ExistsError: the hub holds a model at the address and ``overwrite`` is False.
        WriteError: the hub refuses the files.
    """
    place = HubAddress.of(address)
    if place is None:
        raise InputError(f"{address} is an invalid address of a hub: write hf://ORG/NAME or file:///FOLDER")
    folder = local_model(run)
    if not folder.is_dir():
        raise MissingError(f"the run {folder} is missing: name a run folder")
    check_links(folder)
    if place.folder is None:
        check_extra("hub", "huggingface_hub")
    elif place.folder.exists() and not (overwrite and _is_model(place.folder)):
        raise _occupied(place)
    with tempfile.TemporaryDirectory(prefix="rsuda-push-") as name:
        model_folder = Path(name) / "model"
        model_folder.mkdir()
        _stage(folder, model_folder, str(place), license)
        files = sorted(model_folder.iterdir())
        upload = Pushed(str(place), tuple(file.name for file in files), sum(file.stat().st_size for file in files))
        if place.folder is not None:
            _copy(model_folder, place.folder)
        else:
            _upload(model_folder, place, private=private, overwrite=overwrite)
    return upload


def _stage(run: Path, folder: Path, address: str, license: str | None) -> None:
    """Copy the files that are shared, and write the card and the STAC item."""
    trained = load_run(run)
    for file in shared_files(run):
        if file.name == CONFIG:
            public = Settings.model_validate(without_machine(saved_settings(run).model_dump()))
            (folder / CONFIG).write_text(dump(public), encoding="utf-8", newline="\n")
        elif file.name not in (CARD, ITEM):
            shutil.copyfile(file, folder / file.name)
    license = license or license_of_card(run / CARD)
    (folder / CARD).write_text(card_text(trained, run, address, license), encoding="utf-8", newline="\n")
    if find_spec("pystac") is not None:
        write_item(model_item(load_run(folder), folder), folder / ITEM)


def _copy(model_folder: Path, folder: Path) -> None:
    """Copy to a folder that takes the place of an earlier one whole. A link to a folder stays. Raises WriteError."""
    folder = folder.resolve()
    make_folder(folder.parent)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
            new, earlier = Path(name) / "new", Path(name) / "earlier"
            shutil.copytree(model_folder, new)
            if folder.exists():
                folder.rename(earlier)
            try:
                new.rename(folder)
            finally:
                if earlier.exists() and not folder.exists():
                    earlier.rename(folder)
    except OSError as error:
        raise write_error(folder, error) or WriteError(f"cannot write {folder}: {error}") from None


def _is_model(folder: Path) -> bool:
    """Check whether a folder holds a model and nothing else, so that another may take its place."""
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return WEIGHTS in names and all(is_shared(name) for name in names)


def _occupied(place: HubAddress) -> ExistsError:
    if place.folder is not None and not _is_model(place.folder):
        return ExistsError(f"{place} exists and holds other files than a pushed model: choose another folder")
    return ExistsError(
        f"{place} holds a model: pass {spell('overwrite', True)} to replace it, or choose another address"
    )


def _upload(model_folder: Path, place: HubAddress, *, private: bool, overwrite: bool) -> None:
    from huggingface_hub import HfApi

    hub, name = HfApi(), place.repository
    try:
        if not overwrite and hub.repo_exists(name) and hub.file_exists(name, WEIGHTS, revision=place.revision):
            raise _occupied(place)
        hub.create_repo(name, private=private, exist_ok=True)
        if place.revision:
            hub.create_branch(name, branch=place.revision, exist_ok=True)
        hub.upload_folder(
            repo_id=name, folder_path=model_folder, revision=place.revision, commit_message="Model of rsuda"
        )
    except OSError as error:
        if type(error).__module__.startswith("rsuda"):
            raise
        raise _refused(place, error) from None
    except Exception as error:  # of HTTP and of the hub, in several versions
        raise _refused(place, error) from None


def _refused(place: HubAddress, error: Exception) -> WriteError:
    return WriteError(
        f"{place} cannot be pushed ({type(error).__name__}: {quoted(error, 200)}): log in with hf auth login"
    )
