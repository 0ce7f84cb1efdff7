"""Files that are edited: read as they are, written back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.files import CommandError
from lsp_server.terminal.files import MAX_BYTES, NotSaved, OpenFile, open_file

WINDOWS = b"\xef\xbb\xbfa\r\n\tb = '\xf0\x9f\x8e\x89'\r\nno end"


@pytest.mark.parametrize("data", [WINDOWS, b"", b"a\n", b"a\nb", b"a\r\nb\n"])
def test_a_file_that_is_saved_unchanged_has_the_same_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    file = open_file(str(path))
    assert not file.text.startswith("\ufeff")
    file.save(file.text)
    assert path.read_bytes() == data


def test_a_missing_file_is_a_new_one_with_that_name(tmp_path: Path) -> None:
    file = open_file(str(tmp_path / "new.rs"))
    assert (file.text, file.language) == ("", "rust")
    file.save("fn main() {}\n")
    assert (tmp_path / "new.rs").read_bytes() == b"fn main() {}\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\0b", "null bytes"),
        (b"a\rb\r", "carriage return"),
        (b"x" * (MAX_BYTES + 1), "larger than 1 MB"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(CommandError, match=words) as refusal:
        open_file(str(path))
    assert "\n" not in str(refusal.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is a folder"):
        open_file(str(tmp_path))
    with pytest.raises(CommandError, match="can't be read"):
        open_file("a\0b")


def test_a_file_that_can_t_be_written_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match="your text is safe"):
        OpenFile("a.py", tmp_path / "no folder" / "a.py").save("text")
    path = tmp_path / "a.py"
    path.write_text("before")
    with pytest.raises(NotSaved, match="half a character"):
        OpenFile("a.py", path).save("\ud83c")
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a.tsx", "", "typescriptreact"),
        ("a.sh", "", "shellscript"),
        ("a.cs", "", "csharp"),
        ("a.txt", "", "plaintext"),
        ("notes", "", "plaintext"),
        ("run", "#!/bin/sh\n", "shellscript"),
    ],
)
def test_the_server_is_told_the_language_as_by_any_editor(name: str, text: str, language: str) -> None:
    assert OpenFile(name, text=text).language == language
