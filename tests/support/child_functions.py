"""What tests ask of a process of its own; it loads little, so that the process starts quickly."""

import os
import signal
import time

from rsuda.core.errors import InputError


def working(given, threads):
    """Answer as it is told to."""
    if given == "sentence":
        raise InputError("as it should be")
    if given == "bug":
        raise KeyError("by mistake")
    if given == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while given == "wait":
        time.sleep(0.1)
    return given, threads, os.environ["OMP_NUM_THREADS"], os.getcwd(), os.getpid()
