"""The editor as a person meets it, without a screen, at a server that a test speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsp_server.terminal.editor import Editor
from lsp_server.terminal.files import OpenFile
from tests.lsp_server.terminal.fake_server import FakeServer, FakeServers

INLINE = "textDocument/inlineCompletion"
CHANGE = "textDocument/didChange"


class Person:
    """At an editor whose server is a `FakeServer`."""

    def __init__(self, file: OpenFile, *servers: FakeServer) -> None:
        self.server = servers[0]
        self.editor = Editor(file, FakeServers(*servers).connect, self._looks)
        self.shown: list[str | None] = []
        self._looked = asyncio.Event()
        self._asked = 0

    @property
    def ghost(self) -> str | None:
        return self.editor.ghost.text if self.editor.ghost else None

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Look at the screen whenever it is drawn anew, until that is so."""
        while not is_so():
            self._looked.clear()
            await self._looked.wait()

    async def sees(self, ghost: str | None) -> None:
        """Wait until exactly this ghost text is shown."""
        await self.until(lambda: self.ghost == ghost)

    async def reads(self, state: str) -> None:
        await self.until(lambda: self.editor.completer.state.state == state)

    async def asked(self) -> dict[str, Any]:
        """The server's next request for completions."""
        self._asked += 1
        return await self.server.said(INLINE, self._asked)

    async def answered(self, *texts: str, source: str = "model") -> None:
        """The next request is asked, and answered so at its position."""
        request = await self.asked()
        self.server.answer(request, {"items": items(request, *texts), "source": source})

    def _looks(self) -> None:
        self.shown.append(self.ghost)
        self._looked.set()


def items(request: dict[str, Any], *texts: str) -> list[dict[str, Any]]:
    where = {"start": request["params"]["position"], "end": request["params"]["position"]}
    return [
        {"insertText": text, "range": where, "command": {"arguments": [f"id of {text}"]}} for text in texts
    ]


@asynccontextmanager
async def person(
    text: str = "", *more: FakeServer, path: Path | None = None, cursor: int | None = None
) -> AsyncGenerator[Person, None]:
    server = FakeServer()
    file = OpenFile("a.py", path, text, cursor=len(text) if cursor is None else cursor)
    someone = Person(file, server, *more)
    serving = asyncio.get_running_loop().create_task(someone.editor.completer.run())
    try:
        await server.said("textDocument/didOpen")
        yield someone
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        for each in (server, *more):
            await each.close()


async def test_a_suggestion_appears_by_itself_and_is_accepted() -> None:
    async with person("a = ") as someone:
        await someone.answered("b + c")
        await someone.sees("b + c")
        assert (await someone.server.said("textDocument/didShowCompletion"))["params"]["item"][
            "insertText"
        ] == "b + c"
        someone.editor.tab()
        assert someone.editor.buffer.text == "a = b + c"
        command = await someone.server.said("workspace/executeCommand")
        assert command["params"] == {"command": "fimble.accept", "arguments": ["id of b + c"]}
        assert (await someone.asked())["params"]["position"] == {"line": 0, "character": 9}


async def test_nothing_is_suggested_at_the_start_of_a_file_that_is_only_looked_at() -> None:
    async with person("a = 1", cursor=0) as someone:
        someone.editor.type("#")
        assert (await someone.asked())["params"]["position"] == {"line": 0, "character": 1}


async def test_ghost_text_stays_while_it_is_typed_and_until_the_answer_says_otherwise() -> None:
    async with person("a = ") as someone:
        await someone.answered("value + 1")
        await someone.sees("value + 1")
        for left in ("alue + 1", "lue + 1"):
            someone.editor.type("value + 1"[-len(left) - 1])
            assert someone.ghost == left  # at once, before any answer
        begun = await someone.asked()
        token = begun["params"]["partialResultToken"]
        someone.server.notify("$/progress", {"token": token, "value": {"items": items(begun, "lu")}})
        someone.server.answer(begun, {"items": items(begun, "lue - 2")})
        await someone.sees("lue - 2")
        assert someone.shown[-2:] == ["lue + 1", "lue - 2"]


async def test_an_overtaken_request_is_cancelled_first_and_never_shown() -> None:
    async with person() as someone:
        old = await someone.asked()
        someone.editor.type("x")
        new = await someone.asked()
        methods = [
            message["method"] for message in someone.server.heard if message["method"] in (INLINE, CHANGE)
        ]
        assert methods == [INLINE, CHANGE, INLINE]
        heard = someone.server.heard
        cancelled = someone.server.named("$/cancelRequest")
        assert [message["params"]["id"] for message in cancelled] == [old["id"]]
        assert heard.index(cancelled[0]) < heard.index(new)
        stale = old["params"]["partialResultToken"]
        someone.server.notify("$/progress", {"token": stale, "value": {"items": items(old, "stale")}})
        someone.server.answer(old, {"items": items(old, "stale")})
        someone.server.answer(new, {"items": items(new, "fresh")})
        await someone.sees("fresh")
        assert "stale" not in someone.shown


async def test_a_null_answer_keeps_what_is_shown_and_an_empty_one_hides_it() -> None:
    async with person() as someone:
        await someone.answered("xyz")
        await someone.sees("xyz")
        someone.editor.type("x")
        someone.server.answer(await someone.asked(), None)
        someone.server.notify("fimble/status", {"state": "generating", "model": "m", "enabled": True})
        await someone.reads("generating")
        await someone.sees("yz")
        someone.editor.type("y")
        await someone.answered()
        await someone.sees(None)


async def test_a_word_is_accepted_and_told_and_the_rest_stays() -> None:
    async with person("🎉 ") as someone:
        await someone.answered("self.area")
        await someone.sees("self.area")
        someone.editor.accept_word()
        assert someone.editor.buffer.text == "🎉 self"
        told = await someone.server.said("textDocument/didPartiallyAcceptCompletion")
        assert told["params"]["acceptedLength"] == 4
        await someone.sees(".area")
        someone.editor.accept_word()
        someone.editor.accept_word()
        assert someone.editor.buffer.text == "🎉 self.area"
        assert (await someone.server.said("workspace/executeCommand"))["params"]["command"] == "fimble.accept"


async def test_what_is_dismissed_stays_away_until_something_is_typed() -> None:
    async with person() as someone:
        late = await someone.asked()
        someone.editor.dismiss()
        someone.server.answer(late, {"items": items(late, "late")})
        await someone.server.said("$/cancelRequest")
        assert someone.editor.ghost is None
        someone.editor.type("x")
        await someone.answered("yz")
        await someone.sees("yz")
        someone.editor.move(someone.editor.buffer.move_left)
        assert someone.editor.ghost is None
        someone.editor.accept_word()
        assert someone.editor.buffer.cursor.character == 1  # where there is none it goes to the next word


async def test_asking_by_hand_gives_several_to_choose_from() -> None:
    async with person() as someone:
        await someone.answered("one")
        await someone.sees("one")
        someone.editor.cycle(1)
        request = await someone.asked()
        assert request["params"]["context"] == {"triggerKind": 1}
        someone.server.answer(request, {"items": items(request, "one", "two", "three")})
        await someone.until(lambda: len(someone.editor.candidates) == 3)
        shown = []
        for step in (1, 1, 1, -1):
            someone.editor.cycle(step)
            shown.append((someone.ghost, someone.editor.candidate))
        assert shown == [("two", 1), ("three", 2), ("one", 0), ("three", 2)]
        someone.editor.tab()
        assert someone.editor.buffer.text == "three"


async def test_the_share_from_memory_is_what_the_server_says() -> None:
    async with person() as someone:
        someone.server.notify("fimble/status", {"state": "ready", "model": "m", "enabled": True})
        await someone.reads("ready")
        await someone.answered("abcd")
        await someone.sees("abcd")
        assert someone.editor.latencies.last_ms is None  # the first one was asked while the model was loaded
        assert someone.editor.latencies.from_memory == 0
        for left, share in (("bcd", 1 / 2), ("cd", 2 / 3), ("d", 3 / 4)):
            someone.editor.type("abcd"[-len(left) - 1])
            await someone.answered(left, source="memory")
            await someone.until(lambda share=share: someone.editor.latencies.from_memory == share)  # type: ignore[misc]
        figures = someone.editor.latencies
        assert figures.last_ms is not None
        assert figures.median_ms is not None


async def test_what_is_typed_without_a_server_is_in_the_text_that_the_next_one_gets() -> None:
    second = FakeServer()
    async with person("a", second) as someone:
        someone.server.die()
        await someone.reads("gone")
        someone.editor.type("b")
        someone.editor.completer.restart()
        opened = await second.said("textDocument/didOpen")
        assert opened["params"]["textDocument"]["text"] == "ab"
        second.die()
        await someone.reads("gone")
        someone.editor.completer.restart()
        await someone.until(lambda: someone.editor.completer.state.message == "none is left")
        assert someone.editor.buffer.text == "ab"


async def test_saving_writes_the_file_and_quitting_asks_once(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    async with person("a\r\n", path=path) as someone:
        editor = someone.editor
        assert editor.may_quit()
        editor.type("b")
        assert not editor.may_quit()
        editor.key_pressed()
        assert not editor.may_quit()
        editor.key_pressed(quitting=True)
        assert editor.may_quit()
        editor.save()
        await someone.server.said("textDocument/didSave")
        assert path.read_bytes() == b"a\r\nb"
        editor.key_pressed()
        assert editor.may_quit()


async def test_a_text_without_a_file_gets_one_and_takes_no_other_s(tmp_path: Path) -> None:
    path = tmp_path / "b.py"
    async with person("a") as someone:
        editor = someone.editor
        editor.type("b")
        path.write_text("mine")
        editor.save_as(str(path))
        assert "already" in editor.message
        assert (path.read_text(), editor.file.path) == ("mine", None)
        editor.save_as(str(tmp_path / "no folder" / "b.py"))
        assert "your text is safe" in editor.message
        assert editor.file.path is None
        path.unlink()
        editor.save_as(str(path))
        assert path.read_text() == "ab"
        opened = await someone.server.said("textDocument/didOpen", 2)
        assert opened["params"]["textDocument"]["uri"] == path.as_uri()
        assert someone.server.named("textDocument/didClose")
