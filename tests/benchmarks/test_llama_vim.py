"""llama.vim's behaviour, as its source has it, against a server that is told what to say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.llama_vim import LlamaVim, server_options
from lsp_server.bench.typist import Keystroke, TypingSession, Watch, replay
from lsp_server.bench.typist.session import Edit
from model_runtime.api import Usage


class Server:
    """Answers each request with what `say` makes of it, when it may."""

    def __init__(self, say: Callable[[dict[str, Any]], str]) -> None:
        self.say = say
        self.asked: list[dict[str, Any]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/infill"
        self.asked.append(body)
        assert self.may_answer.wait(10)
        return {
            "content": self.say(body),
            "tokens_evaluated": 50,
            "timings/prompt_n": 4,
            "timings/predicted_n": 7,
        }


class Typist:
    """Types at the end of a text, or where it is told to."""

    def __init__(self, server: Server, text: str = "") -> None:
        self.watch = Watch()
        self.vim = LlamaVim(server.post, self.watch)
        self.vim.opened(text)
        self.text, self.cursor = text, len(text)

    def type(self, letters: str) -> None:
        for letter in letters:
            edit = Edit(self.cursor, self.cursor, letter)
            self.text = self.text[: self.cursor] + letter + self.text[self.cursor :]
            self.cursor += 1
            self._press(Keystroke(0.0, "type", edit, self.cursor))

    def go_to(self, cursor: int) -> None:
        self.cursor = cursor
        self._press(Keystroke(0.0, "move", None, cursor))

    @property
    def hint(self) -> str | None:
        return self.watch.ghost.text if self.watch.ghost else None

    def _press(self, key: Keystroke) -> None:
        self.watch.pressed(key)
        self.vim.pressed(key, self.text)


async def test_a_request_says_what_stands_around_the_cursor() -> None:
    server = Server(lambda body: "one")
    typist = Typist(server, "above\n    x = \nbelow")
    typist.go_to(len("above\n    x = "))
    await typist.vim.wait_idle()
    first = server.asked[0]
    assert (first["input_prefix"], first["prompt"]) == ("above\n", "    x = ")
    assert (first["input_suffix"], first["n_indent"]) == ("\nbelow\n", 4)
    assert (first["n_predict"], first["t_max_predict_ms"]) == (128, 250)
    assert typist.hint == "one"


async def test_after_what_is_shown_the_next_is_asked_for_already() -> None:
    server = Server(lambda body: "two()\n    three()" if body["prompt"] == "one." else "")
    typist = Typist(server, "one.")
    typist.go_to(4)
    await typist.vim.wait_idle()
    assert [body["prompt"] for body in server.asked] == ["one.", "    three()"]
    assert server.asked[1]["input_prefix"] == "one.two()\n"
    assert server.asked[1]["t_max_predict_ms"] == 1000
    assert typist.watch.usage == Usage(100, 92, 14)


async def test_what_agrees_with_the_hint_is_answered_from_memory() -> None:
    server = Server(lambda body: "print(x)" if body["prompt"] == "a" else "")
    typist = Typist(server)
    typist.type("a")
    await typist.vim.wait_idle()
    asked = len(server.asked)
    typist.type("pr")
    assert typist.hint == "int(x)"
    assert [key.answered is not None for key in typist.watch.keys] == [True] * 3
    await typist.vim.wait_idle()
    assert "apr" in {body["prompt"] for body in server.asked[asked:]}  # it asks all the same


async def test_while_the_server_is_busy_the_newest_place_waits_for_its_turn() -> None:
    server = Server(lambda body: "")
    server.may_answer.clear()
    typist = Typist(server)
    typist.type("abc")
    assert not typist.watch.keys[-1].answered
    await asyncio.sleep(0)
    server.may_answer.set()
    await typist.vim.wait_idle()
    assert [body["prompt"] for body in server.asked] == ["a", "abc"]
    assert [key.answered is not None for key in typist.watch.keys] == [False, False, True]


async def test_with_much_right_of_the_cursor_nothing_is_asked() -> None:
    server = Server(lambda body: "x")
    typist = Typist(server, "f(123456789)")
    typist.go_to(2)
    await typist.vim.wait_idle()
    assert server.asked == []
    assert typist.watch.keys[-1].answered is not None
    assert typist.hint is None


@pytest.mark.parametrize(
    ("text", "content"),
    [("a\nb", "\nb"), ("x\nxy\n", "y"), ("a", "\n\n"), ("a", ""), ("x\nxy\nz\n", "y\nz")],
    ids=["the lines below", "the next line", "blank lines", "nothing", "the next two lines"],
)
async def test_what_repeats_what_stands_there_is_not_shown(text: str, content: str) -> None:
    server = Server(lambda body: content)
    typist = Typist(server, text)
    typist.go_to(1)
    await typist.vim.wait_idle()
    assert typist.hint is None
    assert typist.watch.keys[-1].answered is not None


async def test_on_a_blank_line_the_indentation_is_not_shown_twice() -> None:
    server = Server(lambda body: "    pass")
    typist = Typist(server, "if x:\n    ")
    typist.go_to(len(typist.text))
    await typist.vim.wait_idle()
    assert server.asked[0]["prompt"] == ""
    assert typist.hint == "pass"


async def test_a_server_that_refuses_ends_the_session() -> None:
    def refuse(body: dict[str, Any]) -> str:
        raise RuntimeError("the context is full")

    typist = Typist(Server(refuse))
    typist.type("a")
    with pytest.raises(RuntimeError, match="context is full"):
        await typist.vim.wait_idle()


async def test_a_typing_session_runs_through() -> None:
    text = "def add(a, b):\n    return a + b\n"
    server = Server(lambda body: text[len(body["input_prefix"]) - 1 + len(body["prompt"]) :].split("\n")[0])
    watch = Watch()
    session = TypingSession(text)
    await replay(session, LlamaVim(server.post, watch), watch, skip_idle=True)
    assert session.text == text
    assert any(key.first_text is not None for key in watch.keys)
    assert watch.keys[-1].answered is not None


def test_a_small_context_leaves_room_to_write_in() -> None:
    assert server_options(8192)[3] == "1024"
    assert server_options(768)[3] == "640"
