"""How processes of ours end: quietly, soon, and with the status that tells why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.e2e.child import FIMBLE, ROOT, Child
from tests.e2e.knowing import TARGET
from tests.lsp_server.fakes import Editor
from tests.lsp_server.wire import framed

A = {"uri": "file:///a.py"}
INLINE = "textDocument/inlineCompletion"
STATUS = {"experimental": {"fimbleStatus": True}}
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
SECONDS: Final = 6.0
"""In which a process ends: 2 where the machine has nothing else to do."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals to send on Windows")
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="which libraries a process has loaded cannot be seen"
)


def interruptible() -> None:
    """Hear interrupts, also where the tests run in the background of a shell, which has them ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `fimble` with `arguments`."""
    pipe = subprocess.PIPE
    listen = interruptible if sys.platform != "win32" else None
    return subprocess.Popen(
        [*FIMBLE, *arguments], cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=listen
    )


def ends(process: subprocess.Popen[bytes], number: int) -> tuple[int, bytes]:
    """The status and the errors with which a process ends, in time, when it is sent a signal."""
    sent = time.monotonic()
    process.send_signal(number)
    status = process.wait(20)
    assert time.monotonic() - sent < SECONDS
    assert process.stderr is not None
    return status, process.stderr.read()


def until(is_so: Callable[[], bool]) -> None:
    """Look until that is so."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_torch(process: psutil.Process) -> bool:
    """Whether it, or a child of it, has begun to load torch."""
    family = [process, *process.children()]
    return any("libtorch" in one.path for member in family for one in member.memory_maps())


def speak(process: subprocess.Popen[bytes], method: str, id_: int | None = None, **params: object) -> None:
    """Send an LSP message to a server whose answers nobody reads."""
    assert process.stdin is not None
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    process.stdin.write(framed(json.dumps(message if id_ is None else {**message, "id": id_}).encode()))
    process.stdin.flush()


@pytest.fixture
def editor_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for an editor's, and does nothing."""
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@posix
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_a_command_whose_model_is_computing(tmp_path: Path, number: int, status: int) -> None:
    environment = {**os.environ, "FIMBLE_DATA_DIR": str(tmp_path)}
    with start("eval", "--suite=single-line", "--sample=500", env=environment) as process:
        until(lambda: any(file.stat().st_size for file in tmp_path.rglob("*.jsonl")))
        assert ends(process, number) == (status, b"")


@linux
@pytest.mark.parametrize("command", [("complete", "lsp_server/document.py:60"), ("bench", "--quick")])
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_a_command_whose_model_is_loading(
    command: tuple[str, ...], number: int, status: int
) -> None:
    with start(*command, "--dtype=fp32") as process:
        until(lambda: has_torch(psutil.Process(process.pid)))
        assert ends(process, number) == (status, b"")


@posix
@pytest.mark.parametrize(("number", "status"), SIGNALS)
async def test_a_signal_ends_a_server_whose_model_is_loading(number: int, status: int) -> None:
    async with await Child.start(preexec_fn=interruptible) as child:
        await child.editor.start(capabilities=STATUS)
        await child.editor.seen("fimble/status")
        child.process.send_signal(number)
        assert await asyncio.wait_for(child.process.wait(), SECONDS) == status
        assert child.process.stderr is not None
        assert await child.process.stderr.read() == b""


@posix
@pytest.mark.parametrize(("number", "status"), SIGNALS)
async def test_a_signal_ends_a_server_on_a_port_that_has_clients(number: int, status: int) -> None:
    process, (host, port) = await listening()
    reader, writer = await asyncio.open_connection(host, port)
    editor = Editor(reader, writer.write)
    await editor.start(capabilities=STATUS)
    await editor.seen("fimble/status")
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), SECONDS) == status
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    await editor.closed()
    writer.close()


@posix
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_a_server_whose_answers_nobody_reads(number: int, status: int) -> None:
    with start("serve") as process:
        hang_in_a_write(process)
        assert ends(process, number)[0] == status


def test_a_reader_who_wants_nothing_is_no_error() -> None:
    with start("complete", "lsp_server/document.py:60", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.parametrize("reaped", [True, False])
async def test_a_server_ends_with_its_editor_though_its_pipes_stay_open(
    editor_process: subprocess.Popen[bytes], reaped: bool, tmp_path: Path
) -> None:
    environment = {**os.environ, "FIMBLE_DATA_DIR": str(tmp_path)}
    async with await Child.start(module="tests.e2e.knowing", env=environment) as child:
        await child.editor.start(processId=editor_process.pid)
        child.editor.open(TARGET[:4])
        params = {"textDocument": A, "position": {"line": 0, "character": 4}}
        assert (await child.editor.request(INLINE, params))["items"]
        editor_process.kill()
        if reaped:
            editor_process.wait()
        assert await asyncio.wait_for(child.process.wait(), SECONDS) == 1
    stats = await asyncio.create_subprocess_exec(
        *FIMBLE, "stats", "--json", cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert b'"answered": 1' in (await stats.communicate())[0]


@posix
def test_a_server_whose_answers_nobody_reads_ends_with_its_editor(
    editor_process: subprocess.Popen[bytes],
) -> None:
    with start("serve") as process:
        hang_in_a_write(process, processId=editor_process.pid)
        editor_process.kill()
        killed = time.monotonic()
        assert process.wait(20) == 1
        assert time.monotonic() - killed < SECONDS


async def test_an_editor_that_ends_leaves_the_others_on_its_port_served(
    editor_process: subprocess.Popen[bytes],
) -> None:
    ended = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", "")
    await ended.wait()
    no_processes = [
        None,
        True,
        "7",
        0.5,
        -1,
        0,
        2**40,
        ended.pid,
    ]  # the last may run, but in another container
    process, (host, port) = await listening()
    try:
        connections = [await asyncio.open_connection(host, port) for _ in range(2 + len(no_processes))]
        one, *others = (Editor(reader, writer.write) for reader, writer in connections)
        await one.start(processId=editor_process.pid)
        for other, pid in zip(others, [os.getpid(), *no_processes], strict=True):
            await other.start(processId=pid)
        editor_process.kill()
        await asyncio.wait_for(one.closed(), SECONDS)
        for other in others:
            assert await other.request("shutdown") is None
            other.notify("exit")
            await other.closed()
        for _, writer in connections:
            writer.close()
    finally:
        process.terminate()
        await process.wait()


async def listening() -> tuple[asyncio.subprocess.Process, tuple[str, int]]:
    """A server on a port, and where that is."""
    listen = interruptible if sys.platform != "win32" else None
    process = await asyncio.create_subprocess_exec(
        *FIMBLE, "serve", "--tcp", "0", cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=listen
    )
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    host, _, port = line.split("listening on ")[1].split(";")[0].rpartition(":")
    return process, (host, int(port))


def hang_in_a_write(process: subprocess.Popen[bytes], **params: object) -> None:
    """Ask a server so much, without reading what it answers, that it hangs in the midst of an answer."""
    assert process.stdout is not None
    speak(process, "initialize", 0, capabilities={}, **params)
    assert process.stdout.read(1)  # it is up
    for id_ in (1, 2):
        speak(process, "x" * 60_000, id_)  # the error that answers this is as long
    until(lambda: unread(process) > 61_000)  # the second answer has begun; 64 KiB fit


def unread(process: subprocess.Popen[bytes]) -> int:
    """How many bytes are in the pipe that a process writes to."""
    import fcntl
    import termios

    assert process.stdout is not None
    room = fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(room, sys.byteorder)
