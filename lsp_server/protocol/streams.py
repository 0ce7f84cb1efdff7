"""Bytes between an editor and the server, in the shape that pygls reads and writes.

**streams** ▶ strict. Both ways in end up as an `asyncio.StreamReader`, so that everything above is the same
for a pipe and a socket, on every platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import select
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LENGTH: Final = re.compile(rb"content-length:[ \t]*(\d+)[ \t]*", re.IGNORECASE)


class FramingError(Exception):
    """What arrives is not framed as LSP frames messages, and where the next one begins can't be known."""


class MessageReader:
    """A stream as pygls reads it, header line by header line.

    pygls skips what it does not understand; here it ends the connection.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._length_seen = False

    async def readline(self) -> bytes:
        """A line of a header; nothing at the end of input.

        Raises:
            FramingError: the bytes that arrive are no LSP message.
        """
        if not self._length_seen:
            # The handler of the request before runs up to its first wait, and sees documents as they are now.
            await asyncio.sleep(0)
        try:
            line = await self._stream.readline()
        except ConnectionError:
            return b""
        except ValueError:  # longer than any header
            raise FramingError("what arrives is not the Language Server Protocol") from None
        if match := _LENGTH.fullmatch(line.strip()):
            self._length_seen = True
            return b"Content-Length: %b\r\n" % match[1]
        if line == b"\r\n" and not self._length_seen:
            raise FramingError("a message's header has no Content-Length")
        return line

    async def readexactly(self, count: int) -> bytes:
        """A message's body; nothing where the input ends before."""
        self._length_seen = False
        try:
            return await self._stream.readexactly(count)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


class MessageWriter:
    """Bytes to the other side. That it has gone is nothing to fail for: reading from it tells, too."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        with contextlib.suppress(OSError):
            self._write(data)

    def close(self) -> None:
        """Nothing: who opened a connection closes it."""


@dataclass(frozen=True)
class Stdio:
    """The process's standard input and output, taken from everyone else in the process.

    Whatever a library prints must not get between two messages, so the protocol keeps the real streams to
    itself: standard output becomes standard error, and standard input an empty file.
    """

    input_fd: int
    output_fd: int

    @classmethod
    def claim(cls) -> Stdio:
        """Take the two streams over; once in a process."""
        sys.stdout.flush()
        stdio = cls(os.dup(0), os.dup(1))
        os.dup2(2, 1)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device, not a path
            os.dup2(nothing.fileno(), 0)
        if sys.platform == "win32":
            import msvcrt

            for fd in (stdio.input_fd, stdio.output_fd):
                msvcrt.setmode(fd, os.O_BINARY)
        else:
            os.set_blocking(stdio.output_fd, True)
        return stdio

    async def reader(self) -> asyncio.StreamReader:
        """A stream of what comes in: fed by the event loop, so that no other thread has to run for a key.

        Event loops can't wait for a pipe on Windows, nor for a file anywhere; then a thread feeds it. That
        reads the bare descriptor, so it holds no lock that the interpreter wants when it exits.
        """
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = io.FileIO(self.input_fd, closefd=False)
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        except (ValueError, NotImplementedError, OSError):
            threading.Thread(target=self._pump, args=(loop, reader), name="stdin", daemon=True).start()
        return reader

    def _pump(self, loop: asyncio.AbstractEventLoop, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            with contextlib.suppress(OSError):  # the editor has died: as good as the end of input
                while data := os.read(self.input_fd, 1 << 16):
                    loop.call_soon_threadsafe(reader.feed_data, data)
            loop.call_soon_threadsafe(reader.feed_eof)

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        view = memoryview(data)
        while view:
            view = view[self._write_some(view) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self.output_fd, data)
        except BlockingIOError:  # it is the same socket as the input, say, and that does not block
            select.select([], [self.output_fd], [])
            return 0
