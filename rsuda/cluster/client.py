"""Connect to a Dask scheduler, and share a machine's CPU threads among the tasks on its workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rsuda.core.display import quoted
from rsuda.core.errors import InputError, MissingError
from rsuda.core.spelling import spell

TIMEOUT = 10.0  # seconds to wait for a scheduler's answer


@dataclass(frozen=True)
class Threads:
    """CPU threads of a task.

    Attributes:
        fixed: threads of each task; None divides a machine's cores by the tasks that run on it at once.
        at_once: number of tasks that run at once, by machine.
    """

    fixed: int | None
    at_once: dict[str, int]

    def of_task(self) -> int:
        """Return the threads of the task that calls this on a worker. Dask itself lets torch take one thread only."""
        if self.fixed:
            return self.fixed
        from dask.system import CPU_COUNT
        from distributed import get_worker

        worker = get_worker()
        return max(1, CPU_COUNT // self.at_once.get(_machine(worker.address), worker.state.nthreads))


def _machine(address: str) -> str:
    return urlsplit(address).hostname or address


def threads_of(client: Any, fixed: int | None) -> Threads:
    """Return the threads of tasks that are submitted now; ``fixed`` see ``Threads``."""
    at_once: Counter[str] = Counter()
    for address, number in client.ncores().items():
        at_once[_machine(address)] += number
    return Threads(fixed, dict(at_once))


def slots(client: Any) -> int:
    """Return how many tasks run at once on all present workers; 1 while there is no worker."""
    cores: dict[str, int] = client.ncores()
    return max(1, sum(cores.values()))


@contextmanager
def connect(scheduler: str, workers: int, timeout: float | None = None) -> Iterator[Any]:
    """Connect a client to the scheduler at an address, or to a 'local' one with worker processes on this machine.

    Args:
        scheduler: an address such as ``tcp://head:8786``, or 'local'.
        workers: processes of a local scheduler.
        timeout: seconds to wait for a scheduler's answer; ``TIMEOUT`` by default.

    Raises:
        InputError: Dask is missing, or ``workers`` is below 1.
        MissingError: no scheduler answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            f"{spell('scheduler')} needs Dask, which is not installed: pip install 'rsuda[cluster]'"
        ) from None
    if scheduler != "local":
        try:
            client = Client(scheduler, timeout=TIMEOUT if timeout is None else timeout)
        except (OSError, ValueError) as error:
            raise MissingError(
                f"no Dask scheduler answers at {scheduler} ({quoted(error)}): start it, or correct the address"
            ) from None
        with client:
            yield client
        return
    if workers < 1:
        raise InputError(f"{spell('workers')} is {workers}: it must be at least 1")
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        Client(local) as client,
    ):
        yield client
