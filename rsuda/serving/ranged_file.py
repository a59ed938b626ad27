"""Read a file on a web server in ranges of bytes, and follow no redirection: it may lead where a service must not read."""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from threading import RLock, Timer
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from rsuda.core.display import shown
from rsuda.core.errors import MissingError

PATIENCE = 10.0  # seconds that a server may be silent
BLOCK = 1 << 18  # bytes that are read at once
MOST_BLOCKS = 64  # that are kept


class RangedFile:
    """A file on a web server. Its blocks are read when they are needed, by one connection, and the last ones are kept.

    Args:
        address: http:// or https://.
        deadline: of ``time.monotonic``, after which nothing more is read.

    Attributes:
        size: bytes of the file.
        problem: why a block could not be read; None as long as all could.

    Raises:
        MissingError: the server does not answer with a range of bytes, redirects, or is silent.
    """

    def __init__(self, address: str, deadline: float) -> None:
        self.address, self.deadline = address, deadline
        parts = urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(str(parts.hostname), parts.port, timeout=PATIENCE)
        self._target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._turn = RLock()
        self.problem: MissingError | None = None
        self.size = 0
        self.block(0)

    def block(self, number: int) -> bytes:
        """Return a block. Raises MissingError."""
        with self._turn:
            if self.problem:
                raise self.problem
            if number not in self._blocks:
                self._blocks[number] = self._read(number * BLOCK)
                if len(self._blocks) > MOST_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            return self._blocks[number]

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Open the file for GDAL, which asks for files beside it too. Raises FileNotFoundError for those."""
        if path != self.address or mode.strip("b") != "r":
            raise FileNotFoundError(path)
        return cast(BinaryIO, io.BufferedReader(_Reader(self)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _read(self, start: int) -> bytes:
        end = Timer(max(0.0, self.deadline - time.monotonic()), self._interrupt)
        end.daemon = True
        end.start()
        try:
            return self._range(start)
        except MissingError as error:
            self.problem = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() > self.deadline
            self.problem = self._unreadable("its server is too slow" if late else type(error).__name__)
        finally:
            end.cancel()
        self.close()
        raise self.problem from None

    def _interrupt(self) -> None:
        """End a connection whose server sends its headers byte by byte, which is never silent long enough."""
        with suppress(OSError, AttributeError):  # there is no connection any more
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _range(self, start: int) -> bytes:
        self._connection.request("GET", self._target, headers={"Range": f"bytes={start}-{start + BLOCK - 1}"})
        response = self._connection.getresponse()
        if 300 <= response.status < 400:
            raise self._unreadable(f"status {response.status}: redirections are not followed")
        if response.status == 200:
            raise self._unreadable("its server sends no ranges of bytes")
        if response.status != 206:
            raise self._unreadable(f"status {response.status}")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.getheader("Content-Range") or "")
        first, last, size = (int(number) for number in match.groups()) if match else (-1, 0, 0)
        if first != start or last - first >= BLOCK or (self.size and size != self.size):
            raise self._unreadable("its server sends another range of bytes than asked for")
        content = b""
        while len(content) <= last - first:
            part = response.read1(last - first + 1 - len(content))
            if not part:
                raise self._unreadable("its server sends fewer bytes than it says")
            content += part
            if time.monotonic() > self.deadline:
                raise self._unreadable("its server is too slow")
        response.read()
        self.size = size
        return content

    def _unreadable(self, reason: str) -> MissingError:
        return MissingError(f"{shown(self.address)} cannot be read ({reason})")


class _Reader(io.RawIOBase):
    """A position in a file."""

    def __init__(self, file: RangedFile) -> None:
        self.file, self.place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.file.size}[whence])
        return self.place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.place >= self.file.size:
            return 0
        number, inside = divmod(self.place, BLOCK)
        try:
            part = self.file.block(number)[inside : inside + len(buffer)]
        except MissingError:  # GDAL reports too few bytes, and ``RangedFile.problem`` says why
            return 0
        buffer[: len(part)] = part
        self.place += len(part)
        return len(part)
