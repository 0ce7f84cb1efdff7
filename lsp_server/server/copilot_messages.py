"""What Copilot's clients say and want to be told, where that is not LSP.

copilot ▶ **copilot_messages** ▶ {completion, protocol}. Newer clients speak LSP with a few messages more,
older ones a protocol that was there before. What stands here was read off copilot.lua and copilot.el, and off
the README of Copilot's language server. In JSON the fields' names are in camelCase.
"""

from __future__ import annotations

from typing import Any

import attrs
from lsprotocol import types

from lsp_server.completion import Suggestion, Target
from lsp_server.document import Range
from lsp_server.protocol import StatusParams, lsp_position, lsp_range
from lsp_server.server.client_facts import said


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


def chosen_model(params: object) -> str:
    """The model that the user has chosen by ``workspace/didChangeConfiguration``; nothing where none is."""
    name = said(params, "settings", "github", "copilot", "selectedCompletionModel")
    return name if isinstance(name, str) else ""


def completion(suggestion: Suggestion, target: Target, version: int) -> dict[str, object]:
    """A completion for ``getCompletions``: `text` replaces `range`, `displayText` is what is new of it."""
    text = suggestion.piece.text
    return {
        "uuid": suggestion.id,
        "text": target.typed + text,
        "displayText": text,
        "position": lsp_position(target.where.end),
        "range": lsp_range(target.covering(suggestion.piece)),
        "docVersion": version,
    }


def solution(suggestion: Suggestion, target: Target, panel: str, score: int) -> dict[str, object]:
    """A ``PanelSolution``: `completionText` replaces `range`, `displayText` begins with the line so far."""
    text = suggestion.piece.text
    return {
        "panelId": panel,
        "solutionId": suggestion.id,
        "completionText": text,
        "displayText": target.typed + text,
        "range": lsp_range(Range(target.where.end, target.covering(suggestion.piece).end)),
        "score": score,
    }


def model(name: str, default: str) -> dict[str, object]:
    """One of the answer to ``copilot/models``."""
    return {
        "id": name,
        "modelName": name,
        "modelFamily": name,
        "scopes": ["completion"],
        "preview": False,
        "default": name == default,
    }


def server_status(status: StatusParams) -> dict[str, object]:
    """``didChangeStatus`` and the older ``statusNotification``, from what ``fimble/status`` tells."""
    kind = "Normal" if status.enabled else "Inactive"
    if status.state == "error":
        kind = "Error"
    busy = kind == "Normal" and status.state != "ready"
    return {
        "kind": kind,
        "busy": busy,
        "status": "InProgress" if busy else kind,
        "message": status.message or "",
    }
