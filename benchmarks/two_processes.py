"""How far two processes come from one with twice the batch, for every method: states after three steps in double precision.

    python benchmarks/two_processes.py

By two processes with batches of 2 (gloo), and by one with batches of 4; SGD, dropout on, cities of 256 px with nodata in a
corner, thresholds such that some pixels pass and some do not. The state is networks, discriminators, teachers, thresholds and
the prototypes' bias. Differences are over the largest value of the tensor that they are in. The third column is one process with
batches of 2: how far those are who share nothing.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from process_tasks import CASES, RELATING, cities, furthest, held, train_by_two, trained


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "states"
        out.mkdir()
        (Path(temporary) / "data").mkdir()
        data = cities(Path(temporary) / "data")
        train_by_two(data, out)
        print("| method | its options | processes apart | from one process | from half the batch |")
        print("| --- | --- | --- | --- | --- |")
        for case in CASES:
            first, second = held(out, case)
            others = second, trained(data, case, 4), trained(data, case, 2)
            far = [furthest(first, other)[0] for other in others]
            told = ", ".join(f"{k} {v}" for k, v in RELATING.get(case, {}).items())
            print(f"| {case.partition(':')[0]} | {told} | " + " | ".join(f"{f:.1e}" for f in far) + " |", flush=True)


if __name__ == "__main__":
    main()
