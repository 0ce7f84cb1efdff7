"""A person in Helix and in Emacs, with the default model: keys go in, screen and file are read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.editors.conftest import skip
from tests.editors.install import emacs, emacs_with_company, helix
from tests.editors.packages import CannotInstall
from tests.editors.popups import Editor, Emacs, EmacsWithCompany, Helix
from tests.editors.test_neovim_screen import statistics

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(240)]

OPENING = "    with open(path) as file:\n        return file.read()\n"
ITEMS = "    return sorted(path.iterdir())\n"
READING = "    return path.read_text()\n"
AGAIN: Final = 8.0  # seconds
PARTY = "    party = '🎉🎉'; return open(path)\n"


MakeEditor = Callable[[Path], Editor]

EDITORS: Final[dict[str, tuple[Callable[[], Path], Callable[[Path, Path], Editor]]]] = {
    "Helix": (helix, Helix),
    "Emacs": (emacs, Emacs),
    "Emacs with company": (emacs_with_company, EmacsWithCompany),
}
"""How the program of each is found, and what people do in it."""


def twice(body: str) -> str:
    """Two functions alike and the beginning of a third: any model of code knows what comes."""
    functions = "".join(f"def {name}(path):\n{body}\n\n" for name in ("first", "second"))
    return f"import sys\n\n\n{functions}def third(path):\n"


@pytest.fixture(scope="module", params=EDITORS)
def make(request: pytest.FixtureRequest, data_folder: None) -> MakeEditor:
    """Makes an editor whose files lie in a folder."""
    request.getfixturevalue("tmux")
    find, editor = EDITORS[request.param]
    try:
        return partial(editor, find())
    except CannotInstall as why:
        skip(request, f"no {request.param}: {why}")


@pytest.fixture(scope="module")
def person(make: MakeEditor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """An editor that is ready to type in."""
    made = make(tmp_path_factory.mktemp("editor"))
    with made.start():
        made.ready()
        yield made


@pytest.fixture
def editor(person: Editor) -> Iterator[Editor]:
    """That editor, for a test that opens one file: others would be context for it."""
    yield person
    person.close()


def sees(editor: Editor, typed: str, rest: str) -> None:
    """Type, and wait for an item.

    The last key is pressed anew every few seconds: an editor gives up what it asks while the model is still
    loaded, which takes long on busy cores, and asks again at a key only.
    """
    editor.terminal.type(typed)
    asked = time.monotonic()

    def seen(_: object) -> bool:
        nonlocal asked
        if editor.shows_item(typed, rest):
            return True
        if time.monotonic() > asked + AGAIN:
            asked = time.monotonic()
            editor.terminal.keys("BSpace")
            editor.terminal.type(typed[-1])
        return False

    editor.terminal.until(seen)


def has(editor: Editor, path: Path, text: str) -> None:
    """Save the file; it has this text then. Emacs writes what is behind the cursor a little later."""
    editor.save()
    with suppress(AssertionError):  # the one below says more
        editor.terminal.until(lambda _: written(path) == text)
    assert written(path) == text


def written(path: Path) -> str:
    """What a file has; nothing in the moment in which an editor puts a new one in its place."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def opened(editor: Editor, name: str, text: str) -> Path:
    """A file that ends in an empty line, with the cursor there."""
    path = editor.project / name
    path.write_text(text + "\n", encoding="utf-8")
    editor.open(path, text.count("\n") + 1)
    return path


def completes(editor: Editor, body: str, typed: str, rest: str) -> None:
    """Type the beginning of a third function's body, accept the item that is seen, and have the body."""
    path = opened(editor, "third.py", twice(body))
    sees(editor, typed, rest)
    editor.accept()
    has(editor, path, twice(body) + body)


def test_an_item_is_seen_and_accepted_with_all_its_lines(editor: Editor) -> None:
    completes(editor, OPENING, "    with ope", "n(path) as file:")


def test_who_types_on_has_what_was_typed(editor: Editor) -> None:
    path = opened(editor, "typed.py", twice(OPENING))
    sees(editor, "    with ope", "n(path) as file:")
    editor.terminal.type("ner")
    has(editor, path, twice(OPENING) + "    with opener\n")


def test_an_item_that_is_dismissed_leaves_nothing(editor: Editor) -> None:
    path = opened(editor, "dismissed.py", twice(OPENING))
    sees(editor, "    with ope", "n(path) as file:")
    editor.dismiss()
    editor.terminal.until(lambda _: not editor.shows_item("    with ope", "n(path) as file:"))
    editor.terminal.type("ner")
    has(editor, path, twice(OPENING) + "    with opener\n")


def test_after_a_dot_an_item_comes_by_itself(editor: Editor) -> None:
    completes(editor, READING, "    return path.", "read_text(")


def test_text_after_an_emoji_is_completed(editor: Editor) -> None:
    completes(editor, PARTY, "    party = '🎉🎉'; ret", "urn open(path)")


def test_brackets_that_the_editor_closes_are_not_doubled(editor: Editor) -> None:
    completes(editor, ITEMS, "    return sorted(path.ite", "rdir(")


@pytest.mark.parametrize("make", ["Helix"], indirect=True)
def test_helix_shows_all_lines_of_the_item_that_is_chosen(editor: Editor) -> None:
    opened(editor, "lines.py", twice(OPENING))
    sees(editor, "    with ope", "n(path) as file:")
    editor.terminal.keys("Tab")
    lines = re.compile(r"fimble\s*^( *)with open\(path\) as file:$\s*^\1    return file", re.MULTILINE)
    editor.terminal.until(lambda terminal: lines.search(terminal.screen) is not None)
    editor.terminal.keys("Enter")
    editor.save()


def test_settings_reach_the_server_and_a_mistake_in_them_is_told(make: MakeEditor, tmp_path: Path) -> None:
    editor = make(tmp_path)
    with editor.start(editor.one_line) as terminal:
        terminal.shows("no setting `temprature`")
        path = opened(editor, "one_line.py", twice(OPENING))
        sees(editor, "    with ope", "n(path) as file:")
        editor.accept()
        has(editor, path, twice(OPENING) + OPENING.partition("\n")[0] + "\n")


def test_what_is_accepted_is_counted_though_no_command_is_run(
    make: MakeEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path / "data"))
    editor = make(tmp_path / "editor")
    with editor.start() as terminal:
        editor.ready()
        opened(editor, "counted.py", twice(OPENING))
        sees(editor, "    with ope", "n(path) as file:")
        editor.accept()
        terminal.until(lambda _: statistics(tmp_path / "data").get("accepted") == 1)
