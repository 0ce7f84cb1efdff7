"""`fimble try` with a server that knows what is to be written.

    python -m tests.e2e.knowing FILE     the editor
    python -m tests.e2e.knowing          its server; `serve` and more may be said as to `fimble`

The server is `fimble serve` but for the model: that writes `TARGET`, wherever the text is the beginning of
it, and something else when it is drawn from.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator

from lsp_server.cli.main import main
from lsp_server.client import ChildServer, Connection
from lsp_server.terminal import edit, open_file
from model_runtime.api import Chunk, CompletionRequest, LoadProgress, ModelInfo, ModelOptions

TARGET = "def area(width, height):\n    return width * height\n\n\nprint('🎉', area(3, 4))\n"


class Knowing:
    """A backend that knows what is to be written."""

    def __init__(self, options: ModelOptions) -> None:
        self._info = ModelInfo("knowing", "none", 0, 2048, "cpu", "fp32", fill_in_the_middle=True)

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        return self._info

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        if request.seed is not None:
            yield Chunk(f"value{request.seed}\n", "stop")
        elif TARGET.startswith(request.prefix):
            for character in TARGET[len(request.prefix) :]:
                yield Chunk(character)
                await asyncio.sleep(0)
        yield Chunk("", "stop")

    async def close(self) -> None:
        pass


async def connect() -> Connection:
    """Start the server."""
    pipe = asyncio.subprocess.PIPE
    return ChildServer(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.knowing", stdin=pipe, stdout=pipe, stderr=pipe
        )
    )


if __name__ == "__main__":
    words = sys.argv[1:] or ["serve"]
    if words[0] == "serve":
        sys.exit(main(words, Knowing))
    edit(open_file(words[0]), connect)
