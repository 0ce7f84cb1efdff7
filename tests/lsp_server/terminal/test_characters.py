"""Characters as a terminal shows them and a person counts them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lsp_server.terminal.characters import (
    boundaries,
    column_at_cell,
    column_at_drawn,
    drawn,
    step_left,
    step_right,
    width,
    word_left,
    word_right,
)

FAMILY = "👨\u200d👩\u200d👧"


@pytest.mark.parametrize(
    ("character", "units"), [("e\u0301", 2), ("👍🏽", 2), (FAMILY, 5), ("🇩🇪", 2), ("❤\ufe0f", 2), ("漢", 1)]
)
def test_the_cursor_never_stands_inside_what_a_person_takes_for_one_character(
    character: str, units: int
) -> None:
    line = f"a{character}b"
    assert boundaries(line) == [0, 1, 1 + units, 2 + units]
    assert step_right(line, 1) == 1 + units
    assert step_left(line, 1 + units) == 1


def test_two_flags_are_two_characters() -> None:
    assert boundaries("🇩🇪🇫🇷") == [0, 2, 4]


def test_tabs_go_to_the_next_stop() -> None:
    assert drawn("\ta\tb") == "    a   b"
    assert drawn("\tb", cell=2) == "  b"
    assert (width("\ta\tb"), width("漢字")) == (9, 4)


def test_nothing_in_a_text_moves_the_terminal_s_cursor_or_hides() -> None:
    assert drawn("a\x1b[2Jb\x0c\u202ec\u200bd\x85") == "a�[2Jb��c�d�"
    assert drawn(f"e\u0301 {FAMILY} ❤\ufe0f") == "e\u0301 👨👩👧 ❤"


def test_a_cell_and_a_drawn_character_have_a_place_in_the_text() -> None:
    assert [column_at_cell("漢\tb", cell) for cell in (0, 1, 2, 3, 4, 5, 9)] == [0, 0, 1, 1, 2, 3, 3]
    assert [column_at_drawn("\tb", index) for index in (0, 3, 4, 5, 9)] == [0, 0, 1, 2, 2]


def test_words_end_where_a_person_thinks() -> None:
    line = "  self.area(größe)"
    places = [0]
    while places[-1] < len(line):
        places.append(word_right(line, places[-1]))
    assert [line[a:b] for a, b in pairwise(places)] == [*("  self", ".", "area", "(", "größe", ")")]
    assert [word_left(line, column) for column in (6, 7, 8, 2, 0)] == [2, 6, 7, 0, 0]
