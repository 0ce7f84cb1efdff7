"""A real process with a model that mostly writes broken characters, none of which reaches an editor."""

from __future__ import annotations

from pathlib import Path
from unicodedata import category

from tests.e2e.child import Child
from tests.lsp_server.fakes import Editor
from tests.model_runtime.factory import write_checkpoint

LINES = ("# 日本語", 'x = "日本語', "# 👩\u200d💻 ", "# e\u0301", "# مرحبا ", "", "# नमस्ते ", "for x in ")


async def texts(editor: Editor, line: int, character: int) -> list[str]:
    """All texts of all items that are shown at a place, while they grow and in the end."""
    params = {
        "textDocument": {"uri": "file:///a.py"},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1},  # by hand: several that differ
        "partialResultToken": line,
    }
    result = await editor.request("textDocument/inlineCompletion", params)
    shown = [one["value"] for one in await editor.seen("$/progress", 0) if one["token"] == line]
    return [item["insertText"] for value in (*shown, result) for item in value["items"]]


async def test_no_item_of_a_model_that_writes_broken_characters_holds_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ascii_only=False, seed=1)
    async with await Child.start("--model", str(tmp_path)) as child:
        await child.editor.start(initializationOptions={"maxTokens": 32})
        document = "\n".join(LINES)
        child.editor.open(document, language="plaintext")
        found = "".join(
            [text for at, line in enumerate(LINES) for text in await texts(child.editor, at, len(line))]
        )
        assert await child.quit() == 0
    new = set(found) - set(document) - {"\t"}
    assert new
    assert not {
        character for character in new if character == "\ufffd" or category(character) in ("Cc", "Cf")
    }
