"""Somebody edits a real file: what a model is asked at each key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from model_runtime.api import CompletionRequest

FILE = Path(__file__).parents[3] / "model_runtime" / "prompting" / "prompt.py"


def typing_session(keys: int, request: CompletionRequest) -> Iterator[CompletionRequest]:
    """Type so many keys in the middle of a file; every 7th is a wrong one, and is taken back at once.

    Half-way the cursor jumps to a place further down. Each key is a request like `request`.
    """
    text = FILE.read_text(encoding="utf-8")
    for start in (3000, 5000):
        for typed in range(keys // 2):
            at = start + typed
            if typed % 7 == 6:
                yield replace(request, prefix=text[:at] + "#", suffix=text[start + keys :])
            yield replace(request, prefix=text[:at], suffix=text[start + keys :])
