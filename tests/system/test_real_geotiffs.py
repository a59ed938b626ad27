"""Give awkward real GeoTIFFs to info, predict and adapt: each works, or is refused in one sentence.

``RSUDA_REAL_DATA=… python tests/system/test_real_geotiffs.py`` prints what became of each file.
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from labelled_city import SETTINGS, city
from short_settings import settings

from rsuda.core.errors import RsudaError
from rsuda.geo.rasters.raster import SUFFIXES

NETWORK = {"method": "source-only", "preset": "sample", **SETTINGS, "patches.window": 64}


def tried(work):
    """Return 'ok' or the sentence of a refusal; raise anything else."""
    try:
        work()
    except RsudaError as error:
        return str(error)
    return "ok"


def outcomes(files, folder):
    """Map each file to its outcomes in info, predict and adapt."""
    from rsuda.inference.predict import predict
    from rsuda.info.info import info
    from rsuda.training.train import train

    source = city(folder, "east", size=128)
    start = {"source": str(source), "data": str(folder), **NETWORK}
    train(settings(target=str(source), **start), folder / "run", quiet=True)
    found = {}
    for number, file in enumerate(files):

        def to_file(file=file, number=number):
            s = settings(target=str(file), **start)
            train(s, folder / f"to{number}", quiet=True)

        def through(file=file, number=number):
            list(predict([file], folder / "run", folder / f"out{number}", device="cpu", window=64, overlap=16))

        def look(file=file):
            info(str(file), folder / "run")

        found[file] = tuple(map(tried, (look, through, to_file)))
    return found


def all_files(real_data):
    return sorted(p for p in (real_data / "geotiffs").rglob("*") if p.suffix in SUFFIXES)


@pytest.mark.slow
def test_every_real_geotiff_works_or_is_refused_in_a_sentence(real_data, tmp_path):
    files = all_files(real_data)
    found = outcomes(files, tmp_path)
    worked = [Counter(told[verb] == "ok" for told in found.values())[True] for verb in range(3)]
    assert (len(files), *worked) == COUNTS
    for told in found.values():
        assert all(t == "ok" or (len(t) < 700 and "Traceback" not in t and "\n" not in t) for t in told)


COUNTS = (50, 50, 11, 11)  # files; how many of them info, predict and adapt took

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ["RSUDA_REAL_DATA"])
        for path, told in outcomes(all_files(root), Path(scratch)).items():
            print(path.relative_to(root), *told, sep=" | ", file=sys.stdout)
