"""Source files in a JSONL file: what training reads, and what evaluation draws tasks from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceFile:
    """One source file of a package."""

    package: str
    path: str
    text: str


def read_source_files(path: Path) -> Iterator[SourceFile]:
    """The files in a JSONL file with a line ``{"package", "path", "text"}`` each; only the text is required.

    Raises:
        ValueError, KeyError: a line is not JSON, or has no text.
    """
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield SourceFile(record.get("package", ""), record.get("path", ""), record["text"])
