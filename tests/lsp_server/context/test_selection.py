"""Context: what is shown of other documents, what never is, and that it stands still while somebody types."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.context.definitions import defined_name
from lsp_server.context.selection import BLOCK_LINES, MAX_CHARACTERS, MAX_DOCUMENTS, Context, _Open
from lsp_server.document import Document, Position, Range
from model_runtime.api import Snippet

BASKET = """\
class Basket:
    def __init__(self, owner):
        self.owner = owner
        self.items = []

    def total_price(self, tax):
        return sum(item.price for item in self.items) * (1 + tax)
"""


def document(name: str, text: str, language: str = "python", root: str = "file:///w/") -> Document:
    return Document(text, uri=f"{root}{name}", language=language, encoding="utf-16")


def filler(name: str, lines: int) -> str:
    return "".join(f"{name}_{number} = compute_{name}({number})\n" for number in range(lines))


def shown(snippets: Sequence[Snippet]) -> str:
    return "\n".join(snippet.text for snippet in snippets)


class Editor:
    """Opens documents, types, moves, and tells the context of it as a server does."""

    def __init__(self, *documents: Document) -> None:
        self.context = Context(["file:///w"])
        for one in documents:
            self.context.opened(one)

    def snippets(self, one: Document, line: int = 0) -> tuple[Snippet, ...]:
        return self.context.snippets(one, Position(line, 0))

    def type(self, one: Document, line: int, text: str) -> None:
        where = Range(Position(line, 0), Position(line, 0))
        one.replace(text, where)
        self.context.changed(one, where)


def test_what_another_open_file_defines_is_shown_where_its_name_is_used() -> None:
    other = document("shop/basket.py", filler("a", 200) + BASKET + filler("b", 200))
    main = document("main.py", "from shop.basket import Basket\n\nbasket = Basket('ada')\n")
    snippets = Editor(other, main).snippets(main, 2)
    assert snippets[0].path == "shop/basket.py"
    assert snippets[0].text.startswith("class Basket:\n    def __init__(self, owner):")


def test_what_was_edited_last_elsewhere_is_shown() -> None:
    other, main = document("other.py", filler("a", 300)), document("main.py", "x = 1\n")
    editor = Editor(other, main)
    editor.type(other, 250, "def just_written(argument):\n    return argument\n")
    assert "def just_written(argument):\n    return argument" in shown(editor.snippets(main))


def test_where_the_user_was_is_shown() -> None:
    other, main = document("other.py", filler("a", 500)), document("main.py", "x = 1\n")
    editor = Editor(other, main)
    for line in (100, 300):
        editor.snippets(other, line)
    text = shown(editor.snippets(main))
    assert "a_100 = " in text
    assert "a_300 = " in text
    assert "a_200 = " not in text


def test_what_is_like_the_cursors_surroundings_comes_first() -> None:
    fruits = document("fruits.py", "apple = peel(pear)\nplum = peel(apple)\n")
    metals = document("metals.py", "iron = melt(zinc)\nlead = melt(iron)\n")
    main = document("main.py", "zinc = melt(lead)\n")
    for order in ((fruits, metals), (metals, fruits)):
        snippets = Editor(*order, main).snippets(main)
        assert [snippet.path for snippet in snippets] == ["metals.py", "fruits.py"]


def test_what_the_prompt_shows_anyway_is_left_out() -> None:
    main = document("main.py", filler("a", 60))
    copy = document("copy.py", filler("a", 60))
    assert Editor(copy, main).snippets(main, 30) == ()


def test_far_away_places_of_the_same_file_are_shown() -> None:
    main = document("main.py", filler("a", 4000))
    editor = Editor(main)
    editor.snippets(main, 2000)
    editor.snippets(main, 3900)
    assert "a_2000 = " in shown(editor.snippets(main, 100))


def test_what_was_deleted_or_rewritten_is_shown_no_longer() -> None:
    for own in (True, False):
        main = document("main.py", BASKET + filler("a", 4000))
        other = document("other.py", "x = 1\ny = 2\n")
        editor = Editor(main, other)
        asked, line = (main, 3900) if own else (other, 1)
        editor.snippets(main, 2)
        assert "class Basket" in shown(editor.snippets(asked, line))
        where = Range(Position(0, 0), Position(BASKET.count("\n"), 0))
        main.replace("class Cart:\n    pass\n", where)
        editor.context.changed(main, where)
        assert "Basket" not in shown(editor.snippets(asked, line - 9 if own else line))
        assert "Basket" not in shown(editor.snippets(asked, line - 100 if own else line))


def test_other_languages_are_left_out_and_related_ones_are_not() -> None:
    style = document("style.css", "body { colour: red }\nmain { colour: blue }\n", "css")
    script = document("app.ts", "const red = 1\nconst blue = 2\n", "typescript")
    main = document("app.jsx", "const main = 1\n", "javascriptreact")
    assert {snippet.path for snippet in Editor(style, script, main).snippets(main)} == {"app.ts"}


def test_a_language_that_the_editor_does_not_name_is_known_by_the_files_ending() -> None:
    one, other = (
        document("a.zig", "const a = 1;\nconst b = 2;\n", ""),
        document("b.nim", "let c = 1\nlet d = 2\n", ""),
    )
    main = document("main.zig", "const c = a;\n", "")
    assert {snippet.path for snippet in Editor(one, other, main).snippets(main)} == {"a.zig"}


def test_a_file_of_which_one_editor_window_names_the_language_is_shown_to_one_of_which_it_does_not() -> None:
    other = document("shop.ts", "const basket = 1\nconst price = 2\n", "typescript")
    main = document("main.js", "const total = basket * price\n", "")
    assert {snippet.path for snippet in Editor(other, main).snippets(main)} == {"shop.ts"}


def test_secrets_are_never_shown() -> None:
    environment = document(".env", "API=abc123abc123\nNAME=value\n")
    config = document("config.py", 'NAME = "fimble"\nAPI_KEY = "abc123abc123"\nDEBUG = True\n')
    main = document("main.py", "NAME = API_KEY\n")
    text = shown(Editor(environment, config, main).snippets(main))
    assert "DEBUG = True" in text
    assert "abc123" not in text


def test_a_file_with_secrets_can_still_be_worked_on() -> None:
    environment = document(".env", "API=abc123abc123\n")
    editor = Editor(environment)
    editor.type(environment, 0, "A=b\n")
    editor.context.saved(environment.uri)
    assert editor.snippets(environment) == ()


def test_minified_lines_are_left_out() -> None:
    minified = document("a.js", "x=1;" * 5000 + "\nlet readable = 1\nlet text = 2\n", "javascript")
    main = document("main.js", "readable\n", "javascript")
    assert shown(Editor(minified, main).snippets(main)) == "let readable = 1\nlet text = 2"


def test_a_file_that_is_closed_is_shown_no_longer() -> None:
    other, main = document("other.py", BASKET), document("main.py", "Basket\n")
    editor = Editor(other, main)
    assert editor.snippets(main)
    editor.context.closed(other.uri)
    assert editor.snippets(main) == ()


def test_the_same_is_shown_while_somebody_types() -> None:
    others = [document(f"m{number}.py", filler(f"a{number}", 400) + BASKET) for number in range(5)]
    main = document("main.py", filler("main", 30))
    editor = Editor(*others, main)
    first = editor.snippets(main, 10)
    assert first
    for number, character in enumerate("basket = Basket(a1_1)\ntotal_price = a2_2"):
        where = Range(Position(10, number), Position(10, number))
        main.replace(character, where)
        editor.context.changed(main, where)
        editor.context.saved(main.uri)
        assert editor.context.snippets(main, Position(10, number + 1)) is first


def test_what_is_shown_changes_at_block_boundaries_at_most() -> None:
    others = [document(f"m{number}.py", filler(f"a{number}", 400)) for number in range(5)]
    main = document("main.py", "".join(f"main_{n} = a{n % 5}_{n * 3}\n" for n in range(200)))
    editor = Editor(*others, main)
    chosen = [editor.snippets(main, line) for line in range(200)]
    changes = [line for line, (one, other) in enumerate(pairwise(chosen)) if one is not other]
    assert all(later - earlier > BLOCK_LINES for earlier, later in pairwise(changes))


def test_what_has_been_shown_stays_where_nothing_new_is_worth_showing() -> None:
    other = document("other.py", "alpha = 1\nbeta = 2\n")
    main = document("main.py", filler("x", 100))
    editor = Editor(other, main)
    assert editor.snippets(main, 0) is editor.snippets(main, 60)


def test_the_choice_does_not_depend_on_chance() -> None:
    def run() -> list[tuple[Snippet, ...]]:
        draw = random.Random(7)
        others = [document(f"m{number}.py", filler(f"a{number}", 300) + BASKET) for number in range(6)]
        main = document("main.py", "a1_1 = Basket(a2_2)\n" * 5)
        editor = Editor(*others, main)
        return [editor.snippets(draw.choice([*others, main]), draw.randrange(300)) for _ in range(60)]

    assert run() == run()


def test_there_is_an_end_to_what_is_shown_and_remembered() -> None:
    editor = Editor()
    for number in range(3 * MAX_DOCUMENTS):
        editor.context.opened(document(f"m{number}.py", filler(f"a{number}", 200)))
    main = document("main.py", "x = 1\n")
    editor.context.opened(main)
    snippets = editor.snippets(main)
    assert 0 < sum(len(snippet.text) for snippet in snippets) <= MAX_CHARACTERS
    assert len(editor.context._open) == MAX_DOCUMENTS


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///w/shop/basket.py", "shop/basket.py"),
        ("file:///elsewhere/lib/python/shop/basket.py", "python/shop/basket.py"),
        ("file:///c%3A/Users/ada%20l/basket.py", "Users/ada l/basket.py"),
        ("untitled:Untitled-1", "Untitled-1"),
    ],
)
def test_a_path_begins_at_the_workspaces_folder(uri: str, path: str) -> None:
    other = Document(BASKET, uri=uri, language="python")
    main = document("main.py", "Basket\n")
    assert Editor(other, main).snippets(main)[0].path == path


def test_line_ends_are_those_that_models_know() -> None:
    other = document("other.py", BASKET.replace("\n", "\r\n"))
    main = document("main.py", "Basket\r\n")
    assert "\r" not in shown(Editor(other, main).snippets(main))


edits = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(0, 6),
        st.integers(0, 12),
        st.integers(0, 6),
        st.sampled_from(
            ["", "\n", "\r", "\r\n", "def abc():\n", "class Efg", "x\n\ny", "  return abc\n", "\n\n\n"]
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(edits)
def test_definitions_are_those_of_the_text_after_any_edits(
    changes: list[tuple[int, int, int, int, str, bool]],
) -> None:
    one = document("a.py", "def first():\r\n    pass\rclass Second:\n\n    def third(self):\n        pass\n")
    editor = Editor(one)
    opened: _Open = editor.context._open[one.uri]
    for line, column, end_line, end_column, text, whole in changes:
        where = None if whole and text else Range(Position(line, column), Position(end_line, end_column))
        one.replace(text, where)
        editor.context.changed(one, where)
        expected: dict[str, int] = {}
        for number in range(one.line_count):
            name = defined_name(one.line(number), "python")
            if name is not None:
                expected.setdefault(name, number)
        assert opened.definitions == expected
        assert all(0 <= first <= last <= one.line_count for first, last in opened.edits)
