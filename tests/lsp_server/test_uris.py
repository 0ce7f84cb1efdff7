"""URIs: the spellings that editors have for one document are the same document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.uris import canonical_uri, path_of, scheme_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///c%3A/x.py", "file:///c:/x.py"),
        ("file:///C:/x.py", "file:///c:/x.py"),
        ("file:///a%20b.py", "file:///a b.py"),
        ("file:///%C3%A9.py", "file:///%c3%a9.py"),
        ("file:///%C3%A9.py", "file:///é.py"),
        ("FILE:///a.py", "file:///a.py"),
        ("file:///a/(b)[c].py", "file:///a/%28b%29%5Bc%5D.py"),
    ],
)
def test_spellings_of_one_uri_are_the_same(one: str, other: str) -> None:
    assert canonical_uri(one) == canonical_uri(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///a%2520b.py", "file:///a%20b.py"),
        ("file:///A.py", "file:///a.py"),
        ("file:///a.py", "untitled:///a.py"),
        ("vscode-notebook-cell:/a.ipynb#W0", "vscode-notebook-cell:/a.ipynb#W1"),
        ("file://server/a.py", "file:///server/a.py"),
        ("file:///a%23b.py", "file:///a#b.py"),
    ],
)
def test_different_documents_stay_different(one: str, other: str) -> None:
    assert canonical_uri(one) != canonical_uri(other)


@given(st.text())
def test_whatever_an_editor_sends_has_one_spelling_a_scheme_and_a_path(uri: str) -> None:
    once = canonical_uri(uri)
    assert canonical_uri(once) == once
    assert isinstance(scheme_of(uri), str)
    assert isinstance(path_of(uri), str)


def test_the_path_has_no_escapes() -> None:
    assert path_of("file:///c%3A/My%20Files/a.py") == "/c:/My Files/a.py"
    assert path_of("file://C:\\work\\[app]\\src") == ""
    assert scheme_of("git:/a.py?ref") == "git"
