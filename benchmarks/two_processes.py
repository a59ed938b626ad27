"""Compare two processes with one process and twice the batch, for every method: states after three steps in double precision.

    python benchmarks/two_processes.py

Two processes have batches of 2 (gloo), one process has batches of 4. Training uses SGD and dropout, on cities of
256 px with nodata in a corner, with thresholds that some pixels pass. The state is networks, discriminators,
teachers, thresholds and the bias of the prototypes. Differences are relative to the largest value of their tensor.
The third column is one process with batches of 2: the distance of runs that share nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from process_tasks import CASES, RELATING, cities, furthest, held, train_by_two, trained


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "states"
        out.mkdir()
        (Path(temporary) / "data").mkdir()
        data = cities(Path(temporary) / "data")
        train_by_two(data, out)
        print("| method | options | between processes | from one process | from half the batch |")
        print("| --- | --- | --- | --- | --- |")
        for case in CASES:
            first, second = held(out, case)
            states = second, trained(data, case, 4), trained(data, case, 2)
            distances = [furthest(first, state)[0] for state in states]
            values = ", ".join(f"{name} {value}" for name, value in RELATING.get(case, {}).items())
            print(
                f"| {case.partition(':')[0]} | {values} | "
                + " | ".join(f"{distance:.1e}" for distance in distances)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
