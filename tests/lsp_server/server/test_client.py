"""Our own client, and `fimble serve` at the other end of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from pygls.exceptions import JsonRpcException

from lsp_server.client import ChildServer, ServerGone
from tests.lsp_server.terminal.fake_server import FakeServer


async def test_who_lets_go_of_a_request_tells_the_server() -> None:
    server = FakeServer()
    asking = asyncio.ensure_future(server.connection.ask("slow", None))
    request = await server.said("slow")
    asking.cancel()
    assert (await server.said("$/cancelRequest"))["params"] == {"id": request["id"]}
    server.answer(request, "too late")
    asked = asyncio.ensure_future(server.connection.ask("quick", None))
    server.answer(await server.said("quick"), "in time")
    assert await asked == "in time"
    await server.connection.stop()
    await server.close()


async def test_who_waits_for_a_server_that_ends_is_told() -> None:
    server = FakeServer()
    asking = asyncio.ensure_future(server.connection.ask("slow", None))
    await server.said("slow")
    server.die()
    with pytest.raises(ServerGone):
        await asking
    with pytest.raises(ServerGone):
        await server.connection.ask("afterwards", None)
    assert await server.connection.gone() == "the connection is closed"
    await server.close()


async def test_a_server_in_a_child_process_is_started_asked_and_ended(checkpoint_folder: Path) -> None:
    server = await ChildServer.start([f"--model={checkpoint_folder}"])
    try:
        answer = await server.initialize({"textDocument": {"inlineCompletion": {}}})
        assert answer["serverInfo"]["name"] == "fimble"
        with pytest.raises(JsonRpcException, match="no/such"):
            await server.ask("no/such", {})
    finally:
        await server.stop()
    assert "said nothing" in await server.gone()


async def test_what_lies_in_the_folder_where_it_is_started_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "linecache.py", "lsp_server.py", "random.py", "typing.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    server = await ChildServer.start()
    try:
        assert await server.initialize({})
    finally:
        await server.stop()


async def test_the_last_words_of_a_server_that_dies_are_kept() -> None:
    server = await ChildServer.start(["--no-such-option"])
    with pytest.raises(ServerGone, match="--no-such-option"):
        await server.initialize({})
    await server.stop()


async def test_a_server_that_was_never_spoken_to_is_ended() -> None:
    server = await ChildServer.start()
    await server.stop()
    assert "exit status" in await server.gone()


async def test_a_server_that_does_not_listen_is_ended_all_the_same() -> None:
    pipe = asyncio.subprocess.PIPE
    deaf = "import time; time.sleep(100)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", deaf, stdin=pipe, stdout=pipe, stderr=pipe
    )
    await ChildServer(process).stop(timeout=0.1)
    assert process.returncode is not None
