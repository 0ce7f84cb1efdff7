"""`fimble serve` in a child process, with an `Editor` at the other end of its pipes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.lsp_server.fakes import Editor

ROOT = Path(__file__).parents[2]
FIMBLE = (sys.executable, "-m", "lsp_server")


class Child:
    """A server's process; leaving the context ends it, and it is an error if it can't be ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.editor = Editor(process.stdout, process.stdin.write)

    @classmethod
    async def start(cls, *arguments: str, module: str = "lsp_server", **how: Any) -> Child:
        """Start `fimble serve` with `arguments`; what `module` runs takes the place of `fimble`.

        `how` is for `asyncio.create_subprocess_exec`.
        """
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, "serve", *arguments),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=ROOT,
                **how,
            )
        )

    async def quit(self) -> int:
        """Shut the server down as LSP asks; its exit status."""
        await self.editor.request("shutdown")
        self.editor.notify("exit")
        return await self.process.wait()

    async def __aenter__(self) -> Child:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.editor.closed()
