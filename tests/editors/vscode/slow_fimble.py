"""A `fimble` whose model is slow and always says the same, for what a quick one does in a blink.

    python tests/editors/vscode/slow_fimble.py serve

Everything but the model is the real server.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # works from a checkout that is not installed

from lsp_server.cli.main import main
from model_runtime.api import Chunk, CompletionRequest, LoadProgress, ModelInfo

TEXT: Final = "if item is None:\n            continue\n        result += item\n"
SECONDS: Final = 0.3  # for each word; what a page shows of it must be seen on busy cores, too


class SlowBackend:
    """Writes `TEXT`, or what is left of it, word by word."""

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        """Loaded at once."""
        return ModelInfo("slow", "none", 1, 2048, "cpu", "fp32", fill_in_the_middle=True)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """The part of the text that does not stand before the cursor already."""
        written = next((size for size in range(len(TEXT), 0, -1) if request.prefix.endswith(TEXT[:size])), 0)
        for word in re.findall(r"\S+\s*", TEXT[written:]):
            yield Chunk(word)
            await asyncio.sleep(SECONDS)
        yield Chunk("", "stop")

    async def close(self) -> None:
        """Nothing is open."""


if __name__ == "__main__":
    sys.exit(main(open_backend=lambda options: SlowBackend()))
