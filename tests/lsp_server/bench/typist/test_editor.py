"""The typist's editor: it says to a server what an editor says, and shows what the server answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lsp_server.bench.typist import (
    Editor,
    EditorAssistant,
    Keystroke,
    TypingSession,
    Watch,
    neighbouring_files,
    replay,
)
from lsp_server.bench.typist.session import Edit
from lsp_server.client import ServerGone
from lsp_server.document import Document
from model_runtime.api import BackendError, Usage
from tests.lsp_server.terminal.fake_server import FakeServer

ASKED, CHANGED = "textDocument/inlineCompletion", "textDocument/didChange"
READY = {"state": "ready", "enabled": True}


class Screen(Watch):
    """Can be waited for until it shows something, and keeps what that was."""

    def __init__(self) -> None:
        super().__init__()
        self.has_shown = asyncio.Event()
        self.texts: list[str] = []

    def show(self, text: str, replaces: int = 0) -> None:
        super().show(text, replaces)
        self.texts.append(text)
        self.has_shown.set()


class Typist:
    """Somebody who types the document ``x = `` on, at a server that says what a test tells it to."""

    def __init__(self) -> None:
        self.server, self.watch = FakeServer(), Screen()
        self.editor = Editor(self.server.connection)
        document = Document("", uri="file:///a.py", language="python", encoding="utf-32")
        self.assistant = EditorAssistant(self.editor, self.watch, document)
        self.text = "x = "
        self.server.notify("fimble/status", READY)
        self.assistant.opened(self.text)

    def type(self, letter: str) -> None:
        at = len(self.text)
        self.text += letter
        self.watch.pressed(Keystroke(0.0, "type", Edit(at, at, letter), at + 1))
        self.assistant.pressed(self.watch.keys[-1].key, self.text)

    async def asked(self, number: int = 1) -> dict[str, Any]:
        return await self.server.said(ASKED, number)

    async def close(self) -> None:
        await self.assistant.close()
        await self.server.said("textDocument/didClose")
        await self.editor.stop()
        await self.server.close()


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def item(text: str, start: int, end: int) -> dict[str, object]:
    where = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}}
    return {"insertText": text, "range": where}


async def test_a_key_is_an_edit_and_a_request_for_text_that_grows() -> None:
    typist = Typist()
    typist.type("f")
    asked = (await typist.asked())["params"]
    opened = (await typist.server.said("textDocument/didOpen"))["params"]["textDocument"]
    changed = (await typist.server.said(CHANGED))["params"]
    assert (opened["uri"], opened["languageId"], opened["text"]) == ("file:///a.py", "python", "x = ")
    assert changed["textDocument"]["version"] > opened["version"]
    assert [change["text"] for change in changed["contentChanges"]] == ["f"]
    assert asked["position"] == {"line": 0, "character": 5}
    assert asked["partialResultToken"] is not None
    await typist.close()


async def test_what_is_shown_begins_at_the_cursor_and_may_be_withdrawn_in_the_end() -> None:
    typist = Typist()
    typist.type("f")
    asked = await typist.asked()
    value = {"items": [item("foo(1)", 4, 6)]}  # also the word before the cursor, and what follows it
    typist.server.notify("$/progress", {"token": asked["params"]["partialResultToken"], "value": value})
    await typist.watch.has_shown.wait()
    assert typist.watch.ghost is not None
    assert (typist.watch.ghost.text, typist.watch.ghost.replaces) == ("oo(1)", 1)
    typist.server.answer(
        asked,
        {
            "items": [],
            "source": "model",
            "usage": {"promptTokens": 7, "reusedTokens": 5, "decodedTokens": 3},
        },
    )
    await typist.assistant.wait_idle()
    assert typist.watch.ghost is None
    [key] = typist.watch.keys
    assert key.first_text is not None
    assert key.answered is not None
    assert typist.watch.usage == Usage(7, 5, 3)
    await typist.close()


async def test_a_request_that_the_next_key_overtakes_is_cancelled_and_shows_nothing_any_more() -> None:
    typist = Typist()
    typist.type("f")
    older = await typist.asked()
    typist.type("o")
    newer = await typist.asked(2)
    cancelled = await typist.server.said("$/cancelRequest")
    assert cancelled["params"] == {"id": older["id"]}
    # What is being written for the older request may serve the newer one, if that has come by then.
    assert typist.server.heard.index(newer) < typist.server.heard.index(cancelled)
    value = {"items": [item("too late", 5, 5)]}
    typist.server.notify("$/progress", {"token": older["params"]["partialResultToken"], "value": value})
    typist.server.answer(newer, {"items": [item("o()", 6, 6)]})
    await typist.assistant.wait_idle()
    assert typist.watch.texts == ["o()"]
    assert [key.answered is None for key in typist.watch.keys] == [True, False]
    await typist.close()


async def test_what_a_server_is_at_work_at_is_waited_for_though_the_answer_has_come() -> None:
    typist = Typist()
    typist.type("f")
    typist.server.notify("fimble/status", {"state": "generating", "enabled": True})
    typist.server.answer(await typist.asked(), {"items": [item("oo", 5, 5)]})
    settling = asyncio.create_task(typist.assistant.wait_idle())
    await typist.watch.has_shown.wait()
    done, _ = await asyncio.wait([settling], timeout=0.05)
    assert not done
    typist.server.notify("fimble/status", READY)
    await settling
    await typist.close()


async def test_a_model_that_cannot_be_used_ends_the_session_with_the_reason() -> None:
    typist = Typist()
    typist.type("f")
    typist.server.notify("fimble/status", {"state": "error", "message": "no such model", "enabled": True})
    typist.server.answer(await typist.asked(), None)
    with pytest.raises(BackendError, match="no such model"):
        await typist.assistant.wait_idle()
    await typist.close()


async def test_a_server_that_ends_ends_the_session() -> None:
    typist = Typist()
    typist.type("f")
    await typist.asked()
    typist.server.die()
    with pytest.raises(ServerGone):
        await typist.assistant.wait_idle()
    await typist.editor.stop()
    await typist.server.close()


async def test_a_session_is_typed_at_a_real_server_and_not_counted_as_the_users(
    checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path))
    loaded: list[float] = []
    editor = await Editor.start([f"--model={checkpoint_folder}"], lambda share, message: loaded.append(share))
    try:
        text = "def add(a, b):\n    return a + b\n"
        document = Document("", uri="file:///a.py", language="python", encoding="utf-32")
        watch, session = Watch(), TypingSession(text)
        await replay(session, EditorAssistant(editor, watch, document), watch, skip_idle=True)
    finally:
        await editor.stop()
    assert session.text == document.text == text
    assert watch.keys[-1].answered is not None
    assert watch.usage.decoded_tokens > 0
    assert max(loaded) > 0
    assert files_in(tmp_path) == []


async def test_a_server_whose_model_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="gone"):
        await Editor.start([f"--model={tmp_path / 'gone'}"])


def test_neighbours_are_the_largest_files_of_the_kind_in_the_folder(tmp_path: Path) -> None:
    for name, size in (("a.py", 9), ("b.py", 8), ("c.py", 1), ("d.py", 7), ("e.py", 6), ("f.py", 5)):
        (tmp_path / name).write_text("x" * size, encoding="utf-8")
    (tmp_path / "g.txt").write_text("x" * 100, encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    assert [path.name for path in neighbouring_files(tmp_path / "b.py")] == ["a.py", "d.py", "e.py", "f.py"]
    assert neighbouring_files(tmp_path / "g.txt") == []
