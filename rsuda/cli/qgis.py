"""rsuda qgis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log


@app.command()
def qgis(
    file: Annotated[Path | None, typer.Argument(help="Zip to write, for 'Install from ZIP' of QGIS.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Write the plugin into the profile of QGIS on this machine instead.")
    ] = False,
    profile: Annotated[str, typer.Option(help="Name of the profile of QGIS, with --install.")] = "default",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing zip or plugin.")] = False,
) -> None:
    """Write the QGIS plugin, whose algorithms call these commands, as a zip or into the profile of QGIS."""
    from rsuda.core.display import printable
    from rsuda.core.errors import InputError
    from rsuda.qgis.install import install as install_plugin
    from rsuda.qgis.install import write_zip
    from rsuda.qgis.profiles import profiles

    log()
    if (file is None) != install:
        raise InputError(
            "rsuda qgis writes a zip or installs the plugin: name a FILE.zip, or pass --install, one of the two"
        )
    if file is not None:
        print(f"Wrote {printable(write_zip(file, overwrite=overwrite))}")
        print("In QGIS: Plugins > Manage and Install Plugins > Install from ZIP")
        return
    for folder in install_plugin(profiles(profile), overwrite=overwrite):
        print(f"Installed the plugin: {printable(folder)}")
    print("In QGIS: Plugins > Manage and Install Plugins > Installed, tick rsuda (restart QGIS if it is open)")
