"""The Neovim plugin, key by key, in a real Neovim with a server that the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.embedded import Embedded, Start
from tests.editors.neovim import until

pytestmark = pytest.mark.editors


@pytest.fixture
def start(nvim: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a Neovim, which is ended with the test."""
    started: list[Embedded] = []

    def start(**options: str) -> Embedded:
        started.append(Embedded(nvim, tmp_path, **options))
        return started[-1]

    yield start
    for editor in started:
        editor.close()


def test_ghost_text_that_agrees_with_what_is_typed_stays_and_gets_shorter(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x = foo()"], 0)
    editor.draws("x‹ = foo()›")
    for number, (key, drawn) in enumerate([(" ", "x ‹= foo()›"), ("=", "x =‹ foo()›")], 2):
        editor.press(key)
        editor.asked(number)
        assert editor.drawn() == drawn  # though nobody has answered yet


def test_ghost_text_that_disagrees_with_what_is_typed_goes_at_once(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x = foo()"], 0)
    editor.press("y")
    editor.asked(2)
    assert editor.drawn() is None


def test_a_line_that_is_begun_and_indented_as_suggested_keeps_the_suggestion(start: Start) -> None:
    editor = start(before="vim.o.autoindent = true", text="    if x:")
    editor.press("A")
    editor.asked(1)
    editor.answer(["\n    y = 1\n    z"])
    editor.draws("    if x:\n    y = 1\n    z")
    editor.press("<CR>")
    editor.draws("    ‹y = 1›\n    z")


def test_a_request_is_cancelled_when_a_newer_one_has_taken_its_place(start: Start) -> None:
    editor = start()
    editor.press("ia")
    editor.asked(1)
    editor.press("b")
    editor.asked(2)
    said = [one for one in editor.lua("return fake.said") if one[0] in ("request", "cancel")]
    assert said == [["request", 1], ["request", 2], ["cancel", 1]]


def test_a_late_answer_changes_nothing(start: Start) -> None:
    editor = start()
    editor.press("ia")
    editor.asked(1)
    editor.press("b")
    editor.asked(2)
    editor.answer(["late"], 0, 0, 1)
    editor.grow("late", 0, 0, 1)
    assert editor.drawn() is None
    editor.answer(["abc"], 0)
    assert editor.drawn() == "ab‹c›"


def test_ghost_text_grows_as_it_is_written_and_never_shrinks_meanwhile(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    for text in ("x = f", "x = foo("):
        editor.grow(text, 0)
        assert editor.drawn() == f"x‹{text[1:]}›"
    editor.press(" ")
    editor.asked(2)
    editor.grow("x =", 0)
    assert editor.drawn() == "x ‹= foo(›"
    editor.answer(["x = foo()"], 0)
    assert editor.drawn() == "x ‹= foo()›"


def test_no_answer_leaves_what_is_shown_and_an_empty_one_takes_it_away(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x = 1"], 0)
    editor.press(" ")
    editor.asked(2)
    editor.answer(None)
    assert editor.drawn() == "x ‹= 1›"
    editor.press("=")
    editor.asked(3)
    editor.answer([])
    assert editor.drawn() is None


def test_tab_accepts_all_and_the_server_is_told(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x = [\n    1,\n]"], 0)
    editor.draws("x‹ = [›\n    1,\n]")
    editor.press("<Tab>")
    editor.has("x = [", "    1,", "]")
    editor.asked(2)
    assert editor.drawn() is None
    assert editor.rpc.current.window.cursor == (3, 1)
    assert editor.said("command") == ["id1"]
    assert len(editor.said("textDocument/didShowCompletion")) == 1


def test_what_was_accepted_is_undone_in_one_step(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x = 1"], 0)
    editor.press("<Tab>")
    editor.has("x = 1")
    editor.press("<Esc>u")
    editor.has("x")


def test_a_word_and_a_line_are_accepted_and_the_rest_stays(start: Start) -> None:
    editor = start(setup="keymaps = { accept_word = '<C-f>', accept_line = '<C-g>' }")
    editor.press("i🎉")
    editor.asked(1)
    editor.answer(["🎉 + '🎉' * n\n+ 2"], 0)
    editor.press("<C-f>")
    editor.has("🎉 +")
    editor.draws("🎉 +‹ '🎉' * n›\n+ 2")
    editor.press("<C-g>")
    editor.has("🎉 + '🎉' * n")
    editor.draws("🎉 + '🎉' * n\n+ 2")
    told = editor.said("textDocument/didPartiallyAcceptCompletion")
    assert [one["acceptedLength"] for one in told] == [4, 13]  # in UTF-16
    assert editor.said("command") == []
    editor.press("<C-g>")
    editor.has("🎉 + '🎉' * n", "+ 2")
    editor.asked(2)
    assert editor.said("command") == ["id1"]


def test_brackets_that_the_editor_has_closed_are_not_doubled(start: Start) -> None:
    editor = start(before="vim.keymap.set('i', '(', '()<Left>')")
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x(a, b):\n    pass"], 0)
    editor.press("(")
    editor.draws("x(‹a, b›)‹:›\n    pass")
    editor.press("<Tab>")
    editor.has("x(a, b):", "    pass")


def test_text_after_the_cursor_stays(start: Start) -> None:
    editor = start(text="print()  # 🎉")
    editor.press("6li")
    editor.asked(1)
    editor.answer(["x)"], 6, 7)
    editor.draws("print(‹x›)  # 🎉")
    editor.press("<Tab>")
    editor.has("print(x)  # 🎉")


def test_positions_are_read_as_the_server_counts_them(start: Start) -> None:
    editor = start(text="s = '🎉'")
    editor.lua("fake.client.offset_encoding = 'utf-16'")
    editor.press("A; x")
    editor.asked(1)
    editor.answer(["xyz"], 10, 11)
    assert editor.drawn() == "s = '🎉'; x‹yz›"
    assert editor.lua("return fake.requests[#fake.requests].params.position.character") == 11


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_line_ends_of_windows_are_read_and_kept(start: Start, tmp_path: Path, line_end: str) -> None:
    editor = start(before="vim.o.fileformat = 'dos'")
    editor.press("ix")
    editor.asked(1)
    editor.answer([f"x = 1{line_end}y = 2"], 0)
    editor.press("<Tab>")
    editor.has("x = 1", "y = 2")
    editor.rpc.command(f"write {tmp_path / 'a.py'}")
    assert (tmp_path / "a.py").read_bytes() == b"x = 1\r\ny = 2\r\n"


def test_tabs_are_drawn_as_wide_as_they_will_be(start: Start) -> None:
    editor = start(before="vim.o.tabstop = 4")
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x\ty\n\tz"], 0)
    assert editor.drawn() == "x‹   y›\n    z"


def test_candidates_are_asked_for_and_shown_in_turn(start: Start) -> None:
    editor = start(setup="keymaps = { next = '<C-f>', prev = '<C-g>' }")
    editor.press("ix")
    editor.asked(1)
    editor.answer(["x1"], 0)
    editor.press("<C-f>")
    editor.asked(2)
    assert editor.drawn() == "x‹1›"
    assert editor.lua("return fake.requests[2].params.context.triggerKind") == 1
    editor.answer(["x1", "x2", "x3"], 0)
    assert editor.drawn() == "x‹2› (2/3)"
    editor.press("<C-f>")
    editor.draws("x‹3› (3/3)")
    editor.press("<C-f>")
    editor.draws("x‹1› (1/3)")
    editor.press("<C-g>")
    editor.draws("x‹3› (3/3)")
    editor.press("<Tab>")
    editor.has("x3")
    assert editor.said("command") == ["id3"]


def test_a_dismissed_suggestion_comes_back_with_the_next_key_only(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.grow("x =", 0)
    editor.press("<C-]>")
    editor.draws(None)
    editor.grow("x = 1", 0)
    editor.answer(["x = 1"], 0)
    assert editor.drawn() is None
    assert editor.said("cancel") == [1]
    editor.press(" ")
    editor.asked(2)
    editor.answer(["x = 1"], 0)
    assert editor.drawn() == "x ‹= 1›"


def test_leaving_insert_mode_takes_ghost_text_away(start: Start) -> None:
    editor = start()
    editor.press("ix")
    editor.asked(1)
    editor.grow("x = 1", 0)
    editor.press("<Esc>")
    editor.draws(None)
    until(lambda: editor.said("cancel") == [1], "cancellation")


def test_without_a_suggestion_keys_do_what_they_did_before(start: Start) -> None:
    editor = start(before="vim.keymap.set('i', '<Tab>', 'mine')", setup="keymaps = { accept_word = 'w' }")
    editor.press("i<Tab>w")
    editor.has("minew")


def test_a_second_setup_keeps_the_keys_of_before(start: Start) -> None:
    editor = start(before="vim.keymap.set('i', '<Tab>', 'mine')")
    editor.lua("require('fimble').setup {}")
    editor.press("i<Tab>")
    editor.has("mine")


def test_nothing_is_asked_by_itself_when_the_user_wants_to_ask(start: Start) -> None:
    editor = start(setup="auto_trigger = false, keymaps = { trigger = '<C-f>' }")
    editor.press("ix")
    editor.has("x")
    editor.press("<C-f>")
    editor.asked(1)
    assert editor.lua("return #fake.requests") == 1
    editor.answer(["x = 1"], 0)
    editor.press(" ")
    editor.draws("x ‹= 1›")
    assert editor.lua("return #fake.requests") == 1


def test_nothing_is_asked_while_completions_are_off(start: Start) -> None:
    editor = start()
    editor.lua("fake.server.enabled = false")
    editor.press("ix")
    editor.has("x")
    assert editor.lua("return #fake.requests") == 0
