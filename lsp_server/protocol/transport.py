"""Bytes between an editor and the server: LSP's framing, over stdio or a socket.

**transport** ▶ jsonrpc ▶ server. Both ways in end up as an `asyncio.StreamReader`, so that everything above
is the same for a pipe and a socket, on every platform.
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
from dataclasses import dataclass
from typing import Final

_LENGTH: Final = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*$", re.IGNORECASE | re.MULTILINE)


class FramingError(Exception):
    """What arrives is not framed as LSP frames messages, and where the next one begins can't be known."""


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next message, or None at the end of input.

    Raises:
        FramingError: the bytes that arrive are no LSP message.
    """
    try:
        header = await reader.readuntil(b"\r\n\r\n")
        match = _LENGTH.search(header.replace(b"\r\n", b"\n"))
        if match is None:
            raise FramingError("a message's header has no Content-Length")
        return await reader.readexactly(int(match[1]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise FramingError("what arrives is not the Language Server Protocol") from None


def framed(body: bytes) -> bytes:
    """`body` as it goes over the wire."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


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
