"""Write the plugin as a zip, and into profiles of QGIS."""

import sys
import zipfile
from pathlib import Path

import pytest

from rsuda.cli import main
from rsuda.core.errors import ExistsError, MissingError
from rsuda.core.version import __version__
from rsuda.qgis.install import install, plugin_folder
from rsuda.qgis.profiles import data_folders, profiles


def fails(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_zip_holds_the_plugin_in_its_folder_with_the_version(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["qgis", "plugin.zip"])
    assert not end.value.code and "Install from ZIP" in capsys.readouterr().out
    with zipfile.ZipFile("plugin.zip") as archive:
        names = set(archive.namelist())
        metadata = archive.read("rsuda_qgis/metadata.txt").decode()
    files = {
        f.relative_to(plugin_folder()).as_posix()
        for f in plugin_folder().rglob("*")
        if f.suffix in (".py", ".svg", ".txt")
    }
    assert names == {f"rsuda_qgis/{file}" for file in files} and len(names) > 20
    assert f"\nversion={__version__}\n" in metadata
    first = Path("plugin.zip").read_bytes()
    assert "plugin.zip exists: pass --overwrite to replace it" in fails(["qgis", "plugin.zip"], capsys)
    with pytest.raises(SystemExit) as end:
        main(["qgis", "plugin.zip", "--overwrite"])
    assert not end.value.code and Path("plugin.zip").read_bytes() == first
    assert "write rsuda qgis plugin.zip" in fails(["qgis", "plugin.tar"], capsys)
    assert "name a FILE.zip, or pass --install" in fails(["qgis"], capsys)
    assert "name a FILE.zip, or pass --install" in fails(["qgis", "other.zip", "--install"], capsys)


def test_plugin_is_installed_in_each_version_and_replaced_on_request_alone(tmp_path):
    homes = [tmp_path / version / "profiles" / "default" for version in ("QGIS3", "QGIS4")]
    for home in homes:
        home.mkdir(parents=True)
    found_homes = profiles("default", [tmp_path])
    assert found_homes == homes
    targets = install(found_homes)
    assert targets == [home / "python" / "plugins" / "rsuda_qgis" for home in homes]
    assert (targets[0] / "command.txt").read_text().strip() == sys.executable
    (targets[1] / "mine.py").write_text("")
    with pytest.raises(ExistsError, match="rsuda_qgis exists: pass overwrite=True to replace the plugin"):
        install(found_homes)
    assert (targets[1] / "mine.py").is_file()
    install(found_homes, overwrite=True)
    assert not (targets[1] / "mine.py").exists() and (targets[1] / "algorithms" / "predict.py").is_file()
    assert [file.name for file in targets[1].parent.iterdir()] == ["rsuda_qgis"]
    with pytest.raises(
        MissingError, match=r"no profile 'work' here \(profiles are default\): start QGIS once, or write a zip"
    ):
        profiles("work", [tmp_path])


def test_profiles_are_looked_for_where_each_system_has_them():
    home = Path("/home/me")
    assert data_folders("linux", home, {})[0] == home / ".local/share/QGIS"
    assert data_folders("linux", home, {"XDG_DATA_HOME": "/data"})[0] == Path("/data/QGIS")
    assert data_folders("darwin", home, {}) == [home / "Library/Application Support/QGIS"]
    assert data_folders("win32", home, {"APPDATA": "/Roaming"}) == [Path("/Roaming/QGIS")]
