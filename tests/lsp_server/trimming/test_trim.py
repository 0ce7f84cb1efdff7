"""Trimming: what of a model's text is worth showing, and that streaming changes nothing about it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsp_server.trimming.trim import Piece, Trim, trim


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
    "no colon and bracket that stand there": ("def f(|):\n", "a, b):", "a, b"),
    "a bracket that nothing else closes": ("f(g(|)\n", "x)", "x)"),
    "of two brackets the one that is doubled": ("f(g(|)\n", "x))", "x)"),
    "no quote that the editor has closed": ('x = "|"\n', 'abc"', "abc"),
    "a quote that opens another text": ('x = "|"\n', 'a" + "b', 'a" + "b'),
    "no rest of the line once more": ("return |a + b\n", "a + b", ""),
    "nothing that would run into the rest of the line": ("y = |x\n", "max", ""),
    "not the line that follows anyway": ("    |\n    return x\n", "y = 1\n    return x\n", "y = 1"),
    "nothing if all that comes is the next line": ("    |\n    return x\n", "return x\n", ""),
    "no closing brace that follows anyway": ("f({|\n})\n", "\n    1: 2,\n})\n", "\n    1: 2,"),
    "no line twice in a row": ("    |", "a()\n    a()\n    a()", "a()"),
    "no line three times": ("|", "a()\nb()\na()\nb()\na()\nb()", "a()\nb()\na()\nb()"),
    "closing brackets as often as it takes": ("|", "[\n],\n[\n],\n[\n],", "[\n],\n[\n],\n[\n],"),
    "two rounds of a line that runs in circles": ("x = [|", "one, " * 12, "one, one"),
    "a ruler, which is meant": ("# |", "-" * 60, "-" * 60),
    "no space that the user has typed": ("return |\n", " a", "a"),
    "the indentation that comes after a line break": ("if x:|", "\n        a", "\n        a"),
    "nothing if there is only white space": ("if x:|", "\n    \n  ", ""),
    "no trailing white space": ("x = |", "1  \n", "1"),
    "a space before what follows on the line": ("a|b\n", " + ", " + "),
    "nothing of nothing": ("x|", "", ""),
    "the rest of a statement at a line's end, over several lines": (
        "x = |\n",
        "f(\n    a,\n    b,\n)\ny = 2",
        "f(\n    a,\n    b,\n)",
    ),
    "the block that a line opens": ("if x|\n", " > 0:\n    a()\n    b()\nc()", " > 0:\n    a()\n    b()"),
    "one line of a list that was begun above": ("f(\n    a,\n    b|\n)\n", "=1,\n    c", "=1,"),
    "one line in a comment": ("# see |\n", "above\n# and below", "above"),
    "one line in a string": ('x = "|"\n', 'a"\ny = "b', "a"),
    "up to the next declaration": ("|\n", "a = 1\ndef f():\n    b()\n", "a = 1"),
    "a declaration with what decorates it": ("|\n", "@a\ndef f():\n    b()\n", "@a\ndef f():\n    b()"),
    "a default that begins like a declaration": ("|\n", "a = 1\ndefault = 2", "a = 1\ndefault = 2"),
    "not nearly the line that follows": ("|\nself.width = width\n", "self.widths = width\n", ""),
    "not the line above once more": ("    total += x\n    |\n", "total += x\n    b()", ""),
    "not nearly its own line again": ("|\n", "self.wide = wide\nself.wide = wider\n", "self.wide = wide"),
    "another row of a table": (
        "    'width': 10,\n    'width2': 10,\n    |\n",
        "'width3': 10,\n    'width4': 10,",
        "'width3': 10,\n    'width4': 10,",
    ),
    "a word that may stand twice": ("try:\n  |\n", "try:\n    a()\n  b()", "try:\n    a()\n  b()"),
    "no bracket that is closed below": ("f(\n    a(|\n)\n", "b))", "b)"),
    "a bracket in a string, which closes nothing": ("f(|)\n", "')'", "')'"),
    "no bracket that is closed already, in a string": ('x = "(|)"\n', 'a)"', "a"),
    "nothing after a bracket that nothing has opened": ("x = |\n", "a) + b", "a"),
    "no white space without end": ("x = [|", "1," + " " * 400, "1"),
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
    *("|foo(x)\n", "  |foo(x)\nreturn x\n", "a(|b, c)\n", "va|lue\n", "items.each |\n", "  if a|\n  end\n"),
]

ODD = [
    "return x",
    "\r\n",
    "\ufffd",
    "foo(x)",
    "lue",
    "<|",
    "cursor|>",
    "</",
    "s>",
    "``",
    "`",
    "Sure",
    "! ",
    "do",
    "end",
]
fragments = st.lists(st.sampled_from([*FRAGMENTS, *ODD]), max_size=24)
contexts = st.sampled_from(CONTEXTS)
languages = st.sampled_from(["", "python", "javascript", "ruby"])


@given(contexts, fragments, languages, st.booleans(), st.booleans())
@example("f(|)\n", ["a", ")", "\n", "b"], "", True, False)
@example("|", ["ab, "] * 20, "", True, False)
@example("if x:\n    |", ["a(", ")", "\n    ", "b(", "1"], "python", True, True)
def test_what_is_shown_only_grows_until_the_end(
    context: str, pieces: list[str], language: str, multiline: bool, cut: bool
) -> None:
    trimming = Trim(*at(context), language=language, multiline=multiline)
    shown = ""
    for piece in pieces:
        earlier, shown = shown, trimming.feed(piece)
        assert trimming.done or shown.startswith(earlier)
    final = trimming.finish(cut=cut)
    assert final.startswith(shown) or shown.startswith(final)


@given(contexts, fragments, languages, st.booleans(), st.booleans())
@example("f(|)\n", ["a", ")", "\n", "b"], "", True, False)
@example("|", ["ab, "] * 20, "", True, False)
def test_in_the_end_it_does_not_matter_in_which_pieces_the_text_came(
    context: str, pieces: list[str], language: str, multiline: bool, cut: bool
) -> None:
    in_pieces, at_once = (Trim(*at(context), language=language, multiline=multiline) for _ in range(2))
    for piece in pieces:
        in_pieces.feed(piece)
    at_once.feed("".join(pieces))
    assert in_pieces.done == at_once.done
    assert in_pieces.finish(cut=cut) == at_once.finish(cut=cut)
    assert in_pieces.covers == at_once.covers


@given(contexts, fragments, languages)
def test_the_best_so_far_is_what_would_be_shown_were_it_cut_off_here(
    context: str, pieces: list[str], language: str
) -> None:
    trimming = Trim(*at(context), language=language)
    for number, piece in enumerate(pieces, 1):
        trimming.feed(piece)
        cut_off = Trim(*at(context), language=language)
        cut_off.feed("".join(pieces[:number]))
        assert trimming.whole() == Piece(cut_off.finish(cut=True), cut_off.covers)


@given(contexts, fragments, languages, st.booleans())
def test_what_is_shown_is_how_the_models_text_begins_but_for_indentation(
    context: str, pieces: list[str], language: str, cut: bool
) -> None:
    def without_indentation(text: str) -> str:
        return "\n".join(line.lstrip() for line in text.split("\n"))

    trimming = Trim(*at(context), language=language)
    trimming.feed("".join(pieces))
    shown = trimming.finish(cut=cut)
    text = "".join(pieces).replace("\r", "")
    assert without_indentation(text).startswith(without_indentation(shown).rstrip())
    assert shown == "" or shown.strip()
    assert 0 <= trimming.covers <= len(at(context)[1].partition("\n")[0])


@given(contexts, fragments, languages)
def test_what_was_trimmed_is_trimmed(context: str, pieces: list[str], language: str) -> None:
    prefix, suffix = at(context)
    once = trim("".join(pieces), prefix, suffix, language=language)
    again = trim(once, prefix, suffix, language=language)
    joined = once[-1:].isalnum() and suffix[:1].isalnum()  # the model wrote the whole word, now it does not
    assert again.rstrip() == once.rstrip() or (joined and not again)
