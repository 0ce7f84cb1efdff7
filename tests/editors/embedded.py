"""A Neovim without a screen and with a server that a test plays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pynvim

from tests.editors.neovim import INIT, until

_FAKE = Path(__file__).parent / "fake_server.lua"


class Embedded:
    """Types keys into a real Neovim with the plugin, and answers for the server."""

    def __init__(
        self, program: Path, folder: Path, *, setup: str = "", before: str = "", text: str = ""
    ) -> None:
        init = folder / "init.lua"
        init.write_text(
            f'{INIT}\ndofile("{_FAKE.as_posix()}")\n{before}\nrequire("fimble").setup {{ {setup} }}\n',
            encoding="utf-8",
        )
        command = [str(program), "--embed", "--headless", "--clean", "-n", "-u", str(init)]
        self.rpc = pynvim.attach("child", argv=command)
        self.rpc.current.buffer[:] = text.split("\n")

    def press(self, keys: str) -> None:
        """Press keys by Neovim's names for them."""
        self.rpc.input(keys)

    def asked(self, number: int) -> None:
        """Wait until the server has been asked so often."""
        until(lambda: self.lua("return #fake.requests") >= number, f"request {number}", 5)

    def answer(self, texts: list[str] | None, *where: int | None) -> None:
        """Answer the newest request, or (start, stop, number) another one or for another place."""
        self.lua("fake.answer(...)", texts, *where)

    def grow(self, text: str, *where: int | None) -> None:
        """Send so much of an answer."""
        self.lua("fake.grow(...)", text, *where)

    def drawn(self) -> str | None:
        """The cursor's line with ghost text between ‹ and ›, and the lines drawn below; None for nothing."""
        return self.lua("return fake.drawn()")  # type: ignore[no-any-return]

    def draws(self, expected: str | None) -> None:
        """Wait until just this is drawn."""
        until(lambda: self.drawn() == expected, f"{expected!r}, but {self.drawn()!r}", 5)

    def said(self, *kinds: str) -> list[Any]:
        """What the plugin has told the server, of these kinds."""
        return [one[1] for one in self.lua("return fake.said") if one[0] in kinds]

    def lines(self) -> list[str]:
        """The text."""
        return list(self.rpc.current.buffer[:])

    def has(self, *lines: str) -> None:
        """Wait until this is the text."""
        until(lambda: self.lines() == list(lines), f"{lines}, but {self.lines()}", 5)

    def lua(self, code: str, *arguments: object) -> Any:
        """What `code` returns."""
        return self.rpc.exec_lua(code, *arguments)

    def close(self) -> None:
        """End it."""
        self.rpc.command("qall!", async_=True)
        self.rpc.close()

    def __enter__(self) -> Embedded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Start = Callable[..., Embedded]
