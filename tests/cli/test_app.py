"""The entry point of commands: what it asks of the libraries below."""

import os

import pytest

from rsuda.cli.app import main


@pytest.mark.parametrize("setting", [None, "CPL_LOG", "CPL_DEBUG"])
def test_lines_of_gdal_are_dropped_unless_they_are_asked_for(setting, monkeypatch):
    for name in ("CPL_LOG", "CPL_LOG_APPEND", "CPL_DEBUG"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    if setting:
        monkeypatch.setenv(setting, "mine")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ.get("CPL_LOG") == {None: os.devnull, "CPL_LOG": "mine"}.get(setting)
