"""A person in Neovim, with the default model: keys go in, and what stands on the screen is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.editors.neovim import ROOT, SERVER, Neovim, lua_list, until

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(180)]

MAIN = "if __name__ == "
"""A line that any model of code goes on with."""


def setup(settings: str = "") -> str:
    """One line suffices here, and a small model that writes several may come to nothing."""
    settings = f"multiline = false, {settings}"
    return f"require('fimble').setup {{ cmd = {lua_list(SERVER)}, settings = {{ {settings} }} }}"


@pytest.fixture(scope="module")
def person(
    nvim: Path, tmp_path_factory: pytest.TempPathFactory, data_folder: None, request: pytest.FixtureRequest
) -> Iterator[Neovim]:
    """A Neovim whose server has its model, for the tests that leave both as they are."""
    request.getfixturevalue("tmux")
    file = tmp_path_factory.mktemp("project") / "main.py"
    file.write_text("import sys\n")
    with Neovim(nvim, setup(), file) as editor:
        editor.ready()
        yield editor


@pytest.fixture
def editor(person: Neovim, tmp_path: Path) -> Iterator[Neovim]:
    """That Neovim with a file of the test's own, in insert mode at its end."""
    open_file(person, tmp_path / "app.py", "import sys\n\n\n")
    yield person
    person.press("Escape")
    person.rpc.command("silent! %bdelete! | silent! only")


def open_file(editor: Neovim, path: Path, text: str) -> None:
    """Open a file with `text`, and go to its end."""
    path.write_text(text, encoding="utf-8", newline="")
    editor.press("Escape")
    editor.rpc.command(f"edit! {path}")
    editor.ready()
    editor.press("G", "A")
    until(lambda: editor.rpc.eval("mode()") == "i", "insert mode")


def typed(editor: Neovim, text: str) -> str:
    """Type `text`; the ghost text that there is when it is all there."""
    editor.type(text)
    until(lambda: editor.rpc.current.line.endswith(text), f"{text!r} in the text")
    return editor.see_ghost()


def test_ghost_text_is_seen_and_accepted(editor: Neovim) -> None:
    ghost = typed(editor, MAIN)
    assert ghost in editor.screen()
    assert editor.lines()[-1] == MAIN
    editor.press("Tab")
    until(lambda: editor.lines()[-1] != MAIN, "accepted text")
    assert MAIN + ghost.split("\n")[0] in editor.lines()


def test_ghost_text_does_not_flicker_while_it_is_typed(editor: Neovim) -> None:
    ghost = typed(editor, MAIN)
    for count, key in enumerate(ghost.split("\n")[0][:6], 1):
        editor.type(key)
        seen = []
        while MAIN + ghost[:count] not in [line.rstrip() for line in editor.lines()]:
            seen.append(editor.ghost())
        seen.append(editor.ghost())
        assert all(seen), f"no ghost text after {ghost[:count]!r}"
        assert seen[-1].startswith(ghost.split("\n")[0][count:])


def test_a_word_is_accepted_and_then_the_line(editor: Neovim) -> None:
    ghost = typed(editor, MAIN)
    editor.press("M-Right")
    until(lambda: editor.lines()[-1] != MAIN, "accepted word")
    word = editor.lines()[-1].removeprefix(MAIN)
    assert ghost.startswith(word)
    assert word != ghost
    editor.press("C-M-Right")
    until(lambda: editor.lines()[-1] == MAIN + ghost.split("\n")[0], "accepted line")


def test_escape_takes_ghost_text_away(editor: Neovim) -> None:
    typed(editor, MAIN)
    editor.press("Escape")
    until(lambda: not editor.ghost(), "end of the ghost text")
    assert editor.lines()[-1] == MAIN


def test_dismissed_ghost_text_stays_away_until_the_next_key(editor: Neovim) -> None:
    ghost = typed(editor, MAIN)
    editor.press("C-]")
    until(lambda: not editor.ghost(), "end of the ghost text")
    assert typed(editor, ghost[0])


def test_candidates_are_shown_in_turn(editor: Neovim) -> None:
    editor.lua(setup("latencyBudgetMs = 10000"))  # within the default, busy cores may find one only
    typed(editor, "import ")
    editor.press("M-]")
    editor.see("(2/")
    editor.press("M-[")
    editor.see("(1/")
    editor.lua(setup())


def test_who_types_on_has_what_was_typed_and_one_suggestion(editor: Neovim) -> None:
    editor.type("def scale(values, factor):")
    editor.press("Enter")
    ghost = typed(editor, "for value in ")
    assert editor.lines()[-2:] == ["def scale(values, factor):", "    for value in "]
    assert f"    for value in {ghost.split(chr(10))[0]}" in editor.screen()


def test_brackets_that_the_editor_closes_are_not_doubled(editor: Neovim, tmp_path: Path) -> None:
    open_file(editor, tmp_path / "loops.py", "import sys\n\nfor i in range(3):\n    print(i)\n\n\n")
    editor.rpc.command("inoremap <buffer> ( ()<Left>")
    editor.type("for i in range(")
    until(lambda: editor.lines()[-1] == "for i in range()", "closed bracket")
    editor.see_ghost()
    editor.press("Tab")
    until(lambda: editor.lines()[-1] != "for i in range()", "accepted text")
    text = "\n".join(editor.lines())
    assert text.count("(") == text.count(")")


def test_text_after_an_emoji_is_completed(editor: Neovim) -> None:
    before = "party = '🎉🎉'; "
    ghost = typed(editor, before + MAIN)
    editor.press("Tab")
    until(lambda: editor.lines()[-1] != before + MAIN, "accepted text")
    assert before + MAIN + ghost.split("\n")[0] in editor.lines()


def test_a_file_with_line_ends_of_windows_keeps_them(editor: Neovim, tmp_path: Path) -> None:
    path = tmp_path / "windows.py"
    open_file(editor, path, "import sys\r\n\r\n\r\n")
    typed(editor, MAIN)
    editor.press("Tab")
    until(lambda: MAIN not in editor.lines(), "accepted text")
    editor.press("Escape")
    editor.rpc.command("write")
    written = path.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") == len(editor.lines())
    assert b"\r\r" not in written


def test_another_window_and_another_file_are_completed_too(editor: Neovim, tmp_path: Path) -> None:
    typed(editor, MAIN)
    editor.press("Escape")
    editor.rpc.command("vsplit")
    editor.press("A")
    until(editor.see_ghost, "ghost text in the second window")
    editor.press("Escape")
    open_file(editor, tmp_path / "other.py", "import os\n\n\n")
    assert typed(editor, MAIN)
    assert editor.lua("return #vim.lsp.get_clients { name = 'fimble' }") == 1


def test_settings_are_changed_while_the_server_runs(editor: Neovim) -> None:
    editor.lua(setup("temprature = 0"))
    editor.see("did you mean `temperature`?")
    editor.lua(setup("model = '/no/such/model'"))
    editor.see("/no/such/model")
    editor.lua(setup())
    editor.ready()
    assert typed(editor, MAIN)


def test_the_commands_answer(editor: Neovim) -> None:
    editor.press("Escape")
    for command, words in (
        ("status", "the model default is ready"),
        ("toggle", "completions are off"),
        ("toggle", "completions are on"),
        ("restrt", "did you mean `restart`?"),
        ("log", "default is ready (cpu"),
    ):
        editor.type(f":Fimble {command}")
        editor.press("Enter")
        editor.see(words)
        editor.rpc.command("silent! only")
    editor.rpc.command("checkhealth fimble")
    editor.see("the model default is ready")
    editor.see("KV cache up to")


def test_a_server_that_is_killed_is_started_again(nvim: Path, tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text("\n")
    with Neovim(nvim, setup(), file) as editor:
        editor.ready()
        kill_server(editor)
        editor.see("the server has ended (signal 9) and is started again")
        editor.ready()
        editor.press("G", "A")
        assert typed(editor, MAIN)


def kill_server(editor: Neovim) -> None:
    """Kill the server's process, a child of Neovim's."""
    for child in psutil.Process(editor.rpc.eval("getpid()")).children(recursive=True):
        if "lsp_server" in child.cmdline():
            child.kill()


def test_where_the_server_is_missing_one_message_says_what_to_do(nvim: Path, tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text("\n")
    with Neovim(nvim, "require('fimble').setup { cmd = { 'no-such-fimble', 'serve' } }", file) as editor:
        editor.see("no command `no-such-fimble`: see :checkhealth fimble")
        editor.rpc.command(f"silent edit {tmp_path / 'other.py'}")
        said = editor.rpc.command_output("messages")
        assert said.count("no-such-fimble") == 1
        editor.rpc.command("checkhealth fimble")
        editor.see("install fimble, so that")


def test_what_becomes_of_suggestions_is_counted(
    nvim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "main.py"
    file.write_text("\n")
    with Neovim(nvim, setup(), file) as editor:
        editor.ready()
        editor.press("G", "A")
        typed(editor, MAIN)
        editor.press("Tab")
        until(lambda: MAIN not in editor.lines(), "accepted text")
        editor.lua("require('fimble').app().server:stop()")
        counts = until(lambda: statistics(tmp_path / "data"), "statistics")
        editor.press("Escape")
        editor.type(":Fimble stats")
        editor.press("Enter")
        editor.see("accepted")
    assert counts["accepted"] == 1 <= counts["shown"]  # what comes next may have been shown, too


def statistics(folder: Path) -> dict[str, float]:
    """What `fimble stats` has counted; nothing where there is nothing yet."""
    command = [sys.executable, "-m", "lsp_server", "stats", "--json"]
    environment = {**os.environ, "FIMBLE_DATA_DIR": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    return json.loads(lines[0]) if done.returncode == 0 and lines else {}
