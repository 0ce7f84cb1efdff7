"""`fimble try` in a real terminal, as a newcomer meets it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.child import FIMBLE
from tests.e2e.terminal import TMUX, Terminal

pytestmark = pytest.mark.skipif(
    TMUX is None, reason="tmux is not installed: it is the terminal of these tests"
)

KNOWING = (sys.executable, "-m", "tests.e2e.knowing")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "area.py"


@pytest.fixture
def terminal(path: Path) -> Iterator[Terminal]:
    """An editor with a new file, whose model knows what is to be written there."""
    with Terminal([*KNOWING, str(path)]) as terminal:
        terminal.shows("knowing is ready")
        yield terminal


def test_without_a_file_a_suggestion_of_the_default_model_appears_by_itself() -> None:
    with Terminal([*FIMBLE, "try"]) as terminal:
        terminal.shows("default is ready", "Tab accept")
        terminal.until(lambda terminal: terminal.ghost() != "")
        terminal.keys("C-q")  # nothing was changed
        terminal.shows("ended with 0")


def test_ghost_text_is_grey_and_tab_accepts_it_into_the_file(terminal: Terminal, path: Path) -> None:
    terminal.type("def ")
    terminal.shows_ghost("area(width, height):\nreturn width * height")
    terminal.keys("Tab")
    terminal.until(lambda terminal: "return width * height" in terminal.screen and not terminal.ghost())
    terminal.shows("area.py *", "memory")
    terminal.keys("C-s")
    terminal.shows("saved")
    assert path.read_text() == "def area(width, height):\n    return width * height"
    terminal.keys("C-q")
    terminal.shows("ended with 0")


def test_ctrl_right_accepts_word_by_word_and_typing_goes_on_with_it(terminal: Terminal, path: Path) -> None:
    terminal.type("def ")
    terminal.shows_ghost("area(width, height):\nreturn width * height")
    terminal.keys("C-Right", "C-Right")
    terminal.shows_ghost("width, height):\nreturn width * height")
    terminal.type("width")
    terminal.shows_ghost(", height):\nreturn width * height")
    terminal.keys("BSpace")
    terminal.shows_ghost("h, height):\nreturn width * height")
    terminal.keys("C-s")
    terminal.shows("saved")
    assert path.read_text() == "def area(widt"


def test_esc_dismisses_and_ctrl_space_asks_for_several(terminal: Terminal) -> None:
    terminal.type("def area(width, height):")
    terminal.keys("Enter")
    terminal.shows_ghost("return width * height")
    terminal.keys("Escape")
    terminal.shows_ghost("")
    terminal.keys("C-Space")
    terminal.shows("1 of 3", "Alt-] next")
    terminal.shows_ghost("return width * height")
    terminal.keys("M-]")
    terminal.shows("2 of 3")
    terminal.shows_ghost("value1")
    terminal.keys("M-[")
    terminal.shows_ghost("return width * height")
    terminal.keys("M-[", "Tab")
    terminal.until(lambda terminal: "    value2" in terminal.screen and not terminal.ghost())


def test_completions_are_switched_off_and_on_by_a_key(terminal: Terminal) -> None:
    terminal.type("d")
    terminal.shows_ghost("ef area(width, height):\nreturn width * height")
    terminal.keys("F2")
    terminal.shows("off (F2: on)")
    terminal.shows_ghost("")
    terminal.keys("F2")
    terminal.shows("knowing is ready")
    terminal.type("e")
    terminal.shows_ghost("f area(width, height):\nreturn width * height")


def test_enter_indents_undo_takes_back_and_pasted_text_is_left_as_it_is(
    terminal: Terminal, path: Path
) -> None:
    terminal.type("if x:")
    terminal.keys("Enter")
    terminal.type("🎉e\u0301漢 = 1")
    terminal.shows("    🎉e\u0301漢 = 1")
    terminal.keys("C-z")
    terminal.until(lambda terminal: "= 1" not in terminal.screen)
    terminal.keys("C-y", "Enter")
    terminal.paste("y:\n  z\n")
    terminal.shows("    y:", "  z")
    terminal.keys("C-s")
    terminal.shows("saved")
    assert path.read_text() == "if x:\n    🎉e\u0301漢 = 1\n    y:\n  z\n"


def test_quitting_with_unsaved_changes_asks_once(terminal: Terminal, path: Path) -> None:
    terminal.type("x")
    terminal.shows("area.py *")
    terminal.keys("C-q")
    terminal.shows("unsaved changes")
    terminal.type("y")
    terminal.until(lambda terminal: "unsaved changes" not in terminal.screen)
    terminal.keys("C-c")
    terminal.shows("unsaved changes")
    terminal.keys("C-c")
    terminal.shows("ended with 0")
    assert not path.exists()


def test_what_can_t_be_saved_is_told_and_not_lost(terminal: Terminal, path: Path) -> None:
    path.mkdir()
    terminal.type("precious")
    terminal.keys("C-s")
    terminal.shows("can't be written", "your text is safe", "precious", "area.py *")
    path.rmdir()
    terminal.keys("C-s")
    terminal.shows("saved")
    assert path.read_text() == "precious"


def test_a_server_that_dies_is_told_and_started_again_by_a_key(terminal: Terminal, path: Path) -> None:
    terminal.type("def ")
    terminal.shows_ghost("area(width, height):\nreturn width * height")
    [server] = _process([*KNOWING, str(path)]).children()
    server.kill()
    terminal.shows("the server has ended", "F5")
    terminal.type("ar")
    terminal.keys("F5")
    terminal.shows("knowing is ready", "def ar")
    terminal.shows_ghost("ea(width, height):\nreturn width * height")


def test_a_file_of_windows_and_tabs_is_shown_right_and_kept(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfif x:\r\n\ty = 1\r\n")
    with Terminal([*FIMBLE, "try", str(path)]) as terminal:
        terminal.shows("if x:", "    y = 1")
        terminal.type("#")
        terminal.keys("Escape", "C-End")
        terminal.type("z")
        terminal.shows("#if x:\n    y = 1\nz")
        terminal.keys("C-s")
        terminal.shows("saved")
        assert path.read_bytes() == b"\xef\xbb\xbf#if x:\r\n\ty = 1\r\nz"


@pytest.mark.parametrize(
    ("variables", "style"),
    [({"NO_COLOR": "1"}, "4"), ({"PROMPT_TOOLKIT_COLOR_DEPTH": "DEPTH_4_BIT"}, "90")],
)
def test_ghost_text_can_be_told_from_text_with_few_colours_and_none(
    path: Path, variables: dict[str, str], style: str
) -> None:
    with Terminal([*KNOWING, str(path)], **variables) as terminal:
        terminal.shows("knowing is ready")
        terminal.type("def ")
        terminal.until(
            lambda terminal: terminal.ghost(style) == "area(width, height):\nreturn width * height"
        )


def test_a_model_that_can_t_be_used_is_told_with_what_to_do(tmp_path: Path) -> None:
    with Terminal([*FIMBLE, "try", "--model", str(tmp_path)]) as terminal:
        terminal.shows("error", "config.json")


def test_what_can_t_be_edited_is_one_line_and_status_2(tmp_path: Path) -> None:
    with Terminal([*FIMBLE, "try", str(tmp_path)]) as terminal:
        terminal.shows("is a folder: name a file in it", "ended with 2")
    with Terminal(["env", "TERM=dumb", *FIMBLE, "try"]) as terminal:
        terminal.shows("TERM=dumb", "ended with 2")


def _process(command: list[str]) -> psutil.Process:
    """The process that runs `command`."""
    [found] = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == command]
    return found
