"""Read the bodies of requests: up to a limit each, up to a limit together, in time, and before the answer is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from rsuda.serving.refusal import RETRY_AFTER, refusal
from rsuda.serving.serve_options import ServeOptions


class Bodies:
    """The bodies that a service holds. All of them have as many bytes as a full queue of the largest, at most.

    Attributes:
        size: bytes of the bodies that are read or answered.
        limit: bytes that they may have.
    """

    def __init__(self, limits: ServeOptions) -> None:
        self.limits = limits
        self.size, self.limit = 0, (limits.queue + 1) * limits.max_bytes

    @asynccontextmanager
    async def of(self, request: Any, most: int) -> AsyncIterator[Any]:
        """Read the body of a request, and hold it in the block. Gives a refusal where it is too large, late or cut short."""
        from starlette.requests import ClientDisconnect

        parts: list[bytes] = []
        try:
            try:
                await asyncio.wait_for(self._read(request, parts, most), self.limits.timeout)
                body: Any = b"".join(parts)
            except TimeoutError:
                body = refusal(408, f"the body took longer than {self.limits.timeout:g} seconds")
            except _TooLargeError:
                body = refusal(413, f"the body has more than {most} bytes")
            except _TooManyError:
                body = refusal(503, f"other requests fill the memory: try again in {RETRY_AFTER} seconds")
            except ClientDisconnect:
                body = refusal(400, "the client left before its body was complete")  # read by nobody
            yield body
        finally:
            self.size -= sum(map(len, parts))

    async def _read(self, request: Any, parts: list[bytes], most: int) -> None:
        length, size = request.headers.get("content-length", "0"), 0
        if length.isdigit() and int(length) > most:
            raise _TooLargeError
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _TooLargeError
            if self.size + len(part) > self.limit:
                raise _TooManyError
            self.size += len(part)
            parts.append(part)


class SmallBodies:
    """Read bodies of JSON before FastAPI does, which reads bodies of any size for any time."""

    MOST = 100_000  # bytes

    def __init__(self, app: Any, bodies: Bodies) -> None:
        self.app, self.bodies = app, bodies

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        from starlette.requests import Request

        if scope["type"] != "http" or scope.get("path") != "/predict/address":
            await self.app(scope, receive, send)
            return
        async with self.bodies.of(Request(scope, receive), self.MOST) as body:
            if not isinstance(body, bytes):
                await body(scope, receive, send)
                return
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Any:
                return messages.pop() if messages else await receive()

            await self.app(scope, again, send)


class AnswerAfterBody:
    """Read and forget what a client still sends before it is answered.

    A connection that is closed while bytes wait unread is reset, and the client may lose the answer. A client that is silent, or
    waits for leave to send, is answered at once.
    """

    SILENCE, MOST = 0.25, 2.0  # seconds without a byte, and of reading

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        complete = any(name == b"expect" for name, _ in scope["headers"])

        async def receive_and_note() -> Any:
            nonlocal complete
            message = await receive()
            complete = complete or message["type"] != "http.request" or not message.get("more_body")
            return message

        async def send_after_body(message: Any) -> None:
            if message["type"] == "http.response.start":
                end = time.monotonic() + self.MOST
                with suppress(TimeoutError):
                    while not complete and time.monotonic() < end:
                        await asyncio.wait_for(receive_and_note(), self.SILENCE)
            await send(message)

        await self.app(scope, receive_and_note, send_after_body)


class _TooLargeError(Exception):
    pass


class _TooManyError(Exception):
    pass
