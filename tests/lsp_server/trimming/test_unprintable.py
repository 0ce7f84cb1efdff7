"""What nobody can see, and what was no text, does not come into a document by a completion."""

from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.trimming import Trim, trim

UNPRINTABLE = {
    "the replacement character": "\ufffd",
    "half of a surrogate pair": "\ud83d",
    "NUL": "\0",
    "escape": "\x1b",
    "a form feed": "\f",
    "delete": "\x7f",
    "a control character beyond ASCII": "\x85",
    "a space of no width": "\u200b",
    "a joiner": "\u200d",
    "a soft hyphen": "\xad",
    "an override of the direction": "\u202e",
    "an isolate of the direction": "\u2066",
    "a byte order mark": "\ufeff",
    "a line separator": "\u2028",
}


@pytest.mark.parametrize("name", UNPRINTABLE)
def test_a_completion_ends_before(name: str) -> None:
    assert trim(f"日本語{UNPRINTABLE[name]}です", "# ", " 😀\n") == "日本語"
    assert trim(f"a()\nb(){UNPRINTABLE[name]}c()\nd()", "", "\n") == "a()\nb()"


@pytest.mark.parametrize("name", UNPRINTABLE)
@pytest.mark.parametrize("document", ["{}# |\n", "# |\nx = '{}'\n"], ids=["before", "after"])
def test_what_the_document_has_may_be_written_again(name: str, document: str) -> None:
    prefix, suffix = document.format(UNPRINTABLE[name]).split("|")
    assert trim(f"a{UNPRINTABLE[name]}b", prefix, suffix) == f"a{UNPRINTABLE[name]}b"


def test_what_can_be_seen_is_left_as_it_is() -> None:
    text = "naïve café e\u0301 日本語 नमस्ते سلام 🎉 ❤\ufe0f\xa0\t|"
    assert trim(text, "# ", "") == text


def test_nothing_is_left_of_what_begins_with_it() -> None:
    assert trim("\ufffd\ufffd\ufffd", 'x = "日本語', '"\n') == ""


def test_nothing_is_added_after_it() -> None:
    trimming = Trim("x = ", "\n")
    assert [trimming.feed(piece) for piece in ("1", "\0", "2")] == ["1", "1", "1"]
    assert trimming.done


texts = st.text() | st.text(st.sampled_from("ab \n\t(\"'日é\u0301😀\ufffd\ud83d\0\x1b\x9b\u200d\u202e\u2028"))


@given(prefix=texts, suffix=texts, pieces=st.lists(texts), cut=st.booleans())
@pytest.mark.parametrize("language", ["python", ""])
def test_nothing_unprintable_is_ever_shown_that_the_document_does_not_have(
    language: str, prefix: str, suffix: str, pieces: list[str], cut: bool
) -> None:
    trimming = Trim(prefix, suffix, language=language)
    shown = [trimming.feed(piece) for piece in pieces]
    shown += [trimming.whole().text, trimming.finish(cut=cut)]
    new = set("".join(shown)) - {"\n", "\t"} - set(prefix + suffix)
    assert "\ufffd" not in new
    assert not {category(character) for character in new} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
