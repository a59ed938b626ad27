"""Processes that are killed at given moments: forked from a server that has rsuda loaded, so that each costs milliseconds."""

import multiprocessing
import os
import signal
import time
import traceback
from pathlib import Path

import torch

from rsuda.core.errors import RsudaError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rsuda.training.train", "rsuda.inference.predict", "killed_processes"])


def adapting(settings, folder, resume, said):
    """What a child process does: adapt on one thread; what it says ends in a file, its exit code is the command line's."""
    from tiny_cities import train_watched as train

    _ended(lambda: train(settings, folder, resume=resume, quiet=True), said)


def predicting(scenes, model, out, options, said):
    from rsuda.inference.predict import predict

    _ended(lambda: list(predict(scenes, model, out, **options)), said)


def commanding(words, said):
    """The command line, whose streams end in a file; the process ends as the program would."""
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from rsuda.cli import main

    torch.set_num_threads(1)
    main(words)


def _ended(work, said):
    torch.set_num_threads(1)
    try:
        work()
    except RsudaError as error:
        Path(said).write_text(f"Error: {error}")
        os._exit(2)
    except BaseException:
        Path(said).write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def started(target, *args):
    """A process that is on its way."""
    process = CONTEXT.Process(target=target, args=args)
    process.start()
    return process


def killed_when(process, moment, every=0.0005, by=signal.SIGKILL):
    """Kill a process as soon as ``moment()`` is true; False when it ended by itself before."""
    while process.exitcode is None:
        if moment():
            os.kill(process.pid, by)
            process.join()
            return process.exitcode == (128 + by if by == signal.SIGTERM else -by)
        time.sleep(every)
    return False


def after(seconds):
    """A moment so many seconds from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def appears(folder, pattern, times=1):
    """The moment when files or folders of such names have come for the so many-th time."""
    seen = set(folder.glob(pattern))
    first = len(seen)

    def moment():
        seen.update(folder.glob(pattern))
        return len(seen) >= first + times

    return moment


def changes(file, times, then):
    """The moment some seconds after a file has been replaced so many times."""
    seen, since = {_number(file)}, []

    def moment():
        seen.add(_number(file))
        if len(seen) > times and not since:
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= then

    return moment


def _number(file):
    return file.stat().st_mtime_ns if file.is_file() else 0
