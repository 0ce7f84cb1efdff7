"""``fimble complete``: one completion, printed as it comes.

cli ▶ **complete** ▶ session ▶ model_runtime.api.
"""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TextIO

from lsp_server.session import stream_completion
from lsp_server.trim import Trim
from model_runtime.api import Backend, CompletionRequest, Usage


@dataclass(frozen=True)
class Record:
    """What ``--json`` prints: the text and its cost, in milliseconds from when the model was loaded.

    `first_token_ms` is None where there is no text, and the token counts are where the backend tells none.
    """

    text: str
    first_token_ms: float | None
    total_ms: float
    prompt_tokens: int | None
    reused_tokens: int | None
    decoded_tokens: int | None
    model: str

    def to_json(self) -> str:
        """The record on one line."""
        return json.dumps(vars(self), ensure_ascii=False)


async def complete(
    backend: Backend, request: CompletionRequest, trim: Trim | None, out: TextIO | None
) -> Record:
    """Run one completion; each piece of its text is written to `out`, if given, as it comes.

    Raises:
        BackendError: the model cannot be used.
    """
    model = await backend.load()
    started = time.perf_counter()
    first_ms: float | None = None
    text = ""
    usage: Usage | None = None
    async with aclosing(stream_completion(backend, request, trim)) as stream:
        async for progress in stream:
            if first_ms is None and progress.text:
                first_ms = _milliseconds_since(started)
            if out is not None:
                out.write(progress.text[len(text) :])
                out.flush()
            text, usage = progress.text, progress.usage
    return Record(
        text=text,
        first_token_ms=first_ms,
        total_ms=_milliseconds_since(started),
        prompt_tokens=usage.prompt_tokens if usage else None,
        reused_tokens=usage.reused_tokens if usage else None,
        decoded_tokens=usage.decoded_tokens if usage else None,
        model=model.name,
    )


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
