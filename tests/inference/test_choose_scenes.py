"""The names that a shell or a user gives become scenes: files beside scenes are left out, archives are read in place."""

from zipfile import ZipFile

import numpy as np
import pytest
from oracle_models import write

from rsuda.core.errors import MissingError
from rsuda.inference.choose_scenes import choose_scenes


def test_files_beside_scenes_are_left_out_with_a_note(tmp_path):
    write(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8))
    for name in ("a.tfw", "a.tif.aux.xml", "readme.txt"):
        (tmp_path / name).write_text("1")
    scenes, (note,), _ = choose_scenes(sorted(tmp_path.iterdir()))  # as a shell expands 'tiles/*'
    assert scenes == [tmp_path / "a.tif"] and "a.tfw and 2 more: left out" in note
    assert choose_scenes([tmp_path / "a.tfw"]).scenes == [tmp_path / "a.tfw"]  # named alone it is refused as a raster


def test_rasters_of_an_archive_are_scenes(tmp_path):
    tile = write(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8))
    with ZipFile(tmp_path / "tiles.zip", "w") as archive:
        archive.write(tile, "inner/a.tif")
    scenes, _, unnamed = choose_scenes([tmp_path / "tiles.zip"])
    assert scenes == [f"/vsizip/{{{tmp_path.as_posix()}/tiles.zip}}/inner/a.tif"] == list(unnamed)
    with ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(MissingError, match=r"no raster .* in the archive .*none\.zip"):
        choose_scenes([tmp_path / "none.zip"])
