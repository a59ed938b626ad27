"""Kill runs and predictions at any moment, resume them, and compare with uninterrupted ones."""

import random
import time

import pytest
import torch
from killed_processes import adapting, after, appears, changes, killed_when, predicting, started
from run_contents import content, same
from tiny_cities import options

from rsuda.geo.rasters.raster import RasterFile

pytestmark = pytest.mark.slow
RUNS = {
    "source-only": {"method": "source-only", "target_statistics": True},
    "st-dasegnet": {"method": "st-dasegnet", "dropout": 0.1, "rare_temperature": 0.2, "crop": 192},
    "bicl": {
        "method": "bicl",
        "options": {"source_only_share": 0.2},
        "optimiser": "sgd",
        "score_every": 7,
        "training.bank": True,
        "standardise": "auto",
        "band_mixing": "auto",
    },
}
STEPS, KILLS = 24, 12
# what is being written when a process is killed: each is a folder that whole_file makes
WRITES = [".metrics-*", ".weights-*", ".spec-*", ".run-*", ".config-*"]


def there(run):
    """What a killed process left: the step of its checkpoint, and what it was writing."""
    if not run.is_dir():
        return "no folder"
    step = torch.load(run / "last.ckpt", weights_only=True)["global_step"] if (run / "last.ckpt").is_file() else "no"
    writing = [p.name.rpartition("-")[0] for p in run.iterdir() if p.name.startswith(".") and p.is_dir()]
    return f"checkpoint {step}" + (f", writing {', '.join(writing)}" if writing else "")


@pytest.mark.parametrize("name", RUNS)
def test_run_killed_at_any_moment_and_resumed_equals_the_uninterrupted_one(tiny_city, tmp_path, name, capsys):
    s = options(tiny_city, steps=STEPS, **{"preset": "sample", **RUNS[name]})
    said, draw, table = tmp_path / "said", random.Random(name), []
    for folder in ("first", "whole"):  # the time of one whose program is loaded
        began = time.monotonic()
        whole = started(adapting, s, tmp_path / folder, False, said)
        whole.join()
        assert whole.exitcode == 0, said.read_text()
        lasted = time.monotonic() - began
    wanted, chain, count, aims = content(tmp_path / "whole"), 0, 0, list(WRITES)
    while count < KILLS or aims:
        chain += 1
        run = tmp_path / f"chain_{chain}"
        while True:  # until the run is finished
            resume = (run / "config.yaml").is_file()
            process = started(adapting, s, run, resume, said)
            if aims and (run.is_dir() or aims[-1] in WRITES[-2:]):
                pattern = aims.pop()
                moment, told = appears(run, pattern), f"writing {pattern}"
            elif count < KILLS:
                seconds, times = draw.uniform(0, 1.2 * lasted), draw.randint(1, 4)
                moment, told = draw.choice([
                    (after(seconds), f"{seconds:.2f} s after start"),
                    (changes(run / "last.ckpt", times, seconds / 12), f"{seconds / 12:.2f} s after {times} checkpoints"),
                    (appears(run, ".last-*", times), f"writing checkpoint {times}"),
                ])  # fmt: skip
            else:
                process.join()
                moment, told = lambda: False, "to the end"
            killed = killed_when(process, moment)
            process.join()
            count += killed
            assert killed or process.exitcode == 0, said.read_text()
            table.append((chain, told, there(run), "killed" if killed else "finished"))
            if not killed:
                break
        found = content(run)
        assert not [part for part, value in wanted.items() if not same(found[part], value)], f"chain {chain} of {name}"
        assert not [p for p in run.iterdir() if p.name.startswith(".")]
        table[-1] = (*table[-1][:3], "finished: equal to the last bit")
    with capsys.disabled():
        print(f"\n{name}: {count} kills in {chain} chains; an unbroken run takes {lasted:.1f} s")
        for row in table:
            print("  chain {:<3}{:<28}{:<36}{}".format(*row))
    assert count >= KILLS


def test_prediction_killed_at_any_moment_leaves_whole_files_and_continues(tiny_city, tmp_path, capsys):
    said, draw, table = tmp_path / "said", random.Random(1), []
    train = started(adapting, options(tiny_city, method="source-only"), tmp_path / "run", False, said)
    train.join()
    assert train.exitcode == 0, said.read_text()
    scenes = [tiny_city / f"west_{n}_image.tif" for n in range(2)]
    how = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "confidence": True, "probabilities": True}
    whole = started(predicting, scenes, tmp_path / "run", tmp_path / "whole", how, said)
    whole.join()
    assert whole.exitcode == 0, said.read_text()

    def files(folder):
        return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}

    def alike(name, held, wanted):
        # a GeoPackage holds the time of its making
        return name.endswith(".gpkg") or held == wanted

    wanted, count, chain = files(tmp_path / "whole"), 0, 0
    while count < KILLS:
        chain += 1
        out = tmp_path / f"maps_{chain}"
        while True:
            process = started(predicting, scenes, tmp_path / "run", out, how, said)
            kinds = [after(draw.uniform(0.05, 0.8)), appears(out, ".*_classes-*"), appears(out, "*_confidence.tif")]
            killed = killed_when(process, draw.choice(kinds), 0.0001)
            process.join()
            count += killed
            assert killed or process.exitcode == 0, said.read_text()
            found = files(out) if out.is_dir() else {}
            for name, held in found.items():
                assert alike(name, held, wanted[name]), name
                if name.endswith(".tif"):
                    RasterFile(out / name).read()
            table.append((chain, f"{len(found)} of {len(wanted)} files", "killed" if killed else "finished"))
            if not killed:
                break
        assert files(out).keys() == wanted.keys() and not [p for p in out.iterdir() if p.name.startswith(".")]
    with capsys.disabled():
        print(f"\npredict: {count} kills in {chain} chains")
        for row in table:
            print("  chain {:<3}{:<18}{}".format(*row))
