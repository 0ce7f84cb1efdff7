"""`fimble serve` as an editor meets it: a real process, a real model, raw messages."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.child import FIMBLE, ROOT, Child
from tests.lsp_server.fakes import Editor
from tests.lsp_server.wire import ErrorCode, framed

A = {"uri": "file:///a.py"}
INLINE = "textDocument/inlineCompletion"
PROGRESS = {"window": {"workDoneProgress": True}}


def at(line: int, character: int, **more: object) -> dict[str, object]:
    position = {"line": line, "character": character}
    return {"textDocument": A, "position": position, "context": {"triggerKind": 2}, **more}


async def test_a_request_that_comes_while_the_model_loads_is_answered(checkpoint_folder: Path) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start(capabilities=PROGRESS)
        child.editor.open("def add(a, b):\n    return ")
        result = await child.editor.request(INLINE, at(1, 11))
        assert isinstance(result["items"], list)
        progress = [one["value"] for one in await child.editor.seen("$/progress", 2)]
        assert progress[0]["kind"] == "begin"
        assert progress[-1] == {"kind": "end", "message": f"{checkpoint_folder.name} is ready"}
        percentages = [one["percentage"] for one in progress[:-1]]
        assert percentages == sorted(percentages)
        assert await child.quit() == 0


async def test_a_request_can_be_cancelled_while_the_model_loads(checkpoint_folder: Path) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start()
        child.editor.open("\n#\n")
        id_, answer = child.editor.ask(INLINE, at(0, 0))
        child.editor.notify("$/cancelRequest", {"id": id_})
        assert (await answer)["error"]["code"] == ErrorCode.REQUEST_CANCELLED
        assert await child.quit() == 0


async def test_partial_results_grow_into_the_final_item(checkpoint_folder: Path) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start(initializationOptions={"maxTokens": 24})
        # Somewhere in a text the random model writes something; where it writes nothing shows nothing.
        # Nor is it Python, as which it would be found wanting.
        text = "for index, value in enumerate(values):\n    if value is None:\n" * 3
        child.editor.open(text, language="plaintext")
        texts: list[str] = []
        for line in range(6):
            token = f"line {line}"
            result = await child.editor.request(INLINE, at(line, 99, partialResultToken=token))
            final = "".join(item["insertText"] for item in result["items"])
            shown = [
                one["value"]["items"][0]["insertText"]
                for one in await child.editor.seen("$/progress", 0)
                if one["token"] == token
            ]
            assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
            # The end of it may come with the answer; what is not whole in the end is taken back.
            assert not shown or final.startswith(shown[-1]) or shown[-1].startswith(final)
            texts += shown
        assert texts
        assert await child.quit() == 0


async def test_the_same_text_asks_for_the_same_completion_however_it_was_typed(
    checkpoint_folder: Path,
) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start(capabilities={"general": {"positionEncodings": ["utf-8"]}})
        child.editor.open("name = '🎉'\r\nprint(name)\r\n")
        at_once = await child.editor.request(INLINE, at(1, 11))
        text = [item["insertText"] for item in at_once["items"]]
        child.editor.open("print(name)")
        start = {"line": 0, "character": 0}
        after = {"line": 0, "character": 12}
        edits: list[dict[str, Any]] = [
            {"range": {"start": start, "end": start}, "text": "name = '🎉\r\n"},
            {"range": {"start": after, "end": after}, "text": "'"},
            {
                "range": {"start": {"line": 9, "character": 0}, "end": {"line": 9, "character": 0}},
                "text": "\r\n",
            },
        ]
        change = {"textDocument": {**A, "version": 2}, "contentChanges": edits}
        child.editor.notify("textDocument/didChange", change)
        again = await child.editor.request(INLINE, at(1, 11))
        assert [item["insertText"] for item in again["items"]] == text
        assert await child.quit() == 0


async def test_the_server_ends_well_while_the_model_loads(checkpoint_folder: Path) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start()
        child.editor.open("\n#\n")
        _, answer = child.editor.ask(INLINE, at(0, 0))
        assert await child.quit() == 0
        assert (await answer)["error"]["code"] == ErrorCode.REQUEST_CANCELLED


async def test_the_server_ends_when_its_editor_dies(checkpoint_folder: Path) -> None:
    async with await Child.start("--model", str(checkpoint_folder)) as child:
        await child.editor.start()
        child.stdin.close()
        assert await child.process.wait() == 1


async def test_malformed_requests_are_answered() -> None:
    async with await Child.start() as child:
        assert await child.editor.error(INLINE, at(0, 0)) == ErrorCode.SERVER_NOT_INITIALIZED
        await child.editor.start()
        assert await child.editor.error(INLINE, {"position": 3}) == ErrorCode.INVALID_PARAMS
        assert await child.editor.error("no/such/method") == ErrorCode.METHOD_NOT_FOUND
        assert await child.quit() == 0


async def test_a_model_that_is_not_there_is_told_to_the_user(tmp_path: Path) -> None:
    async with await Child.start("--model", str(tmp_path)) as child:
        await child.editor.start()
        child.editor.open("\n#\n")
        assert await child.editor.request(INLINE, at(0, 0)) is None
        [message] = await child.editor.seen("window/showMessage")
        assert "config.json" in message["message"]
        assert await child.quit() == 0


async def test_what_is_not_the_protocol_ends_the_server() -> None:
    async with await Child.start() as child:
        child.stdin.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await child.process.wait() == 1


async def test_several_editors_are_served_over_tcp(checkpoint_folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *FIMBLE, "serve", "--tcp", "0", "--model", str(checkpoint_folder), cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        host, _, port = line.split("listening on ")[1].split(";")[0].rpartition(":")
        assert host == "127.0.0.1"
        for _ in range(2):
            reader, writer = await asyncio.open_connection(host, int(port))
            editor = Editor(reader, writer.write)
            await editor.start()
            editor.open("x = ")
            assert await editor.request(INLINE, at(0, 4)) is not None
            await editor.request("shutdown")
            editor.notify("exit")
            await editor.closed()
            writer.close()
    finally:
        process.terminate()
        await process.wait()


def test_input_that_no_event_loop_can_wait_for_is_read_by_a_thread(tmp_path: Path) -> None:
    """A file here; on Windows every pipe."""
    messages: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": {"capabilities": {}}},
        {"id": 2, "method": "shutdown"},
        {"method": "exit"},
    ]
    bodies = [json.dumps({"jsonrpc": "2.0", **message}).encode() for message in messages]
    path = tmp_path / "said"
    path.write_bytes(b"".join(framed(body) for body in bodies))
    with path.open("rb") as said:
        run = subprocess.run(
            [*FIMBLE, "serve"], cwd=ROOT, stdin=said, capture_output=True, timeout=60, check=True
        )
    assert re.findall(rb'"id": ?(\d)', run.stdout) == [b"1", b"2"]


def test_what_a_library_prints_does_not_get_between_the_messages() -> None:
    program = (
        "import os, sys\n"
        "from lsp_server.protocol import Stdio\n"
        "stdio = Stdio.claim()\n"
        "print('noise'); os.write(1, b'more noise')\n"
        "assert sys.stdin.read() == ''\n"
        "stdio.write(b'message')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, input=b"input", capture_output=True, check=True, timeout=60
    )
    assert run.stdout == b"message"
    assert b"noise" in run.stderr


async def test_no_text_of_the_users_is_logged_where_much_is() -> None:
    async with await Child.start("--debug", module="tests.e2e.knowing") as child:
        await child.editor.start()
        child.editor.open("def area(")
        [item] = (await child.editor.request(INLINE, at(0, 9, partialResultToken="t")))["items"]
        assert "width" in item["insertText"]
        assert await child.editor.error(INLINE, {"textDocument": "def area("}) == ErrorCode.INVALID_PARAMS
        child.editor.notify("textDocument/didChange", {"textDocument": A, "contentChanges": ["def area("]})
        child.editor.send(b'{"def area(')
        assert await child.quit() == 0
        assert child.process.stderr is not None
        log = await child.process.stderr.read()
    assert b"didChange" in log
    assert b"area" not in log
    assert b"width" not in log


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send on Windows")
async def test_an_interrupt_ends_the_server_quietly() -> None:
    import signal

    def listen() -> None:  # where the tests run in the background, a shell has had interrupts ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = await asyncio.create_subprocess_exec(
        *FIMBLE, "serve", "--tcp", "0", cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=listen
    )
    assert process.stderr is not None
    await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    assert await process.stderr.read() == b""
