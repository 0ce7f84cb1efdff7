"""The judge of `benchmarks.places`: what counts as doubled. ``⟦…⟧`` is what was inserted."""

from __future__ import annotations

import pytest

from benchmarks.doubled import Fault, faults

CASES: dict[str, tuple[str, set[Fault]]] = {
    "the rest of a word, again": ("total += val⟦ue⟧ue * 2", {"word"}),
    "a word's end after another beginning": ("kwargs=_sen⟦tinel⟧tinel", {"word"}),
    "a word's rest before more": ("total = val⟦ue_⟧ue", {"word"}),
    "the cursor's word, split": ("total = val⟦ue + ⟧ue", {"word"}),
    "the cursor's word, twice and whole": ("total = val⟦ue + val⟧ue", set()),
    "a word's rest in full": ("val⟦id_⟧ue", set()),
    "words side by side": ("self._cache = ⟦None⟧self.timefunc", {"word"}),
    "a name that the document has": ("max_width = 1\nx = ⟦max_⟧width", set()),
    "an operand side by side with a word": ("x = ⟦f(a)⟧b", {"word"}),
    "arguments, again": ("f(a, ⟦b, c, d⟧c, d)", {"word"}),
    "arguments as they should be": ("f(a, ⟦b, ⟧c, d)", set()),
    "one name in a list, again": ("import { ⟦useEffect⟧, useEffect } from 'react'", {"word"}),
    "a parameter, again": ("def week(self, ⟦width, ⟧width):", {"word"}),
    "a square": ("area = ⟦side * ⟧side", set()),
    "a number that stands twice": ("f(⟦0, ⟧0)", set()),
    "a rest that is no word": ("Not ⟦equal|x⟧qual|x", {"word"}),
    "a bracket that the line closes": ("f(⟦a)⟧)", {"bracket"}),
    "a bracket that nothing else closes": ("f(g(⟦a)⟧)", set()),
    "a bracket that the line opens": ("f⟦(⟧(a)", {"bracket"}),
    "a bracket of a text": ("f(⟦':)'⟧)", set()),
    "a brace that is closed below": ("if (x) {⟦\n  a();\n}⟧\n}", {"bracket"}),
    "the line that follows": ("a()\n⟦return value⟧\nreturn value\n", {"line"}),
    "the lines that follow": ("⟦x = first()\ny = second()⟧\nx = first()\ny = second()\n", {"line"}),
    "a line of its own before a copy": ("⟦foo(bar);\n⟧foo(bar);", {"line", "word"}),
    "a line of its own": ("⟦let y = 2;\n⟧foo(x);", set()),
    "a statement and the next on its line": ("⟦let y = x;⟧foo(x);", set()),
    "a line that can stand twice": ("if x:\n⟦}⟧\n}\n", {"bracket"}),
    "a line that ends as the next one": ("foo(⟦bar⟧)\nfoo(bar)\n", {"line"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_counts_as_doubled_is(name: str) -> None:
    text, expected = CASES[name]
    before, _, rest = text.partition("⟦")
    inserted, _, after = rest.partition("⟧")
    assert faults(before, inserted, after) == expected


def test_what_was_replaced_is_no_fault() -> None:
    assert faults("f(", "a)", "", removed=")") == set()
    assert faults("val", "ue * 3", " * 2", removed="ue") == set()
