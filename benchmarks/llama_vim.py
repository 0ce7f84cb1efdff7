"""llama.cpp's server, driven as llama.vim drives it: what its users have, key by key.

It follows the plugin's source (autoload/llama.vim at a1c8e6e, January 2026): what is sent and when, what is
kept, what is shown. Two things are kinder than the plugin: requests go over HTTP without a curl process for
each, and no chunks of other places are sent along, so that prompts are shorter.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lsp_server.bench.typist import Keystroke, Watch
from lsp_server.document import Document
from model_runtime.api import Usage

PREFIX_LINES, SUFFIX_LINES = 256, 64
PREDICTED_TOKENS = 128
MOST_RIGHT_OF_CURSOR = 8
FIRST_MS, SPECULATIVE_MS = 250, 1000
"""How long a server may write: at a new place, and after what is shown already."""

BUSY_SECONDS = 0.1
"""How long a request waits while another one runs."""

CACHED, LOOKED_BACK = 250, 128
TRIMMED_LINES = 3

BATCH = 1024


def server_options(context: int) -> tuple[str, ...]:
    """How the plugin's page says the server is to be started, for a model with a `context` of so many tokens.

    The server fills the batch with text, so that of a small context it is only the part that leaves room to
    write in: else every request in a long file is refused.
    """
    batch = str(min(BATCH, context - PREDICTED_TOKENS))
    return "-c", "0", "-b", batch, "-ub", batch, "--cache-reuse", "256"


Post = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Sends a body to a path of the server and returns its answer."""


@dataclass(frozen=True)
class _Context:
    """What stands around a place, in the plugin's terms."""

    prefix: str
    middle: str
    suffix: str
    indent: int
    right: str  # of the cursor, on its line

    @property
    def key(self) -> tuple[str, str]:
        return self.prefix + self.middle, self.suffix

    def keys(self) -> list[tuple[str, str]]:
        """Also for the same place with its first lines gone, as after scrolling."""
        keys, prefix = [self.key], self.prefix
        for _ in range(TRIMMED_LINES):
            prefix = prefix.partition("\n")[2]
            if not prefix:
                break
            keys.append((prefix + self.middle, self.suffix))
        return keys


class LlamaVim:
    """The plugin's side of a typing session; an `Assistant`."""

    def __init__(self, post: Post, watch: Watch) -> None:
        self._post = post
        self._watch = watch
        self._lines: list[str] = [""]
        self._x = self._y = 0  # the cursor, both from 0
        self._cache: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._job: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._shown: list[str] = []  # the hint on the screen
        self._can_accept = False
        self._indent = 0
        self._idle = asyncio.Event()
        self._error: BaseException | None = None

    def opened(self, text: str) -> None:
        """See `Assistant.opened`."""
        self._lines = text.split("\n")

    def pressed(self, key: Keystroke, text: str) -> None:
        """See `Assistant.pressed`: the cursor has moved in insert mode."""
        document = Document(text, encoding="utf-32")
        position = document.position_at(key.cursor)
        self._lines = [document.line(number) for number in range(document.line_count)]
        self._x, self._y = position.character, position.line
        self._shown, self._can_accept = [], False
        self._try_hint()
        self._complete([])
        self._look()

    async def wait_idle(self) -> None:
        """See `Assistant.wait_idle`: no request runs and none waits for its turn."""
        await self._idle.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """See `Assistant.close`."""
        if self._timer is not None:
            self._timer.cancel()
        if self._job is not None:
            self._job.cancel()

    def _complete(self, shown: list[str]) -> None:
        """Ask for what follows the cursor, or what follows `shown` there, unless that is known."""
        if self._job is not None:
            if self._timer is not None:
                self._timer.cancel()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(BUSY_SECONDS, self._again, shown)
            return
        context = self._context(shown)
        if len(context.right) > MOST_RIGHT_OF_CURSOR:
            return
        keys = context.keys()
        if any(self._cached(key) is not None for key in keys):
            return
        self._indent = context.indent
        request = self._ask(context, keys, SPECULATIVE_MS if shown else FIRST_MS)
        self._job = asyncio.get_running_loop().create_task(request)

    def _again(self, shown: list[str]) -> None:
        self._timer = None
        self._complete(shown)
        self._look()

    async def _ask(self, context: _Context, keys: list[tuple[str, str]], milliseconds: int) -> None:
        body = {
            "id_slot": 0,
            "input_prefix": context.prefix,
            "input_suffix": context.suffix,
            "input_extra": [],
            "prompt": context.middle,
            "n_predict": PREDICTED_TOKENS,
            "stop": [],
            "n_indent": context.indent,
            "top_k": 40,
            "top_p": 0.90,
            "samplers": ["top_k", "top_p", "infill"],
            "stream": False,
            "cache_prompt": True,
            "t_max_prompt_ms": 500,
            "t_max_predict_ms": milliseconds,
            "response_fields": ["content", "timings/prompt_n", "timings/predicted_n", "tokens_evaluated"],
        }
        try:
            answer = await asyncio.to_thread(self._post, "/infill", body)
        except Exception as error:
            self._error = error
            self._idle.set()
            return
        prompt, computed = answer["tokens_evaluated"], answer["timings/prompt_n"]
        self._watch.computed(Usage(prompt, prompt - computed, answer["timings/predicted_n"]))
        for key in keys:
            self._keep(key, answer["content"])
        if not self._shown or not self._can_accept:
            self._try_hint()
        self._job = None  # only now: what the hint would have asked for waits like all else
        self._look()

    def _context(self, shown: list[str]) -> _Context:
        """What stands around the cursor, as if `shown` stood there already."""
        y, line = self._y, self._lines[self._y]
        before, right = line[: self._x], line[self._x :]
        above = self._lines[max(0, y - PREFIX_LINES) : y]
        indent = len(line) - len(line.lstrip())
        if shown:
            if len(shown) > 1:
                above = [*self._lines[max(0, y - PREFIX_LINES + len(shown) - 1) : y], line + shown[0]]
                above += shown[1:-1]
            before, right = line + shown[0] if len(shown) == 1 else shown[-1], ""
            indent = self._indent
        elif not line.strip():
            before, right, indent = "", "", 0
        below = self._lines[y + 1 : y + 1 + SUFFIX_LINES]
        prefix, suffix = "\n".join(above) + "\n", right + "\n" + "\n".join(below) + "\n"
        return _Context(prefix, before, suffix, indent, right)

    def _try_hint(self) -> None:
        """Show what is known of this place, or of one a little before it if what was typed since agrees."""
        before, suffix = self._context([]).key
        content = self._cached((before, suffix))
        if content is None:
            for back in range(1, min(LOOKED_BACK, len(before)) + 1):
                known = self._cached((before[:-back], suffix))
                if known and known.startswith(before[-back:]) and len(known) > len(content or "") + back:
                    content = known[back:]
        if content is None:
            return
        self._render(content)
        self._complete(self._shown)

    def _render(self, content: str) -> None:
        """Show `content`, unless it repeats what stands there."""
        shown = content.split("\n")
        while shown and shown[-1] == "":
            shown.pop()
        shown = shown or [""]
        line = self._lines[self._y]
        if not line.strip():
            lead = min(len(shown[0]) - len(shown[0].lstrip()), len(line))
            line, shown[0] = shown[0][:lead], shown[0][lead:]
        before, right = line[: self._x], line[self._x :]
        if self._repeats(shown, before, right):
            shown = [""]
        text = "\n".join(shown)
        shown[-1] += right
        self._shown, self._can_accept = shown, bool("\n".join(shown).strip())
        if self._can_accept and text.strip():
            self._watch.show(text)

    def _repeats(self, shown: list[str], before: str, right: str) -> bool:
        """Whether a hint says again what follows the cursor."""
        lines, y = self._lines, self._y
        if len(shown) > 1 and shown[0] == "" and shown[1:] == lines[y + 1 : y + len(shown)]:
            return True
        if shown == [right]:
            return True
        next_ = y + 1
        while next_ < len(lines) - 1 and not lines[next_].strip():
            next_ += 1
        if next_ >= len(lines) or before + shown[0] != lines[next_]:
            return False
        if len(shown) == 1:
            return True
        if len(shown) == 2:
            return lines[next_ + 1 : next_ + 2] != [] and lines[next_ + 1].startswith(shown[1])
        return shown[1:] == lines[next_ + 1 : next_ + len(shown)]

    def _look(self) -> None:
        """Say what has come to an end: the newest key's answer, or all work."""
        waiting = self._job is not None or self._timer is not None
        if self._watch.keys and self._watch.keys[-1].answered is None and (self._can_accept or not waiting):
            self._watch.answered()
        if waiting:
            self._idle.clear()
        else:
            self._idle.set()

    def _cached(self, key: tuple[str, str]) -> str | None:
        if key in self._cache:
            self._cache.move_to_end(key)
        return self._cache.get(key)

    def _keep(self, key: tuple[str, str], content: str) -> None:
        self._cache[key] = content
        self._cache.move_to_end(key)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
