"""Test that predict and adapt say what info calls doubtful, and that broken files show before long work."""

import socket
import time

import numpy as np
import pytest
from oracle_models import RUN, by_value, trained, write

from rsuda.core.errors import MissingError
from rsuda.inference.predict import predict
from rsuda.info.suitability import suitability


def scene(file, dtype=np.uint8, scale=1.0):
    return write(file, (np.full((3, 40, 60), 1) * scale).astype(dtype))


def truncated(file, **creation):
    import rasterio

    noise = np.random.default_rng(0).integers(0, 3, (3, 256, 256)).astype(np.uint8)
    with rasterio.open(
        file, "w", driver="GTiff", width=256, height=256, count=3, dtype="uint8", crs="EPSG:32632",
        transform=rasterio.Affine(0.5, 0, 0, 0, -0.5, 0), compress="deflate", **creation,
    ) as out:  # fmt: skip
        out.write(noise)
    file.write_bytes(file.read_bytes()[:-2000])
    return file


def test_prediction_says_the_sentences_of_info(tmp_path):
    file = write(tmp_path / "deep.tif", np.full((2, 40, 60), 2500, np.uint16), descriptions=["red", "green"])
    (prediction,) = predict(file, trained(by_value), **RUN)
    reasons = suitability(file, trained(by_value).spec)["reasons"]
    assert any("100% of its red values are outside of the model's range" in reason for reason in reasons)
    assert [f"{file}: {reason}" for reason in reasons if "named" not in reason and "no names" not in reason] == [
        note for note in prediction.notes if note.startswith(str(file))
    ]
    assert prediction.as_fields()["notes"] == prediction.notes


def test_prediction_says_that_the_gsd_is_far_from_the_models(tmp_path):
    file = scene(tmp_path / "coarse.tif")
    (prediction,) = predict(file, trained(by_value), **{**RUN, "gsd": trained(by_value).spec.gsd * 4})
    assert any("its pixels are 4.0 times coarser than the model's" in note for note in prediction.notes)


def test_truncated_scene_is_named_before_its_first_strip_and_others_are_predicted(tmp_path):
    files = [truncated(tmp_path / "cut.tif", tiled=True, blockxsize=64, blockysize=64), scene(tmp_path / "whole.tif")]
    seen = []
    with pytest.raises(MissingError, match=r"1 of 2 scenes could not be predicted: cannot read .*cut.tif"):
        predict(files, trained(by_value), tmp_path / "o", progress=lambda file, *_: seen.append(file.name), **RUN)
    assert set(seen) == {"whole.tif"} and (tmp_path / "o" / "whole_classes.tif").is_file()


@pytest.mark.parametrize("creation", [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {"interleave": "band"}, {}])
def test_truncated_target_is_named_before_training(tiny_city, tmp_path, creation):
    from tiny_cities import options, train_watched

    (tmp_path / "target").mkdir()
    scene(tmp_path / "target" / "a.tif")
    file = truncated(tmp_path / "target" / "cut.tif", **creation)
    settings = options(tiny_city, target=str(tmp_path / "target"), method="source-only", **{"target_bands": "RGB"})
    with pytest.raises(MissingError, match=f"cannot read {file}"):
        train_watched(settings, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_many_files_are_checked_quickly(tmp_path):
    from rsuda.data.checks.files import check_readable
    from rsuda.geo.scenes.scene import Scene

    file = scene(tmp_path / "a.tif")
    began = time.monotonic()
    check_readable([Scene(str(number), file) for number in range(500)])
    assert time.monotonic() - began < 5


def test_remote_file_is_a_domain_of_one_scene(tmp_path):
    import zipfile

    from rsuda.data.find_domain import domain

    file = scene(tmp_path / "a.tif")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(file, "a.tif")
    place = f"/vsizip/{tmp_path}/z.zip/a.tif"
    remote = domain(place, bands="RGB")
    assert list(remote.scenes) == ["a"] and remote.split("train")[0].image == place


def test_host_without_an_answer_is_noticed_in_seconds():
    from rsuda.core.downloads import answers

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert answers("127.0.0.1", listening.getsockname()[1], 5)
    began = time.monotonic()
    assert not answers("192.0.2.1", 443, 0.5)  # an address for documentation, which nobody has
    assert time.monotonic() - began < 2
