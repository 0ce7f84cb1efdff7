"""What Copilot's clients say and want to be told, where that is not LSP.

copilot ▶ **copilot_messages** ▶ {completion, protocol}. Newer clients speak LSP with a few messages more,
older ones a protocol that was there before. What stands here was read off copilot.lua and copilot.el, and off
the README of Copilot's language server. In JSON the names are in camelCase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from lsprotocol import types

from lsp_server.completion import Suggestion, Target
from lsp_server.document import Range
from lsp_server.protocol import StatusParams, lsp_position, lsp_range


@attrs.define
class AskedDocument:
    """Where a completion is wanted; `version` is the client's own count of changes."""

    uri: str
    position: types.Position
    version: int = 0


@attrs.define
class DocumentParams:
    """``getCompletions``, ``getCompletionsCycling`` and ``getPanelCompletions``, which names its window."""

    doc: AskedDocument
    panel_id: str = ""


@attrs.define
class ShownParams:
    """``notifyShown``."""

    uuid: str


@attrs.define
class AcceptedParams:
    """``notifyAccepted``; the length counts UTF-16 units of a completion's text, None means all of it."""

    uuid: str
    accepted_length: int | None = None


@attrs.define
class RejectedParams:
    """``notifyRejected``."""

    uuids: list[Any]


@attrs.define
class Completion:
    """Of the answer to ``getCompletions``: `text` replaces `range`, `display_text` is what is new of it."""

    uuid: str
    text: str
    display_text: str
    position: types.Position
    range: types.Range
    doc_version: int


@attrs.define
class CompletionsResult:
    """The answer to ``getCompletions`` and ``getCompletionsCycling``."""

    completions: Sequence[Completion]


@attrs.define
class Solution:
    """``PanelSolution``: `completion_text` replaces `range`, `display_text` begins with the line so far."""

    panel_id: str
    solution_id: str
    completion_text: str
    display_text: str
    range: types.Range
    score: int


@attrs.define
class PanelDone:
    """``PanelSolutionsDone``."""

    panel_id: str
    status: str


@attrs.define
class PanelResult:
    """The answer to ``getPanelCompletions``."""

    solution_count_target: int


@attrs.define
class Model:
    """Of the answer to ``copilot/models``."""

    id: str
    model_name: str
    model_family: str
    scopes: Sequence[str]
    preview: bool
    default: bool


@attrs.define
class ServerStatus:
    """``didChangeStatus`` and the older ``statusNotification``."""

    kind: str
    busy: bool
    status: str
    message: str


def chosen_model(params: object) -> str:
    """The model that the user has chosen by ``workspace/didChangeConfiguration``; nothing where none is."""
    value = params
    for key in ("settings", "github", "copilot", "selectedCompletionModel"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def completion(suggestion: Suggestion, target: Target, version: int) -> Completion:
    """`suggestion` for ``getCompletions``."""
    text = suggestion.piece.text
    return Completion(
        uuid=suggestion.id,
        text=target.typed + text,
        display_text=text,
        position=lsp_position(target.where.end),
        range=lsp_range(target.covering(suggestion.piece)),
        doc_version=version,
    )


def solution(suggestion: Suggestion, target: Target, panel: str, score: int) -> Solution:
    """`suggestion` for the window `panel`."""
    text = suggestion.piece.text
    return Solution(
        panel_id=panel,
        solution_id=suggestion.id,
        completion_text=text,
        display_text=target.typed + text,
        range=lsp_range(Range(target.where.end, target.covering(suggestion.piece).end)),
        score=score,
    )


def model(name: str, *, default: bool) -> Model:
    """The model of this name as clients list it."""
    return Model(name, name, name, scopes=["completion"], preview=False, default=default)


def server_status(status: StatusParams) -> ServerStatus:
    """What ``fimble/status`` tells, for Copilot's clients."""
    kind = "Normal" if status.enabled else "Inactive"
    if status.state == "error":
        kind = "Error"
    busy = kind == "Normal" and status.state != "ready"
    return ServerStatus(kind, busy, "InProgress" if busy else kind, status.message or "")
