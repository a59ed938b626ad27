"""Files are read at their ends before training: broken ones are named, shared ones have one reader."""

import numpy as np
import pytest
from oracle_models import write

from rsuda.core.errors import MissingError
from rsuda.data.check_files import check_readable
from rsuda.geo.scene import Scene


def test_scenes_of_source_and_target_share_their_files(tmp_path):
    scenes = [Scene(str(k), write(tmp_path / f"{k}.tif", np.ones((3, 64, 64), np.uint8))) for k in range(8)]
    for _ in range(20):  # threads that share an open file fail in some runs only
        check_readable([*scenes, *(scene.without_label() for scene in scenes)])


def test_broken_file_is_named_once(tmp_path):
    scene = Scene("x", write(tmp_path / "x.tif", np.random.default_rng(0).integers(0, 255, (3, 99, 99), np.uint8)))
    scene.file  # noqa: B018 (the header is read while the file is whole)
    scene.image.write_bytes(scene.image.read_bytes()[:2000])
    with pytest.raises(MissingError, match=r"cannot read .*x\.tif"):
        check_readable([scene, scene.without_label()])
