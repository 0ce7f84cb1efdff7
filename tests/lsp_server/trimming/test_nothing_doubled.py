"""What a completion may not double: the rest of the cursor's line, brackets, and the lines below.

The examples are reports of users of such tools; ▮ is the cursor. The properties look at the document with
the completion accepted, and know nothing of how it was trimmed.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsp_server.trimming import Trim


def accepted(marked: str, text: str, language: str, *, cut: bool = False) -> str:
    """The document with what is shown of `text` accepted."""
    prefix, suffix = marked.split("▮")
    trimming = Trim(prefix, suffix, language=language)
    trimming.feed(text)
    shown = trimming.finish(cut=cut)
    return prefix + shown + suffix[trimming.covers :]


REPORTS = {
    "the rest of a word": ("total += val▮ue * 2\n", "ue", "python", "total += value * 2\n"),
    "the rest of a word and a line": ("total += val▮ue * 2\n", "ue * 2", "python", "total += value * 2\n"),
    "another rest of a word": ("total += val▮ue * 2\n", "ue + other", "python", "total += value * 2\n"),
    "a longer rest of a word": ("char *file▮name;\nchar *name;\n", "names;", "c", None),
    "a number of a table, whole": ("0xffff▮ff, 0xff,", "ffff, 0xffff, 0xff", "c", None),
    "a number of a table": ("0xffff▮ff, 0xff,", "ffff, 0xffff, 0x", "c", None),
    "the whole word again": ("x = val▮ue\n", "ue + val", "python", "x = value + value\n"),
    "brackets in a raw string": ("f(`▮word`)", " a) {", "go", None),
    "a bracket of a text like code": ("x = /\\(/;\ng(this.▮path());", "parent);", "javascript", None),
    "a bracket in a string": ("f('(e.g. ▮or b) c')\n", "this) and", "python", None),
    "a private name": ("def f(kwargs=_sen▮tinel):\n    pass\n", "tinel", "python", None),
    "a part of a word": ("x = get▮Value()", "DefaultValue()", "javascript", "x = getDefaultValue()"),
    "arguments and a bracket": ("f(a, ▮c, d)", "b, c, d)", "javascript", "f(a, b, c, d)"),
    "arguments and a bracket in Python": ("f(a, ▮c, d)\n", "b, c, d)", "python", "f(a, b, c, d)\n"),
    "an import": (
        "import { ▮, useEffect } from 'react'",
        "useState, useEffect } from 'react'",
        "javascript",
        "import { useState, useEffect } from 'react'",
    ),
    "an import that is there": ("import { ▮, useEffect } from 'react'", "useEffect", "javascript", None),
    "a parameter": ("def week(self, ▮width):\n    pass\n", "width", "python", None),
    "a parameter and the end": ("def week(self, ▮width):\n    pass\n", "width):\n    pass", "python", None),
    "a parameter before another": (
        "def week(self, ▮width):\n    pass\n",
        "height, width):",
        "python",
        "def week(self, height, width):\n    pass\n",
    ),
    "prose": ("Not ▮qual|x", "equal|x", "markdown", "Not equal|x"),
    "a line of its own": ("▮foo(x);", "let y = 2;\nfoo(x);", "javascript", "let y = 2;\nfoo(x);"),
    "a line of its own at the end": ("▮foo(x);", "let y = 2;\n", "javascript", "let y = 2;\nfoo(x);"),
    "no line before another text": ("▮foo(x);", "let y = 2;\nbar(x);", "javascript", None),
    "no statement on the same line": ("▮foo(x);", "let y = 2;", "javascript", None),
    "a line of a method": (
        "def f(self):\n    ▮self.timefunc = 1\n",
        "self._cache = None\n    self.timefunc = 1\n",
        "python",
        "def f(self):\n    self._cache = None\n    self.timefunc = 1\n",
    ),
    "a word before a statement": ("▮foo(x);", "await ", "javascript", "await foo(x);"),
    "a line that continues in the rest": ("▮foo(x);", "y = foo(x);\nbar();", "javascript", "y = foo(x);"),
    "a comment that would hide the rest": ("x = ▮y", "1 // one", "javascript", None),
    "a call before a call": ("foo▮(x)", "(a)", "javascript", None),
    "the next line, with the rest": ("foo(▮)\nfoo(bar)\n", "bar", "javascript", None),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_doubled_by(name: str) -> None:
    marked, text, language, expected = REPORTS[name]
    assert accepted(marked, text, language) == (marked.replace("▮", "") if expected is None else expected)


WORDS = ("foo", "bar", "value", "width", "x")
TOKENS = (*WORDS, "(", ")", "[", "]", "{", "}", ", ", " = ", ".", ";", " + ", " ", '"')
lines_of_tokens = st.lists(st.sampled_from(TOKENS), max_size=8).map("".join)
languages = st.sampled_from(["python", "javascript", "go", "c", "ruby", "lisp", "markdown", ""])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, str]:
    """A document whose cursor has text after it, and what a model writes there, often like that text."""
    before, rest, below = draw(lines_of_tokens), draw(lines_of_tokens), draw(lines_of_tokens)
    cut = draw(st.integers(0, 3))
    own = draw(lines_of_tokens)
    again = draw(
        st.sampled_from(["", rest, rest[cut:], rest[: len(rest) - cut], f"{rest}\n{below}", f"\n{below}"])
    )
    return f"{before}▮{rest}\n{below}\n", own + again


def doubled_word(before: str, inserted: str, after: str) -> bool:
    """Whether the inserted text's last word, or the whole of it, runs into its copy after the cursor."""
    rest = after.partition("\n")[0]
    word = re.match(r"\w+", rest)
    if word is None or not inserted or len(word[0]) < 2:
        return False
    last = re.search(r"\w+\Z", inserted)
    return last is not None and last[0].endswith(word[0])


def unmatched(text: str) -> int:
    """How many closing brackets have no opening one of their kind."""
    stray = 0
    for opener, closer in ("()", "[]", "{}"):
        depth = 0
        for character in text:
            depth += character == opener
            if character == closer:
                stray += depth == 0
                depth = max(0, depth - 1)
    return stray


def is_well_nested(text: str) -> bool:
    """Whether no bracket is closed by one of another kind."""
    opened: list[str] = []
    for character in text:
        if character in "([{":
            opened.append(character)
        elif character in ")]}" and opened and opened.pop() + character not in ("()", "[]", "{}"):
            return False
    return True


@given(documents(), languages, st.booleans())
@example(("f(a, ▮c, d)\n\n", "b, c, d)"), "javascript", False)
@example(("val▮ue\n\n", "value"), "", False)
@example(("▮foo(x)\nbar\n", "bar\nfoo(x)"), "go", False)
def test_once_accepted_nothing_is_doubled(document: tuple[str, str], language: str, cut: bool) -> None:
    marked, text = document
    prefix, suffix = marked.split("▮")
    trimming = Trim(prefix, suffix, language=language)
    trimming.feed(text)
    inserted = trimming.finish(cut=cut)
    if not inserted:
        return
    after = suffix[trimming.covers :]
    rest = after.partition("\n")[0]
    assert not doubled_word(prefix, inserted, after)
    if len(rest.strip()) > 2 and re.search(r"\w", rest):
        assert not inserted.rstrip().endswith(rest.strip())
    if '"' not in prefix + inserted + suffix and is_well_nested(prefix + suffix):
        assert unmatched(prefix + inserted + after) <= unmatched(prefix + suffix)
    line = (prefix + inserted + after).split("\n")
    at = (prefix + inserted).count("\n")
    below = next((other.strip() for other in line[at + 1 :] if other.strip()), "")
    if sum(map(str.isalnum, below)) > 2 and line[at].strip() == below:
        assert (prefix + suffix).split("\n")[prefix.count("\n")].strip() == below
    if "\n" in inserted and rest.strip():
        assert line[at - 1].strip() != line[at].strip()
