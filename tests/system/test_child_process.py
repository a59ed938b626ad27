"""A function in a process of its own: its answer, its refusals, and its end."""

import os
import pickle

import pytest
from child_functions import working

from rsuda.cluster.child_process import UnwantedError, ask
from rsuda.core.errors import InputError


def asked(given, folder, wanted=lambda: True):
    return ask(pickle.dumps((working, given)), str(folder), 3, wanted)


def test_a_process_of_its_own_answers_or_says_why_not(tmp_path):
    *found, pid = asked("value", tmp_path)
    assert found == ["value", 3, "3", str(tmp_path)] and pid != os.getpid()
    assert asked("value", tmp_path / "none")[3] == os.getcwd()
    with pytest.raises(InputError, match=r"^as it should be$"):
        asked("sentence", tmp_path)
    with pytest.raises(RuntimeError, match="KeyError: 'by mistake'"):
        asked("bug", tmp_path)
    with pytest.raises(InputError, match="its process was killed"):
        asked("die", tmp_path)
    with pytest.raises(UnwantedError):
        asked("wait", tmp_path, lambda: False)


def test_a_file_in_the_working_folder_is_not_taken_for_a_module(tmp_path):
    (tmp_path / "pickle.py").write_text("raise SystemExit('run')")
    (tmp_path / "rsuda.py").write_text("raise SystemExit('run')")
    assert asked("value", tmp_path)[0] == "value"
