"""Folders that cannot be written are named before work begins, also where the user is root."""

import sys
from pathlib import Path

import pytest

import rsuda
from rsuda.core.atomic import check_writable
from rsuda.core.errors import WriteError

PROC = Path("/proc")  # nobody can make a file in it


def test_folder_is_left_as_it_was(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that even root cannot write")
def test_folder_that_cannot_be_written_is_named():
    for folder in (PROC, PROC / "new" / "folder"):
        with pytest.raises(WriteError, match=r"cannot write in /proc .*choose another `out`"):
            check_writable(folder)
    with pytest.raises(WriteError, match="cannot write in /proc"):
        rsuda.sample_tiles(PROC / "tiles")
