"""Trimming: what of a model's text is worth showing, and that streaming changes nothing about it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsp_server.trim import Trim, trim


def at(marked: str) -> tuple[str, str]:
    """The texts before and after the cursor, which is written ``|``."""
    prefix, suffix = marked.split("|")
    return prefix, suffix


CASES = {
    "one line where there is text right of the cursor": ("x = |  # why", "1\ny = 2", "1"),
    "one line in the middle of a statement": ("return |\n", "a + b\n\ndef g():", "a + b"),
    "nothing if a statement's rest begins with a new line": ("x = 1|\n", "\ny = 2", ""),
    "a block after a colon": ("def f():|\n", "\n    a()\n    b()\nc()", "\n    a()\n    b()"),
    "a block with blank lines in it": ("if x:|", "\n    a()\n\n    b()\nc()", "\n    a()\n\n    b()"),
    "a block after a bracket, with its end": ("x = {|", "\n    1,\n}\ny = 2", "\n    1,\n}"),
    "a block whose opening line is broken": (
        "def f(a,\n      b):|",
        "\n    return a\n\n\ndef g():",
        "\n    return a",
    ),
    "a blank line's block, to where it is left": (
        "def f():\n    |\n",
        "a()\n    if b:\n        c()\n\ndef g():",
        "a()\n    if b:\n        c()",
    ),
    "a blank line's paragraph": ("|\n", "a = 1\nb = 2\n\nc = 3", "a = 1\nb = 2"),
    "the block that a completion indents itself": ("if x:\n|", "    a()\n    b()\nc()", "    a()\n    b()"),
    "tabs as they are": ("\tif x:|", "\n\t\ta()\n\t\tb()\n\tc()", "\n\t\ta()\n\t\tb()"),
    "no bracket that the editor has closed": ("print(|)\n", "a, b)\n", "a, b"),
    "no colon and bracket that stand there": ("def f(|):\n", "a, b):\n    return a", "a, b"),
    "a bracket that nothing else closes": ("f(g(|)\n", "x)", "x)"),
    "of two brackets the one that is doubled": ("f(g(|)\n", "x))", "x)"),
    "no quote that the editor has closed": ('x = "|"\n', 'abc"', "abc"),
    "a quote that opens another text": ('x = "|"\n', 'a" + "b', 'a" + "b'),
    "no rest of the line once more": ("return |a + b\n", "a + b", ""),
    "not the end of a word that is like the rest": ("y = |x\n", "max", "max"),
    "not the line that follows anyway": ("    |\n    return x\n", "y = 1\n    return x\n", "y = 1"),
    "nothing if all that comes is the next line": ("    |\n    return x\n", "return x\n", ""),
    "no closing brace that follows anyway": ("f({|\n})\n", "\n    1: 2,\n})\n", "\n    1: 2,"),
    "no line twice in a row": ("    |", "a()\n    a()\n    a()", "a()"),
    "no line three times": ("|", "a()\nb()\na()\nb()\na()\nb()", "a()\nb()\na()\nb()"),
    "closing brackets as often as it takes": ("|", "[\n],\n[\n],\n[\n],", "[\n],\n[\n],\n[\n],"),
    "two rounds of a line that runs in circles": ("x = [|", "one, " * 12, "one, one,"),
    "a ruler, which is meant": ("# |", "-" * 60, "-" * 60),
    "no space that the user has typed": ("return |\n", " a", "a"),
    "the indentation that comes after a line break": ("if x:|", "\n        a", "\n        a"),
    "nothing if there is only white space": ("if x:|", "\n    \n  ", ""),
    "no trailing white space": ("x = |", "1  \n", "1"),
    "a space before what follows on the line": ("a|b\n", " + ", " + "),
    "nothing of nothing": ("x|", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_completion_keeps(name: str) -> None:
    marked, text, expected = CASES[name]
    assert trim(text, *at(marked)) == expected


def test_one_line_is_the_limit_if_the_user_wants_it_so() -> None:
    assert trim("\n    a()", "if x:", "", multiline=False) == ""
    assert trim("a()\n    b()", "    ", "", multiline=False) == "a()"


def test_a_dedent_ends_the_completion_before_its_line_is_whole() -> None:
    trimming = Trim("if x:", "")
    trimming.feed("\n    a()\nb")
    assert (trimming.done, trimming.shown) == (True, "\n    a()")


def test_a_line_is_shown_as_it_grows() -> None:
    trimming = Trim("x = ", "")
    assert [trimming.feed(piece) for piece in ("foo", "(1", ")")] == ["foo", "foo(1", "foo(1)"]


def test_a_bracket_that_may_be_doubled_is_held_back_until_that_is_decided() -> None:
    trimming = Trim("f(", ")\n")
    assert [trimming.feed(piece) for piece in ("g()", ".h")] == ["g(", "g().h"]
    assert trimming.finish() == "g().h"


def test_a_line_that_may_be_the_next_one_is_held_back_until_that_is_decided() -> None:
    trimming = Trim("", "\nreturn x\n")
    assert [trimming.feed(piece) for piece in ("ret", "urn", " y")] == ["", "", "return y"]


FRAGMENTS = [
    "a",
    "b(",
    ")",
    "]",
    "{",
    "}",
    ":",
    " ",
    "    ",
    "\n",
    "\n    ",
    "\n\n",
    '"',
    "x = 1",
    "ab, ",
    "\t",
]
CONTEXTS = [
    *(
        "|",
        "\t|\n",
        "    |\n    return x\n",
        "if x:|",
        "f(|)\n",
        "f(|):\n",
        "f(g(|))\nx = 1",
        '"|"',
        '("|")\n',
    ),
    *(
        "x = {|\n}\n",
        "x = |  # a",
        "return |x\n",
        "def f():\n    |\n\n",
        "a |)\n",
        "f(\n    a,|)\n",
        "a|\n    a\n",
    ),
]

fragments = st.lists(st.sampled_from([*FRAGMENTS, "return x", "\r\n"]), max_size=24)
contexts = st.sampled_from(CONTEXTS)


@given(contexts, fragments, st.booleans())
@example("f(|)\n", ["a", ")", "\n", "b"], True)
@example("|", ["ab, "] * 20, True)
def test_streaming_shows_what_one_shot_shows(context: str, pieces: list[str], multiline: bool) -> None:
    trimming = Trim(*at(context), multiline=multiline)
    shown = [trimming.feed(piece) for piece in pieces]
    done_early = trimming.shown if trimming.done else None
    final = trimming.finish()
    assert final == trim("".join(pieces), *at(context), multiline=multiline)
    for earlier, later in zip(shown, [*shown[1:], final], strict=True) if shown else []:
        assert later.startswith(earlier)
    assert done_early in (None, final)


@given(contexts, fragments)
def test_what_is_shown_comes_from_the_model_or_is_nothing(context: str, pieces: list[str]) -> None:
    text = "".join(pieces).replace("\r", "")
    shown = trim(text, *at(context))
    assert text.startswith(shown) or text.lstrip(" ").startswith(shown)
    assert shown == "" or shown.strip()
