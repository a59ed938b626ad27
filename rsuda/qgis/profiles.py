"""Find the profiles of QGIS on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from rsuda.core.errors import MissingError

VERSIONS = ("QGIS3", "QGIS4")
PLUGINS = ("python", "plugins")  # folder of the plugins in a profile


def data_folders(platform: str, home: Path, environ: Mapping[str, str]) -> list[Path]:
    """List the folders in which QGIS keeps its data, by the operating system; they need not exist."""
    if platform == "win32":
        return [Path(environ.get("APPDATA", home / "AppData" / "Roaming")) / "QGIS"]
    if platform == "darwin":
        return [home / "Library" / "Application Support" / "QGIS"]
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return [data / "QGIS", home / ".var" / "app" / "org.qgis.qgis" / "data" / "QGIS"]  # the second is Flatpak's


def profiles(name: str = "default", folders: list[Path] | None = None) -> list[Path]:
    """Find the profile of a name for each version of QGIS that was started on this machine.

    Args:
        name: of the profile.
        folders: where QGIS keeps its data; those of this machine by default.

    Raises:
        MissingError: no version has such a profile.
    """
    folders = data_folders(sys.platform, Path.home(), os.environ) if folders is None else folders
    homes = [folder / version / "profiles" for folder in folders for version in VERSIONS]
    matches = [home / name for home in homes if (home / name).is_dir()]
    if not matches:
        others = sorted(
            {profile.name for home in homes if home.is_dir() for profile in home.iterdir() if profile.is_dir()}
        )
        hint = f"profiles are {', '.join(others)}" if others else f"looked for {', '.join(map(str, homes))}"
        raise MissingError(
            f"QGIS has no profile '{name}' here ({hint}): start QGIS once, or write a zip by rsuda qgis FILE.zip and install it "
            "in QGIS (Plugins > Manage and Install Plugins > Install from ZIP)"
        )
    return matches
