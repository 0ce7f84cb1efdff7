"""Python that parsed still parses with a completion, and what is cut off goes back to where it was whole."""

from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.trimming.trim import Trim, trim


def parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes
        try:
            ast.parse(text)
        except SyntaxError:
            return False
    return True


def shown(marked: str, text: str, *, cut: bool = False, language: str = "python") -> tuple[str, str]:
    """What is shown of `text` at the cursor, ``|``, and the file once that is accepted."""
    prefix, suffix = marked.split("|")
    trimming = Trim(prefix, suffix, language=language)
    trimming.feed(text)
    piece = trimming.finish(cut=cut)
    return piece, prefix + piece + suffix[trimming.covers :]


CUT = {
    "at the last whole statement": ("|\n", "a = 1\nb = f(", "a = 1"),
    "in a block, at its last whole line": ("|\n", "if x:\n    a()\n    b(1, ", "if x:\n    a()"),
    "on the first line, before what is open": ("|\n", 'x = f(a, "lo', "x = f"),
    "within a word, before the word": ("x = |\n", "a + ran", "a"),
    "in a comment, at a word": ("# |\n", "takes no ti", "takes no"),
    "nowhere, if nothing is whole": ("|\n", '"""Takes no', ""),
}


@pytest.mark.parametrize("name", CUT)
def test_a_completion_that_is_cut_off_ends(name: str) -> None:
    marked, text, expected = CUT[name]
    assert shown(marked, text, cut=True)[0] == expected


def test_in_other_languages_brackets_tell_what_is_whole() -> None:
    assert shown("|\n", "a();\nif (b) {\n  c(", cut=True, language="javascript")[0] == "a();"
    assert shown("|\n", "if (b) {\n  c();\n  d(", cut=True, language="javascript")[0] == "if (b) {\n  c();"


def test_the_block_below_a_comment_at_a_blocks_start_is_shown() -> None:
    assert shown("if x:  # y|\n", "\n    a()\nb()")[0] == "\n    a()"


# What users of other systems complain about most, as far as the text of a completion can mend it.
def test_complaint_1_a_closing_bracket_is_not_doubled() -> None:
    assert shown("print(f(|))\n", "x))") == ("x", "print(f(x))\n")


def test_complaint_1_a_bracket_that_the_editor_closed_is_written_over() -> None:
    piece, accepted = shown("def f(|):\n", "a):\n    return a")
    assert accepted == "def f(a):\n    return a\n"
    assert shown("x = f(|)\n", "a).b")[1] == "x = f(a).b\n"
    assert piece == "a):\n    return a"


def test_complaint_1_the_suffix_is_not_repeated() -> None:
    assert shown("x = |  # why\n", "1  # why")[1] == "x = 1  # why\n"
    assert shown("|\nreturn x\n", "y = 1\nreturn x")[0] == "y = 1"


def test_complaint_2_a_file_with_tabs_gets_tabs() -> None:
    assert shown("if x:\n\ta()\nif y:|\n", "\n    b()\n    c()")[0] == "\n\tb()\n\tc()"


def test_complaint_2_a_file_with_spaces_gets_its_own_number_of_them() -> None:
    assert shown("if x:\n  a()\nif y:|\n", "\n\tb()\n\tc()")[0] == "\n  b()\n  c()"


def test_complaint_2_a_space_that_nobody_wants_is_dropped() -> None:
    assert shown("if x:\n    a()\n    |\n", " b()")[0] == "b()"
    assert shown("return |\n", " a")[0] == "a"


def test_complaint_10_nothing_that_was_shown_while_it_grew_has_to_be_deleted() -> None:
    trimming = Trim("f(", ")\n", language="python")
    for piece in ("a", ")", ".b"):
        trimming.feed(piece)
        assert parses("f(" + trimming.shown + ")\n"[trimming.covers :])


def test_complaint_12_a_token_limit_leaves_nothing_half_done() -> None:
    assert shown("if x:|\n", "\n    a()\n    b(1, 'lo", cut=True)[1] == "if x:\n    a()\n"


FILES = [
    "def f(a):\n    |\n    return a\n",
    "class A:\n    x = 1\n    |\n\n    def g(self):\n        pass\n",
    "x = f(|)\n",
    "x = [\n    1,\n    |\n]\n",
    "if a:\n    b()\n|\nc()\n",
    'def f():\n    """Doc|"""\n    return 1\n',
    "try:\n    a()\n    |\nexcept E:\n    pass\n",
    "|\n",
]
WORDS = [
    *("x", "f(", ")", "]", "[", ":", " = ", "\n", "\n    ", "\n        ", '"', '"""', "#", ", ", "1"),
    *("if x:", "else:", "return ", "def g():", "@", "pass", "{", "}", "\\", " in "),
]


@given(st.sampled_from(FILES), st.lists(st.sampled_from(WORDS), max_size=16), st.booleans())
def test_a_file_that_parses_still_parses_with_a_completion(marked: str, words: list[str], cut: bool) -> None:
    assert parses(marked.replace("|", ""))
    assert parses(shown(marked, "".join(words), cut=cut)[1])


def test_where_the_user_is_in_the_middle_of_something_it_is_enough_to_make_no_mistake() -> None:
    assert shown("if x == |\n", "1 and y")[0] == "1 and y"
    assert shown("if x == |\n", "1 1")[0] == "1"


def test_of_a_line_with_a_mistake_as_much_is_kept_as_fits() -> None:
    assert shown("print(|\n", "item, item):")[1] == "print(item, item)\n"
    assert shown("import |\n", "typing import TYPE_CHECKING")[1] == "import typing\n"
    assert shown("x = |\n", ") = 1")[0] == ""


def test_a_line_that_opens_a_block_is_enough_where_one_line_is_wanted() -> None:
    assert trim("if x:\n    a()", "", "\n", language="python", multiline=False) == "if x:"
