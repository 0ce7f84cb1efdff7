"""Documents: what LSP's positions mean, and that edits end up where the editor made them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server import document as document_module
from lsp_server.document import Document, Position, PositionEncoding, Range, code_units, split_lines

ENCODINGS: tuple[PositionEncoding, ...] = ("utf-8", "utf-16", "utf-32")
ALPHABET = "ab(\t \n\r\f\v\x1c\x85\u2028\u2029é\u0301東🎉👩‍💻"

texts = st.lists(st.sampled_from([*ALPHABET, "\r\n", "\n", "word"]), max_size=30).map("".join)
encodings = st.sampled_from(ENCODINGS)


class NaiveDocument:
    """The same, as LSP's text puts it: one string, walked from its beginning for every position."""

    def __init__(self, text: str, encoding: PositionEncoding) -> None:
        self.text = text
        self.codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
        self.unit = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]

    def offset_at(self, position: Position) -> int:
        offset = 0
        for _ in range(position.line):
            while offset < len(self.text) and self.text[offset] not in "\r\n":
                offset += 1
            if offset == len(self.text):
                return offset
            offset += 2 if self.text[offset : offset + 2] == "\r\n" else 1
        units = 0
        while offset < len(self.text) and self.text[offset] not in "\r\n":
            units += len(self.text[offset].encode(self.codec)) // self.unit
            if units > position.character:
                break
            offset += 1
        return offset

    def replace(self, text: str, where: Range) -> None:
        start, end = sorted((self.offset_at(where.start), self.offset_at(where.end)))
        self.text = self.text[:start] + text + self.text[end:]


positions = st.builds(Position, st.integers(0, 12), st.integers(0, 15))
edits = st.tuples(st.builds(Range, positions, positions), texts)


@pytest.mark.parametrize("long_line", [4, 4096])
@given(texts, encodings, st.lists(edits, max_size=6))
def test_edits_leave_the_text_that_a_naive_document_has(
    long_line: int, text: str, encoding: PositionEncoding, changes: list[tuple[Range, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_module, "_LONG_LINE", long_line)
        check_edits(text, encoding, changes)


def check_edits(text: str, encoding: PositionEncoding, changes: list[tuple[Range, str]]) -> None:
    document, naive = Document(text, encoding=encoding), NaiveDocument(text, encoding)
    for where, new_text in changes:
        document.replace(new_text, where)
        naive.replace(new_text, where)
        assert document.text == naive.text
        assert document.line_count == len(split_lines(naive.text))
        for place in (where.end, where.start):
            assert document.offset_at(place) == naive.offset_at(place)
            assert document.offset_at(document.clamp(place)) == naive.offset_at(place)


@given(texts, encodings, positions)
def test_positions_mean_the_offset_that_a_naive_document_finds(
    text: str, encoding: PositionEncoding, position: Position
) -> None:
    document = Document(text, encoding=encoding)
    offset = NaiveDocument(text, encoding).offset_at(position)
    assert document.offset_at(position) == offset
    assert document.prefix(position, 1000) == text[:offset]
    assert document.suffix(position, 1000) == text[offset:]
    assert document.suffix(position, 3) == text[offset : offset + 3]


@given(texts, encodings, st.data())
def test_an_offset_survives_the_way_to_a_position_and_back(
    text: str, encoding: PositionEncoding, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    document = Document(text, encoding=encoding)
    inside_line_end = text[offset - 1 : offset + 1] == "\r\n" and offset > 0
    assert document.offset_at(document.position_at(offset)) == offset - inside_line_end


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_an_emoji_takes_the_code_units_of_the_encoding(encoding: PositionEncoding, character: int) -> None:
    document = Document("🎉x", encoding=encoding)
    assert document.offset_at(Position(0, character)) == 1
    assert document.position_at(1) == Position(0, character)


def test_a_position_between_two_surrogates_is_before_their_character() -> None:
    assert Document("a🎉b").offset_at(Position(0, 2)) == 1


def test_a_position_past_the_end_is_the_end() -> None:
    document = Document("one\r\ntwo")
    assert document.offset_at(Position(0, 99)) == 3
    assert document.offset_at(Position(9, 0)) == 8
    assert document.clamp(Position(9, 9)) == Position(1, 3)


def test_an_empty_document_has_one_empty_line() -> None:
    document = Document("")
    assert (document.line_count, document.line(0)) == (1, "")
    document.replace("x", Range(Position(0, 0), Position(0, 0)))
    assert document.text == "x"


def test_the_line_after_the_last_line_end_is_a_place_of_its_own() -> None:
    document = Document("a\n")
    assert document.prefix(Position(1, 0), 100) == "a\n"
    document.replace("b", Range(Position(1, 0), Position(1, 0)))
    assert document.text == "a\nb"


def test_a_form_feed_and_a_line_separator_end_no_line() -> None:
    document = Document("a\fb\u2028c\nd")
    document.replace("X", Range(Position(1, 0), Position(1, 1)))
    assert document.text == "a\fb\u2028c\nX"


def test_replacing_everything_needs_no_range() -> None:
    document = Document("a\nb")
    document.replace("c\r\n")
    assert (document.text, document.line_count) == ("c\r\n", 2)


def test_the_word_before_the_cursor_is_found_with_its_start() -> None:
    document = Document("x = 🎉 naïve_1(")
    assert document.word_before(Position(0, 14)) == (Position(0, 7), "naïve_1")
    assert document.word_before(Position(0, 15)) == (Position(0, 15), "")


def test_a_long_prefix_keeps_its_start_while_the_user_types() -> None:
    document = Document("".join(f"line {number}\n" for number in range(1000)))
    before = document.prefix(Position(1000, 0), 500)
    assert 500 <= len(before) < 1000
    assert document.text.endswith(before)
    assert before.startswith("line ")
    document.replace("more", Range(Position(1000, 0), Position(1000, 0)))
    assert document.prefix(Position(1000, 4), 500) == before + "more"


def test_a_long_line_does_not_make_a_long_prefix() -> None:
    document = Document("x" * 100_000)
    assert 500 <= len(document.prefix(Position(0, 99_999), 500)) < 1000
    assert len(document.suffix(Position(0, 10), 500)) == 500


@given(texts, texts, encodings, st.data())
def test_an_edit_ends_where_its_text_does(
    text: str, inserted: str, encoding: PositionEncoding, data: st.DataObject
) -> None:
    document = Document(text, encoding=encoding)
    start = data.draw(st.integers(0, len(text)))
    place = document.position_at(start)
    start = document.offset_at(place)
    end = document.replace(inserted, Range(place, place))
    assert document.text == text[:start] + inserted + text[start:]
    assert end == document.position_at(start + len(inserted))


def test_what_follows_on_a_line_ends_before_its_line_end() -> None:
    document = Document("a🎉b\r\nc")
    assert document.rest_of_line(Position(0, 1)) == "🎉b"
    assert document.rest_of_line(Position(0, 4)) == ""


@given(texts, encodings)
def test_code_units_are_what_the_encoding_makes_of_a_text(text: str, encoding: PositionEncoding) -> None:
    naive = NaiveDocument(text, encoding)
    assert code_units(text, encoding) == len(text.encode(naive.codec)) // naive.unit
