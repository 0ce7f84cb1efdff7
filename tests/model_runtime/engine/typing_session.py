"""The requests of a user who edits a real file, one per key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from model_runtime.api import CompletionRequest

FILE = Path(__file__).parents[3] / "model_runtime" / "prompting" / "prompt.py"


def typing_session(keys: int, request: CompletionRequest) -> Iterator[CompletionRequest]:
    """Type keys in the middle of a file; every 7th is preceded by a mistake that is deleted at once.

    Half-way the cursor jumps further down. Each key is a request like `request`.
    """
    text = FILE.read_text(encoding="utf-8")
    for start in (3000, 5000):
        for typed in range(keys // 2):
            at = start + typed
            if typed % 7 == 6:
                yield replace(request, prefix=text[:at] + "#", suffix=text[start + keys :])
            yield replace(request, prefix=text[:at], suffix=text[start + keys :])
