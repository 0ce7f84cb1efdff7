"""Which brackets and quotes an editor would close, and with what."""

from __future__ import annotations

import pytest

from lsp_server.bench.typist.pairs import closers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("f(a[0])", {1: 6, 3: 5}),
        ("f('(')", {1: 5, 2: 4}),
        ("don't", {}),
        ("rb'x'", {2: 4}),
        ("# (it's", {}),
        ("(", {0: None}),
        ("([)", {0: 2, 1: None}),
        (")(", {1: None}),
        ("'a\n'b'", {0: None, 3: 5}),
        (r"'\''", {0: 3}),
        ('"""a(b"""(c)', {0: 1, 9: 11}),
        ('"""open', {0: 1}),
    ],
)
def test_closers_are_found(text: str, found: dict[int, int | None]) -> None:
    assert closers(text) == found
