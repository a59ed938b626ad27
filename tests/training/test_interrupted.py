"""Ctrl-C while training, the lines of progress, and trackers of experiments."""

import logging
import re

import pytest
from lightning.pytorch.callbacks import Callback
from method_runs import run_settings

from rsuda.cli import main
from rsuda.cli.app import app
from rsuda.core.errors import InputError, Interrupted
from rsuda.training.build import check_run
from rsuda.training.train import train


class CtrlC(Callback):
    """A user who presses Ctrl-C in a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_ctrl_c_names_the_command_that_goes_on_and_progress_is_in_words(two_cities, tmp_path, caplog):
    run = tmp_path / "run"
    settings = run_settings(two_cities, "dacs", steps=30, options={"source_only_share": 0.0})
    with caplog.at_level(logging.DEBUG, "rsuda"), pytest.raises(Interrupted) as stopped:
        train(settings, run, quiet=True, callbacks=[CtrlC(5)])
    assert str(stopped.value) == (
        f"interrupted at step 5 of 30; rsuda.adapt(out={str(run)!r}, resume=True) goes on from step 3"
    )
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert any(
        re.fullmatch(r"step 3 of 30, \d+ \w+ left, loss [\d.]+, pseudo labels trusted \d+%", line) for line in lines
    )
    assert "details of step 3: loss" in (run / "log.txt").read_text()
    with pytest.raises(KeyboardInterrupt):  # the process hears the next Ctrl-C
        import signal

        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_command_in_one_line_and_exit_code_130(capsys):
    @app.command("stopping", hidden=True)
    def stopping():
        raise KeyboardInterrupt

    try:
        with pytest.raises(SystemExit) as end:
            main(["stopping"], "rsuda")
    finally:
        app.registered_commands.pop()
    assert end.value.code == 130 and capsys.readouterr().err == "\nInterrupted.\n"


def test_a_tracker_without_its_package_is_refused_before_data_are_read(two_cities, monkeypatch):
    monkeypatch.setattr("rsuda.core.errors.find_spec", lambda name: None)
    settings = run_settings(two_cities, "source-only", steps=1).changed({"training.loggers": ["mlflow"]})
    with pytest.raises(InputError, match=r"needs mlflow, which is not installed: pip install 'rsuda\[mlflow\]'"):
        check_run(settings)


def test_tensorboard_goes_on_after_resuming(two_cities, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    for steps in (2, 4):
        settings = run_settings(two_cities, "source-only", steps=steps).changed({"training.loggers": ["tensorboard"]})
        train(settings, run, resume=steps == 4, quiet=True)
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 3]
    assert (run / "metrics.csv").is_file()
