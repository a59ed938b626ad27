"""A command for tests of child processes. It imports little, so that the process starts quickly."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from rsuda.cluster.command import ATTACHED, exit_code
from rsuda.core.errors import InputError


def main():
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=["answer", "sentence", "bug", "die", "wait"])
    options.add_argument("file", type=Path)
    options.add_argument("--threads", type=int)
    options.add_argument(ATTACHED, action="store_true")
    values = options.parse_args()

    def work():
        answer = {
            "pid": os.getpid(),
            "threads": values.threads,
            "omp": os.environ["OMP_NUM_THREADS"],
            "cwd": os.getcwd(),
        }
        values.file.write_text(json.dumps(answer))
        if values.what == "sentence":
            print("a warning before it", file=sys.stderr)
            raise InputError("this is wrong: do that")
        if values.what == "bug":
            raise KeyError("by mistake")
        if values.what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while values.what == "wait":
            time.sleep(0.1)

    return exit_code(work, values.attached)


if __name__ == "__main__":
    sys.exit(main())
