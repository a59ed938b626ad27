"""Find the command ``rsuda``, and make the environment that it runs in. QGIS is not needed."""

from __future__ import annotations

import ntpath
import os
import posixpath
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STORED = "command.txt"  # written by rsuda qgis --install: the Python of its environment
HELP = (
    "name it under Settings > Options > Processing > Providers > rsuda. A terminal in which rsuda works shows the file by "
    "'which rsuda' (Linux, macOS) or 'where rsuda' (Windows)"
)
# what QGIS sets for its own libraries, which are not those of the command
_OF_QGIS = {
    *("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"),
    *("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM"),
}


class CommandMissingError(Exception):
    """No command ``rsuda`` exists where the plugin looks; the sentence says what to do."""


def find_command(setting: str, plugin: Path, environ: Mapping[str, str], prefix: str) -> list[str]:
    """Return the first words of a command line: those that run rsuda.

    Args:
        setting: a file, a folder of an environment, or ''.
        plugin: folder that may hold the file ``STORED``.
        environ: with PATH.
        prefix: folder of the environment of this interpreter.

    Raises:
        CommandMissingError: nothing is where the setting says, or nowhere without one.
    """
    setting = os.path.expanduser(setting.strip())
    if setting:
        words = _words_of(setting, environ)
        if not words:
            raise CommandMissingError(f"the setting of rsuda is '{setting}', and there is no command: {HELP}")
        return words
    stored_command = plugin / STORED
    places = [stored_command.read_text(encoding="utf-8").strip()] if stored_command.is_file() else []
    for place in (*places, "rsuda", prefix):
        words = _words_of(place, environ)
        if words:
            return words
    raise CommandMissingError(f"the command rsuda was not found on PATH: {HELP}")


def _words_of(place: str, environ: Mapping[str, str]) -> list[str]:
    """Return the words that run rsuda from a file, an environment's folder or a name on PATH; none without it."""
    if os.path.dirname(place) and os.path.isdir(place):
        names = ("bin/rsuda", "Scripts/rsuda.exe", "rsuda", "rsuda.exe")
        files = [os.path.join(place, name) for name in names]
        place = next((file for file in files if os.path.isfile(file)), "")
    file = shutil.which(place, path=environ.get("PATH", "")) if place else None
    if file is None:
        return []
    if os.path.basename(file).lower().startswith("python"):
        return [file, "-P", "-m", "rsuda"]  # -P: a folder called rsuda in the working folder is not imported
    return [file]


def command_environment(
    command: Sequence[str], environ: Mapping[str, str], windows: bool = sys.platform == "win32"
) -> dict[str, str]:
    """Return the variables for the command: this process's without those of QGIS's own libraries.

    The folders of the command's environment come first on PATH, as if the environment were active: on Windows its
    libraries are looked up there.
    """
    variables = {name: value for name, value in environ.items() if name.upper() not in _OF_QGIS}
    paths = ntpath if windows else posixpath
    folder = paths.dirname(command[0])
    folders = [folder]
    if windows:
        root = paths.dirname(folder) if paths.basename(folder).lower() == "scripts" else folder
        folders = [root, paths.join(root, "Library", "bin"), paths.join(root, "Scripts")]
    separator = ";" if windows else ":"
    name = next((name for name in variables if name.upper() == "PATH"), "PATH")
    variables[name] = separator.join([*folders, variables.get(name, "")]).rstrip(separator)
    return {**variables, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "RSUDA_PROGRESS": "lines"}
