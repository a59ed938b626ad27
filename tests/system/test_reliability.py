"""Test that an interruption of a run or a map is one sentence, and that finished files stay."""

import importlib.metadata
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from killed_processes import commanding, killed_when, started
from lightning.pytorch.callbacks import Callback, Checkpoint
from oracle_models import write
from safetensors.torch import load_file
from short_settings import changed, settings
from tiny_cities import options

from rsuda.core.atomic import atomic_write, leftovers
from rsuda.core.errors import ExistsError, InputError, MissingError, WriteError
from rsuda.core.locks import exclusive
from rsuda.core.settings import dump
from rsuda.data.find_domain import find_domains
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import loader
from rsuda.inference.predict import predict
from rsuda.runs.weights import checkpoint_step
from rsuda.training.build import build as method_of
from rsuda.training.build import check_run
from rsuda.training.checkpoint import AtomicCheckpointIO, CheckpointCallback
from rsuda.training.metrics_csv import rows_before
from rsuda.training.provenance import fingerprint
from rsuda.training.train import train


@pytest.fixture(scope="module")
def trained(tiny_city, tmp_path_factory):
    """A source-only run of two steps, to be copied."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(options(tiny_city, method="source-only", steps=2), folder, quiet=True)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


class At(Callback):
    """Calls ``act`` after a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            self.act()


@contextmanager
def files_up_to(size):
    """Limit the size of every file that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def mounted(folder, *how):
    """Mount an empty file system in a folder; skip the test where that is not allowed."""
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", *how, "none", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"this machine mounts no file system: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def bytes_of(folder, *names):
    return {n: (folder / n).read_bytes() for n in names}


# ---- adapt ----------------------------------------------------------------------------------------------------------


def test_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tiny_city, run):
    before = bytes_of(run, "last.ckpt", "weights.safetensors", "metrics.csv")
    s = options(tiny_city, method="source-only", steps=4)
    with files_up_to(100_000), pytest.raises(WriteError) as raised:
        train(s, run, resume=True, quiet=True)
    assert "last.ckpt: File too large; the checkpoint of step 2 is kept: rsuda.adapt(out=" in str(raised.value)
    assert bytes_of(run, "last.ckpt", "weights.safetensors") == {
        k: before[k] for k in ("last.ckpt", "weights.safetensors")
    }
    assert (run / "metrics.csv").read_bytes().startswith(before["metrics.csv"].splitlines(keepends=True)[0])
    assert not leftovers(run) and not (run / ".lock").exists()
    train(s, run, resume=True, quiet=True)
    assert checkpoint_step(run) == 4


def test_disk_that_fills_up_is_named(tiny_city, tmp_path):
    with mounted(tmp_path / "disk", "-o", "size=2m") as disk:
        with pytest.raises(WriteError, match=r"cannot write .*last\.ckpt: No space left on device; no checkpoint had"):
            train(options(tiny_city, method="source-only"), disk / "run", quiet=True)
        assert not (disk / "run" / "last.ckpt").exists() and not leftovers(disk / "run")


def test_read_only_folder_is_refused(tiny_city, tmp_path):
    said = r"cannot be made \(Read-only file system\): choose another `out`"
    with mounted(tmp_path / "disk", "-o", "ro") as disk, pytest.raises(MissingError, match=said):
        train(options(tiny_city, method="source-only"), disk / "run", quiet=True)


def test_folder_in_place_of_a_file_is_named(tiny_city, run):
    (run / "metrics.csv").unlink()
    (run / "metrics.csv").mkdir()
    with pytest.raises(WriteError, match=r"cannot write .*: Is a directory"):
        train(options(tiny_city, method="source-only"), run, overwrite=True, quiet=True)


def test_infinite_loss_names_step_scenes_and_windows_and_the_checkpoint_stays(tiny_city, tmp_path):
    s = options(tiny_city, method="source-only", steps=4, lr=1e30, warmup=0)
    with pytest.raises(InputError) as raised:
        train(s, tmp_path / "run", quiet=True)
    said = str(raised.value)
    assert "in step 2 of 4 (source east_0_image.tif rows " in said and "; source east_0_image.tif rows " in said
    assert "train again with a smaller learning rate; the checkpoint of step 1 is kept" in said
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 1 and all(v.isfinite().all() for v in state["state_dict"].values())
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_windows_named_for_a_step_hold_the_pixels_of_its_batch(tiny_city):
    s, _ = check_run(options(tiny_city, method="dacs", scale=(1.0, 1.0), max_share=1.0, band_mixing=0.0))
    found = pair(*find_domains(s), s)
    patches = loader(found, s, with_target=True).dataset
    for index in range(5):
        words = patches.where(index).replace(",", "").split()
        for domain, scenes in (("source", found.source), ("target", found.target)):
            at = words.index(domain)
            name, top, bottom, left, right = (words[at + k] for k in (1, 3, 5, 7, 9))
            scene = next(x for x in scenes if x.image.name == name)
            spec = getattr(found, f"{domain}_spec")
            shown = scene.read(
                spec.bands, found.gsd, (int(top), int(left), int(bottom) - int(top), int(right) - int(left))
            )
            image = patches[index][f"{domain}_image"]
            assert torch.allclose(image, torch.from_numpy(spec.unit(shown.values) * shown.valid).float(), atol=1e-6)


@pytest.mark.parametrize("workers", [0, 1])
def test_vanished_file_is_named_and_the_run_resumes_when_it_is_back(tiny_city, tmp_path, workers):
    own = Path(shutil.copytree(tiny_city, tmp_path / "own"))
    image, away = own / "east_0_image.tif", own / "away"
    s = options(own, method="source-only", steps=8, workers=workers)
    with pytest.raises(MissingError) as raised:
        train(s, tmp_path / "run", quiet=True, callbacks=[At(2, lambda: image.rename(away))])
    said = str(raised.value)
    assert f"no file {image}" in said and "; the checkpoint of step" in said and "\n" not in said
    away.rename(image)
    train(s, tmp_path / "run", resume=True, quiet=True)
    assert checkpoint_step(tmp_path / "run") == 8


def test_killed_worker_is_an_error_that_says_what_to_do(tiny_city, tmp_path):
    def kill():
        for child in multiprocessing.active_children():
            os.kill(child.pid, 9)

    s = options(tiny_city, method="source-only", steps=50, workers=1)
    with pytest.raises(
        InputError, match=r"a process that reads patches was killed.*workers=0; the checkpoint of step 5"
    ):
        train(s, tmp_path / "run", quiet=True, callbacks=[At(6, kill)])
    train(changed(s, steps=7, workers=0), tmp_path / "run", resume=True, quiet=True)
    assert checkpoint_step(tmp_path / "run") == 7


def test_run_stopped_before_its_first_checkpoint_starts_from_step_0(tiny_city, trained, run, caplog):
    for name in ("last.ckpt", "weights.safetensors", "spec.json", "run.json"):
        (run / name).unlink()
    train(options(tiny_city, method="source-only", steps=2), run, resume=True, quiet=True)
    assert "was stopped before its first checkpoint, so it starts from step 0" in caplog.text
    assert bytes_of(run, "weights.safetensors", "metrics.csv") == bytes_of(
        trained, "weights.safetensors", "metrics.csv"
    )


def test_finished_run_without_its_checkpoint_is_not_trained_again(tiny_city, run):
    (run / "last.ckpt").unlink()
    before = bytes_of(run, "weights.safetensors")
    with pytest.raises(MissingError, match=r"finished but holds no last\.ckpt"):
        train(options(tiny_city, method="source-only", steps=2), run, resume=True, quiet=True)
    assert bytes_of(run, "weights.safetensors") == before


def test_run_stopped_after_its_last_step_is_finished_by_resume(tiny_city, trained, run):
    (run / "weights.safetensors").unlink()
    (run / "spec.json").unlink()
    train(options(tiny_city, method="source-only", steps=2), run, resume=True, quiet=True)
    names = ("weights.safetensors", "spec.json", "metrics.csv", "last.ckpt")
    assert bytes_of(run, *names) == bytes_of(trained, *names)


def test_metrics_keep_the_row_of_the_step_of_a_checkpoint(tiny_city, tmp_path):
    """Lightning logs a step after all callbacks, so after its checkpoint."""

    class BreakError(Exception):
        pass

    class Break(Checkpoint):  # those come last, in order
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 10:
                raise BreakError

    s = options(tiny_city, method="source-only", steps=20)
    train(s, tmp_path / "whole", quiet=True)
    with pytest.raises(BreakError):
        train(s, tmp_path / "cut", quiet=True, callbacks=[Break()])
    assert checkpoint_step(tmp_path / "cut") == 10
    train(s, tmp_path / "cut", resume=True, quiet=True)
    assert [r["step"] for r in rows_before(tmp_path / "cut" / "metrics.csv", 20)] == ["9", "19"]
    assert bytes_of(tmp_path / "cut", "metrics.csv") == bytes_of(tmp_path / "whole", "metrics.csv")


def test_checkpoint_is_written_after_a_time_too(tiny_city, tmp_path):
    s, _ = check_run(options(tiny_city, method="source-only", steps=3))
    found = pair(*find_domains(s), s)
    seen = []
    keep = CheckpointCallback(tmp_path, 1000, str, seconds=0)
    look = At(1, lambda: seen.append((tmp_path / "last.ckpt").is_file()))  # comes before checkpoints are written
    after = At(2, lambda: seen.append(torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"]))
    trainer = L.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[look, after, keep], plugins=[AtomicCheckpointIO()],
    )  # fmt: skip
    trainer.fit(method_of(s, found), loader(found, s, with_target=False))
    assert seen == [False, 1] and keep.step_on_disk == 3


# ---- the same run again ---------------------------------------------------------------------------------------------


def test_configuration_of_a_run_repeats_it_to_the_last_bit(tiny_city, tmp_path):
    train(options(tiny_city, method="dacs", steps=2, options={"source_only_share": 0.0}), tmp_path / "one", quiet=True)
    train(settings(tmp_path / "one" / "config.yaml"), tmp_path / "two", quiet=True)
    names = ("weights.safetensors", "metrics.csv", "config.yaml", "spec.json", "run.json")
    assert bytes_of(tmp_path / "one", *names) == bytes_of(tmp_path / "two", *names)
    train(settings(tmp_path / "one" / "config.yaml", seed=1), tmp_path / "three", quiet=True)
    one, three = (load_file(tmp_path / n / "weights.safetensors") for n in ("one", "three"))
    assert any(not torch.equal(v, three[k]) for k, v in one.items())


def test_run_json_holds_versions_machine_and_data_without_target_labels(tiny_city, run):
    about = json.loads((run / "run.json").read_text())
    assert about["versions"]["torch"] == importlib.metadata.version("torch") and about["versions"]["gdal"]
    assert about["machine"]["threads"] == torch.get_num_threads() and about["machine"]["device"] == "cpu"
    files = [(f["domain"], f["file"]) for f in about["data"]]
    assert files == [("source", "east_0_image.tif"), ("source", "east_0_label.tif"), ("target", "west_0_image.tif")]
    assert about["data"][0] == {"domain": "source", **fingerprint(tiny_city / "east_0_image.tif")}
    assert about["data"][0]["bytes"] == (tiny_city / "east_0_image.tif").stat().st_size


def test_resume_notes_changed_data_but_not_a_copy(tiny_city, run, tmp_path, caplog):
    own = Path(shutil.copytree(tiny_city, tmp_path / "own", copy_function=shutil.copyfile))  # other dates
    s = options(own, method="source-only", steps=3)
    train(s, run, resume=True, quiet=True)
    assert "the data are not" not in caplog.text
    with (own / "west_0_image.tif").open("ab") as file:
        file.write(b"\0")
    train(changed(s, steps=4), run, resume=True, quiet=True)
    assert "note: the data have changed since the run began (west_0_image.tif)" in caplog.text
    resumed = json.loads((run / "run.json").read_text())["resumed"]
    assert [r["step"] for r in resumed] == [2, 3] and not resumed[0]["changes"] and resumed[1]["changes"]


# ---- two processes --------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from rsuda.core.locks import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(file):
    """Start another process that holds a lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_second_process_on_a_run_is_refused_and_a_killed_one_releases_it(tiny_city, run, how):
    s, before = options(tiny_city, method="source-only", steps=3), bytes_of(run, "last.ckpt", "log.txt", "config.yaml")
    with holder(run / ".lock") as process:
        with pytest.raises(ExistsError, match=f"run is being written by process {process.pid} on .*: wait"):
            train(s, run, quiet=True, **{how: True})
        assert bytes_of(run, "last.ckpt", "log.txt", "config.yaml") == before
    assert (run / ".lock").is_file()
    train(s, run, quiet=True, **{how: True})
    assert checkpoint_step(run) == 3 and not (run / ".lock").exists()


def test_second_call_in_the_same_process_is_refused(tmp_path):
    with exclusive(tmp_path / "lock", "it"), pytest.raises(ExistsError, match="by this process"):
        exclusive(tmp_path / "lock", "it").__enter__()
    assert not (tmp_path / "lock").exists()
    with exclusive(tmp_path / "lock", "it"):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


FORK = """
import os, sys, time
from pathlib import Path
from rsuda.core.locks import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    child = os.fork()
    if not child:  # by now it has let the lock go
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_does_not_keep_the_lock_of_its_killed_parent(tmp_path):
    with subprocess.Popen([sys.executable, "-c", FORK, str(tmp_path / "lock")], stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives
        with exclusive(tmp_path / "lock", "it"):
            pass
        os.kill(child, signal.SIGKILL)


def test_second_prediction_of_a_scene_is_refused_and_its_other_scenes_are_predicted(tiny_city, run, tmp_path):
    scenes = [tiny_city / f"west_{n}_image.tif" for n in range(2)]
    how = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "polygons": None}
    out = tmp_path / "maps"
    out.mkdir()
    said = r"1 of 2 scenes .*west_0_image_classes\.tif is being written by process"
    with holder(out / ".west_0_image_classes.lock"), pytest.raises(ExistsError, match=said):
        list(predict(scenes, run, out, **how))
    assert (out / "west_1_image_classes.tif").is_file() and not (out / "west_0_image_classes.tif").exists()
    assert [w.skipped for w in predict(scenes, run, out, **how)] == [False, True]
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


# ---- predict --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_ends_a_run_in_one_line_and_the_run_resumes(tiny_city, tmp_path, workers):
    said, config, run = tmp_path / "said", tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(dump(options(tiny_city, method="source-only", steps=300, workers=workers)))
    process = started(commanding, ["adapt", "--config", str(config), "--out", str(run)], said)
    assert killed_when(process, (run / "last.ckpt").exists, by=signal.SIGTERM)
    assert said.read_text().endswith("goes on from the last checkpoint, if there was one.\n")
    assert said.read_text().count("Terminated") == 1 and "Traceback" not in said.read_text()
    step = checkpoint_step(run)
    assert step >= 30 and not (run / ".lock").exists() and not [p for p in run.iterdir() if p.is_dir()]
    train(
        options(tiny_city, method="source-only", steps=step, workers=0), run, resume=True, quiet=True
    )  # nobody holds it


def test_sigterm_ends_a_prediction_in_one_line_and_its_strips_stay(run, tmp_path):
    write(tmp_path / "long.tif", np.zeros((3, 6000, 128), np.uint8))
    said, out = tmp_path / "said", tmp_path / "out"
    words = ["predict", str(tmp_path / "long.tif"), "--model", str(run), "--out", str(out), "--tile-size", "64"]
    process = started(commanding, [*words, "--overlap", "16", "--device", "cpu", "--quiet"], said)
    assert killed_when(process, lambda: any(out.glob(".long*/bands.json")), by=signal.SIGTERM)
    assert said.read_text() == "Terminated: run the same command again to continue after the last finished strip.\n"
    (left,) = out.iterdir()  # neither a lock nor a map
    assert json.loads((left / "bands.json").read_text())["done"]


def test_second_sigterm_ends_a_process_that_does_not_end(tmp_path):
    code = f"""
import os, signal, sys, time
from rsuda.cli import app, main
@app.command()
def stuck():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        open({str(tmp_path / "first")!r}, "w")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
main(["stuck"])
"""
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == -signal.SIGTERM
    assert (tmp_path / "first").exists() and time.monotonic() - began < 55


@pytest.mark.parametrize("size", [30_000, 82_500])  # of the unfinished pixels; of a GeoPackage, which is larger
def test_disk_full_during_prediction_leaves_no_final_file(tiny_city, run, tmp_path, size):
    how = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "probabilities": True}
    with files_up_to(size), pytest.raises(WriteError, match=r"cannot write .*(File too large|disk|I/O)"):
        list(predict([tiny_city / "west_0_image.tif"], run, tmp_path / "maps", **how))
    assert not [p for p in (tmp_path / "maps").iterdir() if not p.name.startswith(".")]
    list(predict([tiny_city / "west_0_image.tif"], run, tmp_path / "maps", **how))
    assert not [p for p in (tmp_path / "maps").iterdir() if p.name.startswith(".")]


def test_raster_that_gdal_cannot_finish_is_removed(tiny_city, run, tmp_path):
    how = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "polygons": None}
    with mounted(tmp_path / "disk", "-o", "size=400k") as disk:

        def fill(*_):  # after it was asked whether there is room
            held = os.statvfs(disk)
            if not (disk / "ballast").exists():
                (disk / "ballast").write_bytes(bytes(held.f_bavail * held.f_frsize - 4096))

        with pytest.raises(WriteError, match=r"cannot write .*disk"):
            list(predict([tiny_city / "west_0_image.tif"], run, disk / "maps", progress=fill, **how))
        assert not [p for p in (disk / "maps").iterdir() if not p.name.startswith(".")]


def test_too_small_disk_is_refused_before_prediction_begins(tiny_city, run, tmp_path):
    with (
        mounted(tmp_path / "disk", "-o", "size=32k") as disk,
        pytest.raises(MissingError, match=r"needs .* on the disk"),
    ):
        list(predict([tiny_city / "west_0_image.tif"], run, disk / "maps", device="cpu", window=64, overlap=16))


# ---- files ----------------------------------------------------------------------------------------------------------


def test_leftovers_are_files_of_killed_writers_only(tmp_path):
    with atomic_write(tmp_path / "last.ckpt") as temporary:
        temporary.write_text("half")
        assert leftovers(tmp_path) == [temporary.parent]
    assert not leftovers(tmp_path) and (tmp_path / "last.ckpt").read_text() == "half"
    (tmp_path / ".notes-archived").mkdir()
    (tmp_path / ".notes-archived" / "mine.txt").touch()
    assert not leftovers(tmp_path)


def test_rows_before_a_step_leave_out_an_incomplete_row(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss,step\n0,1.5,9\n0,1.25,19\n0,1.1,29\n0,1.")
    assert [r["loss"] for r in rows_before(tmp_path / "metrics.csv", 20)] == ["1.5", "1.25"]
    assert rows_before(tmp_path / "none.csv", 20) == []
