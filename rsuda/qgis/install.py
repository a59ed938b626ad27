"""Write the QGIS plugin as a zip, or into the profiles of QGIS."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from rsuda.core.atomic import atomic_write, make_folder
from rsuda.core.errors import ExistsError, InputError, write_error
from rsuda.core.spelling import spell
from rsuda.core.version import __version__
from rsuda.qgis.profiles import PLUGINS

NAME = "rsuda_qgis"
_METADATA, _NO_VERSION = "metadata.txt", "version=0.0.0"
_COMMAND = "command.txt"  # read by the plugin: the Python of this environment
_TIME = (2026, 1, 1, 0, 0, 0)  # of all files in a zip, so that equal plugins are equal bytes


def plugin_folder() -> Path:
    """Return the folder of the plugin in this package."""
    return Path(str(files("rsuda.qgis"))) / "plugin" / NAME


def _contents() -> Iterator[tuple[str, bytes]]:
    """Yield the files of the plugin by their path in its folder, with the version of rsuda."""
    folder = plugin_folder()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            content = file.read_bytes()
            if file.name == _METADATA:
                content = content.replace(_NO_VERSION.encode(), f"version={__version__}".encode())
            yield file.relative_to(folder).as_posix(), content


def write_zip(path: Path, *, overwrite: bool = False) -> Path:
    """Write the plugin for 'Install from ZIP' of QGIS.

    Args:
        path: of the zip.

    Raises:
        InputError: the name does not end with .zip.
        ExistsError: the file exists and ``overwrite`` is False.
        WriteError: the file cannot be written.
    """
    if path.suffix.lower() != ".zip":
        raise InputError(f"QGIS installs a zip, and '{path}' does not end in .zip: write rsuda qgis {path.stem}.zip")
    if path.exists() and not overwrite:
        raise ExistsError(f"{path} exists: pass {spell('overwrite', True)} to replace it, or choose another name")
    with atomic_write(path, overwrite=overwrite) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in _contents():
            entry = zipfile.ZipInfo(f"{NAME}/{name}", _TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def install(profiles: Sequence[Path], *, overwrite: bool = False) -> list[Path]:
    """Write the plugin into profiles of QGIS, with the Python of this environment, so that the plugin finds its command.

    Args:
        profiles: their folders.

    Returns:
        the plugin's folder in each profile.

    Raises:
        ExistsError: a profile has the plugin and ``overwrite`` is False; then none is changed.
        WriteError: a folder cannot be written.
    """
    targets = [profile.joinpath(*PLUGINS, NAME) for profile in profiles]
    for target in targets:
        if target.exists() and not overwrite:
            raise ExistsError(f"{target} exists: pass {spell('overwrite', True)} to replace the plugin")
    for target in targets:
        _write_folder(target)
    return targets


def _write_folder(target: Path) -> None:
    """Write the plugin beside its folder, then put it into its place."""
    make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=target.parent))
    try:
        for name, content in [*_contents(), (_COMMAND, f"{sys.executable}\n".encode())]:
            file = temporary / NAME / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if target.exists():
            os.replace(target, temporary / "replaced")
        os.replace(temporary / NAME, target)
    except OSError as error:
        raise write_error(target, error) or error from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
