"""What goes over the wire beyond LSP: see ``docs/protocol.md``.

strict ▶ conversion ▶ **extensions**. attrs classes as lsprotocol's are, in JSON with names in camelCase and
without what is None. What only Copilot's clients say is in the server's `copilot_messages`.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs
from lsprotocol import types

ACCEPT: Final = "fimble.accept"
NEXT_MODEL: Final = "fimble.nextModel"
TOGGLE: Final = "fimble.toggle"
CLEAR_CACHE: Final = "fimble.clearCache"
COMMANDS: Final = (ACCEPT, NEXT_MODEL, TOGGLE, CLEAR_CACHE)

STATUS: Final = "fimble/status"
DID_FOCUS: Final = "textDocument/didFocus"
DID_SHOW: Final = "textDocument/didShowCompletion"
DID_ACCEPT_PART: Final = "textDocument/didPartiallyAcceptCompletion"


@attrs.define
class InlineCompletionParams(types.InlineCompletionParams):
    """``textDocument/inlineCompletion``; a `partial_result_token` asks for the text as it grows."""

    partial_result_token: types.ProgressToken | None = None


@attrs.define
class CompletionUsage:
    """What the model has computed since the last answer that told it, in tokens."""

    prompt_tokens: int
    reused_tokens: int
    decoded_tokens: int


@attrs.define
class InlineCompletionList(types.InlineCompletionList):
    """The answer; `source` and `usage` say where it came from and its cost, to clients that ask for that."""

    source: Literal["memory", "model"] | None = None
    usage: CompletionUsage | None = None


@attrs.define
class DidFocusParams:
    """``textDocument/didFocus``."""

    text_document: types.TextDocumentIdentifier


@attrs.define
class SentItem:
    """One of our items as clients give it back, with its command alone or with all else."""

    command: types.Command

    @property
    def id(self) -> object:
        """The item's id, or None."""
        return self.command.arguments[0] if self.command.arguments else None


@attrs.define
class DidShowCompletionParams:
    """``textDocument/didShowCompletion``."""

    item: SentItem


@attrs.define
class DidPartiallyAcceptCompletionParams:
    """``textDocument/didPartiallyAcceptCompletion``; the length counts UTF-16 units of the item's text."""

    item: SentItem
    accepted_length: int


@attrs.define
class StatusParams:
    """``fimble/status``; `share` goes from 0 to 1."""

    state: Literal["loading", "ready", "generating", "error"]
    enabled: bool
    model: str | None = None
    share: float | None = None
    message: str | None = None
