"""Check on a worker that it shares the folder of a benchmark's runs and their data with the machine that asks.

It is a command as well, ``python -m rsuda.benchmark.shared_folder FOLDER``.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from rsuda.cluster.command import exit_code, parser
from rsuda.core.errors import InputError, RsudaError
from rsuda.core.settings import make_settings
from rsuda.core.spelling import spell
from rsuda.data.find_domain import find_domains


def check_shared(folder: Path) -> None:
    """Check on a worker that it shares the folder of the runs. Raises InputError."""
    worker = f"the worker on {platform.node()}"
    if not folder.is_dir():
        raise InputError(
            f"{worker} does not see the folder {folder.parent} of this machine: put the runs ({spell('out')}) where all "
            "machines of the cluster see them under the same path"
        )
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{worker} cannot write to {folder.parent}: make the folder of the runs writable for it")


def check_worker(folder: Path) -> None:
    """Check on a worker that it shares the folder of the runs and reads the data of each pair. Raises InputError."""
    check_shared(folder)
    for file in sorted(folder.glob("*.yaml")):
        try:
            find_domains(make_settings(file=file))
        except RsudaError as error:
            raise InputError(
                f"the worker on {platform.node()} cannot read the data, which must have the same path on all machines of the "
                f"cluster: {error}"
            ) from error


if __name__ == "__main__":
    options = parser("Check that this machine sees the runs and the data of a benchmark.")
    options.add_argument("folder", type=Path)
    values = options.parse_args()
    sys.exit(exit_code(lambda: check_worker(values.folder), values.attached))
