"""Trimming in languages other than Python: indentation within brackets, and blocks that a word closes."""

from __future__ import annotations

import pytest

from lsp_server.trimming import trim

CASES = {
    "a stray space in braces": ("javascript", "function f() {\n    ▮\n}\n", " return a;", "return a;"),
    "the typed indentation again": ("javascript", "function f() {\n    ▮\n}\n", "    return a;", "return a;"),
    "a stray space in parentheses": ("javascript", "f(\n  ▮\n)\n", " a,", "a,"),
    "spaces behind a tab": ("go", "func f() {\n\t▮\n}\n", "    return a", "return a"),
    "a tab behind a tab": ("go", "func f() {\n\t▮\n}\n", "\treturn a", "return a"),
    "a stray space behind a tab": ("go", "func f() {\n\t▮\n}\n", " return a", "return a"),
    "Lisp's indentation again": ("lisp", "(defun f (x)\n  ▮)\n", "  (+ x 1)", "(+ x 1)"),
    "a stray space in Lisp": ("lisp", "(defun f (x)\n  ▮)\n", " (+ x 1)", "(+ x 1)"),
    "alignment with a bracket": ("lisp", "(let ((a 1)\n▮", "      (b 2))", "      (b 2))"),
    "indentation that nobody has typed": ("javascript", "{\n▮\n}\n", "    a();", "    a();"),
    "a Ruby block": ("ruby", "items.each ▮\n", "do |x|\n  puts x\nend\nputs 1", "do |x|\n  puts x\nend"),
    "a Ruby block that is begun": ("ruby", "items.each do |x|▮\n", "\n  puts x\nend\na", "\n  puts x\nend"),
    "a method with a middle": (
        "ruby",
        "def f(x)▮\n",
        "\n  if x\n    1\n  else\n    2\n  end\nrescue\n  3\nend\n\ndef g",
        "\n  if x\n    1\n  else\n    2\n  end\nrescue\n  3\nend",
    ),
    "an end that stands there": ("ruby", "  a.each ▮\n  end\n", "do |x|\n    p x\n  end", "do |x|\n    p x"),
    "a condition after a statement": ("ruby", "x = 1▮\n", " if y\nputs 2", " if y"),
    "a Lua loop": ("lua", "for i = 1, 3▮\n", " do\n  print(i)\nend\nprint(2)", " do\n  print(i)\nend"),
    "an Elixir function": (
        "elixir",
        "def f(x) ▮\n",
        "do\n  x\nend\n\ndef g(x), do: x",
        "do\n  x\nend",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_lines_are_right_with(name: str) -> None:
    language, marked, text, expected = CASES[name]
    prefix, suffix = marked.split("▮")
    assert trim(text, prefix, suffix, language=language) == expected
