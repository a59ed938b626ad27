"""A run folder has one writer, also where several runs begin before any of them has made it."""

import pytest

from rsuda.core.errors import ExistsError
from rsuda.training.run_folder import RunFolder


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_began_before_another_made_the_folder_waits_for_its_lock(tmp_path, overwrite):
    run = tmp_path / "run"
    with (
        RunFolder(run, overwrite=overwrite, resume=False) as late,
        RunFolder(run, overwrite=False, resume=False) as early,
    ):
        early.open()
        (run / "config.yaml").write_text("of the early run")
        with pytest.raises(ExistsError, match="is being written by this process"):
            late.open()
    assert (run / "config.yaml").read_text() == "of the early run"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_began_before_another_ended_replaces_it_only_where_it_may(tmp_path, overwrite):
    run = tmp_path / "run"
    with RunFolder(run, overwrite=overwrite, resume=False) as late:
        with RunFolder(run, overwrite=False, resume=False) as early:
            early.open()
            (run / "config.yaml").write_text("of the early run")
        if overwrite:
            late.open()
        else:
            with pytest.raises(ExistsError, match="exists: pass resume=True"):
                late.open()
    assert (run / "config.yaml").exists() is not overwrite
