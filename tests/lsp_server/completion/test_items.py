"""Items have the line ends of their document."""

from __future__ import annotations

import pytest

from lsp_server.completion.items import Target
from lsp_server.completion.session import Suggestion
from lsp_server.document import Document, Position
from lsp_server.trimming import Piece

SUGGESTION = Suggestion("1", Piece("a()\n    b()"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if x:\r\n    \r\n", "a()\r\n    b()"),
        ("if x:\n    \n", "a()\n    b()"),
        ("    ", "a()\n    b()"),
        ("if x:\r    \r", "a()\r    b()"),
    ],
)
def test_an_items_lines_end_as_the_documents(text: str, expected: str) -> None:
    document = Document(text)
    cursor = Position(document.line_count // 2, 4)
    assert Target.inline(document, cursor, None).inline_item(SUGGESTION).insert_text == expected
    popup = Target.word(document, cursor).popup_item(SUGGESTION)
    assert popup.text_edit is not None
    assert popup.text_edit.new_text == expected
    assert popup.documentation == "a()\nb()" or "\n    b()" in str(popup.documentation)
