"""A Dask scheduler: how it is reached, and the CPU threads that a task on one of its workers has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rsuda.core.errors import InputError, MissingError


@dataclass(frozen=True)
class Threads:
    """CPU threads of a task.

    Attributes:
        given: of each task; None for a machine's cores, shared by the tasks that may run on it at once.
        at_once: how many these are, by machine.
    """

    given: int | None
    at_once: dict[str, int]

    def here(self) -> int:
        """On a worker, in a task. What torch takes by itself is 1, which Dask sets for the workers that it watches over."""
        if self.given:
            return self.given
        from dask.system import CPU_COUNT
        from distributed import get_worker

        worker = get_worker()
        return max(1, CPU_COUNT // self.at_once.get(_machine(worker.address), worker.state.nthreads))


def _machine(address: str) -> str:
    return urlsplit(address).hostname or address


def threads_of(client: Any, given: int | None) -> Threads:
    """For tasks that are submitted now."""
    at_once: Counter[str] = Counter()
    for address, number in client.ncores().items():
        at_once[_machine(address)] += number
    return Threads(given, dict(at_once))


def slots(client: Any) -> int:
    """How many tasks run at once, on all workers that are there now; 1 while there is none."""
    return max(1, sum(client.ncores().values()))


@contextmanager
def connected(scheduler: str, workers: int) -> Iterator[Any]:
    """A client of the scheduler at an address, or of a 'local' one: ``workers`` processes on this machine.

    Raises:
        InputError: Dask is not installed, or the number of workers is below 1.
        MissingError: nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("--scheduler needs Dask, which is not installed: pip install 'rsuda[cluster]'") from None
    if scheduler != "local":
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise MissingError(f"no Dask scheduler answers at {scheduler}: {str(error).splitlines()[0]}") from None
        with client:
            yield client
        return
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        Client(local) as client,
    ):
        yield client
