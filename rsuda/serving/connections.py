"""Close connections that say nothing: clients that connect and wait would take the places of others."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimelyConnection(H11Protocol):
    """A connection that is closed where no request is complete in its head within ``PATIENCE`` seconds, the next ones too.

    Bodies and answers have a limit of their own, ``ServeOptions.timeout``.
    """

    PATIENCE = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._last: Any = None
        self._later = self.loop.call_later(self.PATIENCE, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        self._later.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        """Close a connection that has had no new request since the last check, and answers none."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is self._last:
            self.transport.close()
            return
        self._last = self.cycle if waits else self._last
        self._later = self.loop.call_later(self.PATIENCE, self._check)
