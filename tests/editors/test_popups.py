"""A person in Helix and in Emacs, with the default model: keys go in, screen and file are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.editors.conftest import skip
from tests.editors.install import emacs, emacs_with_company, helix
from tests.editors.packages import CannotInstall
from tests.editors.popups import Editor, Emacs, Helix

pytestmark = [pytest.mark.editors, pytest.mark.usefixtures("tmux"), pytest.mark.timeout(90)]

OPENING = "    with open(path) as file:\n        return file.read()\n"
ITEMS = "    return sorted(path.iterdir())\n"
PARTY = "    party = '🎉🎉'; return open(path)\n"


def start_helix(folder: Path) -> Editor:
    return Helix(helix(), folder)


def start_emacs(folder: Path) -> Editor:
    return Emacs(emacs(), folder, company=False)


def start_company(folder: Path) -> Editor:
    return Emacs(emacs_with_company(), folder, company=True)


MakeEditor = Callable[[Path], Editor]


def twice(body: str) -> str:
    """Two functions alike and the beginning of a third: any model of code knows what comes."""
    functions = "".join(f"def {name}(path):\n{body}\n\n" for name in ("first", "second"))
    return f"import sys\n\n\n{functions}def third(path):\n"


@pytest.fixture(
    scope="module",
    params=[start_helix, start_emacs, start_company],
    ids=["Helix", "Emacs", "Emacs with company"],
)
def make(request: pytest.FixtureRequest, data_folder: None) -> MakeEditor:
    """Makes an editor whose files lie in a folder."""

    def editor(folder: Path) -> Editor:
        try:
            made: Editor = request.param(folder)
        except CannotInstall as why:
            skip(request, str(why))
        return made

    request.getfixturevalue("tmux")
    return editor


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
    """Type, and wait for an item."""
    editor.terminal.type(typed)
    editor.terminal.until(lambda _: editor.shows_item(typed, rest))


def has(editor: Editor, path: Path, text: str) -> None:
    """Save the file; it has this text now."""
    editor.save()
    before = path.read_text(encoding="utf-8")

    def is_written(_: object) -> bool:
        written = path.read_text(encoding="utf-8")
        return written == text or written not in ("", before)

    editor.terminal.until(is_written)
    assert path.read_text(encoding="utf-8") == text


def opened(editor: Editor, name: str, text: str) -> Path:
    """A file that ends in an empty line, with the cursor there."""
    path = editor.project / name
    path.write_text(text + "\n", encoding="utf-8")
    editor.open(path, text.count("\n") + 1)
    return path


def test_an_item_is_seen_and_accepted_with_all_its_lines(editor: Editor) -> None:
    path = opened(editor, "accepted.py", twice(OPENING))
    sees(editor, "    with ope", "n(path) as file:")
    editor.accept()
    has(editor, path, twice(OPENING) + OPENING)


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


def test_text_after_an_emoji_is_completed(editor: Editor) -> None:
    path = opened(editor, "party.py", twice(PARTY))
    sees(editor, "    party = '🎉🎉'; ret", "urn open(path)")
    editor.accept()
    has(editor, path, twice(PARTY) + PARTY)


def test_brackets_that_the_editor_closes_are_not_doubled(editor: Editor) -> None:
    path = opened(editor, "brackets.py", twice(ITEMS))
    editor.close_brackets()
    sees(editor, "    return sorted(path.ite", "rdir(")
    editor.accept()
    has(editor, path, twice(ITEMS) + ITEMS)


@pytest.mark.parametrize("make", [start_helix], indirect=True)
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
