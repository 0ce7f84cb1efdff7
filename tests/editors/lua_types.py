"""The types of a folder of Lua, checked by EmmyLua's language server, of which we are an editor."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lsp_server.client import ChildServer

_WORST: Final = 2  # DiagnosticSeverity: errors and warnings; what is less is a matter of taste
_CAPABILITIES: Final[Mapping[str, object]] = {
    "textDocument": {"diagnostic": {}},
    "workspace": {"diagnostics": {}},  # without it nothing is ever indexed
    "window": {"workDoneProgress": True},
}


async def findings(program: Path, folder: Path, runtime: str) -> list[str]:
    """A line for each; `runtime` is the folder with Neovim's own Lua, which ``.emmyrc.json`` names."""
    files = await asyncio.to_thread(lambda: sorted(folder.rglob("*.lua")))
    environment = {**os.environ, "VIMRUNTIME": runtime}
    process = await asyncio.create_subprocess_exec(
        str(program), "--log-level", "error", env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    server = ChildServer(process)
    indexed = asyncio.Event()

    def progressed(params: Any) -> None:
        if params["value"]["kind"] == "end":
            indexed.set()

    server.on_notification("$/progress", progressed)
    try:
        root = {"uri": folder.as_uri(), "name": folder.name}
        introduction = {"processId": os.getpid(), "rootUri": root["uri"], "workspaceFolders": [root]}
        await server.ask("initialize", {**introduction, "capabilities": _CAPABILITIES})
        server.notify("initialized", {})
        await indexed.wait()
        found: list[str] = []
        for file in files:
            answer = await server.ask("textDocument/diagnostic", {"textDocument": {"uri": file.as_uri()}})
            found += _lines(file, answer["items"])
        return found
    finally:
        await server.stop()


def _lines(file: Path, diagnostics: list[Any]) -> Iterator[str]:
    for one in diagnostics:
        if one["severity"] <= _WORST:
            place = one["range"]["start"]
            yield f"{file}:{place['line'] + 1}:{place['character'] + 1}: {one['message']} ({one['code']})"
