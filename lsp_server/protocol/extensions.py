"""Message types that extend LSP; see ``docs/protocol.md``.

They are attrs classes, as in lsprotocol; JSON has their fields in camelCase and omits those that are None.
Messages that only Copilot clients send are in `lsp_server.server.copilot_messages`.
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
    """``textDocument/inlineCompletion``; a `partial_result_token` requests partial results."""

    partial_result_token: types.ProgressToken | None = None


@attrs.define
class CompletionUsage:
    """Tokens that the model has processed since the last answer with a `usage`."""

    prompt_tokens: int
    reused_tokens: int
    decoded_tokens: int


@attrs.define
class InlineCompletionList(types.InlineCompletionList):
    """The answer. Clients that declare ``experimental.fimbleSource`` also get its `source` and `usage`."""

    source: Literal["memory", "model"] | None = None
    usage: CompletionUsage | None = None


@attrs.define
class DidFocusParams:
    """``textDocument/didFocus``."""

    text_document: types.TextDocumentIdentifier


@attrs.define
class SentItem:
    """A completion item that a client refers to; only its command is needed."""

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
    """``fimble/status``; `share` is the progress of loading, from 0 to 1.

    `detail` says in one line what computes the model and the memory that it takes.
    """

    state: Literal["loading", "ready", "generating", "error"]
    enabled: bool
    model: str | None = None
    share: float | None = None
    message: str | None = None
    detail: str | None = None
