"""Byte streams between an editor and the server, with the interface that pygls expects.

Pipes and sockets both become an `asyncio.StreamReader`, so the layers above are the same for both, on every
platform.
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
    """The input does not follow LSP's framing, so the start of the next message is unknown."""


class MessageReader:
    """Reads messages as pygls does, one header line at a time.

    pygls skips invalid input; this reader raises `FramingError`, which ends the connection.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._length_seen = False

    async def readline(self) -> bytes:
        """Read a header line; empty at the end of input.

        Raises:
            FramingError: the input is not an LSP message.
        """
        if not self._length_seen:
            # Let the previous request's handler run up to its first await, before a later edit is applied.
            await asyncio.sleep(0)
        try:
            line = await self._stream.readline()
        except ConnectionError:
            return b""
        except ValueError:  # the line exceeds the stream's limit
            raise FramingError("what arrives is not the Language Server Protocol") from None
        if match := _LENGTH.fullmatch(line.strip()):
            self._length_seen = True
            return b"Content-Length: %b\r\n" % match[1]
        if line == b"\r\n" and not self._length_seen:
            raise FramingError("a message's header has no Content-Length")
        return line

    async def readexactly(self, count: int) -> bytes:
        """Read a message's body; empty if the input ends first."""
        self._length_seen = False
        try:
            return await self._stream.readexactly(count)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


class MessageWriter:
    """Writes messages with `write`. Errors are ignored: a closed connection is detected by the reader."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        with contextlib.suppress(OSError):
            self._write(data)

    def close(self) -> None:
        """Do nothing: the connection is closed by the code that opened it."""


@dataclass(frozen=True)
class Stdio:
    """The process's standard input and output, reserved for the protocol.

    Text that a library prints must not end up between two messages. So file descriptor 1 is redirected to
    standard error and file descriptor 0 to an empty file, and only this object has the original streams.
    """

    input_fd: int
    output_fd: int

    @classmethod
    def claim(cls) -> Stdio:
        """Take over the two streams; call this once per process."""
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
        """A stream reader for standard input, fed by the event loop to avoid a thread switch per message.

        Event loops can't wait for pipes on Windows, or for regular files on any platform; then a thread feeds
        the reader. It reads the raw descriptor, since a lock held on `sys.stdin` would block interpreter
        exit.
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
            with contextlib.suppress(OSError):  # the editor has crashed: treat that as the end of input
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
        except BlockingIOError:  # for example if it is the same socket as the input, which is non-blocking
            select.select([], [self.output_fd], [])
            return 0
