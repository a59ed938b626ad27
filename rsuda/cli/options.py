"""Options that several commands have, said once."""

from __future__ import annotations

from typing import Annotated

import typer

Scheduler = Annotated[
    str | None, typer.Option(help="Spread over a Dask cluster: tcp://HOST:PORT, or 'local' for --workers processes.")
]
Workers = Annotated[int, typer.Option(help="Processes of --scheduler local.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each process; all cores by default.")]
