"""Message types of Copilot's protocol beyond LSP.

Newer clients use LSP with a few extra messages, older ones an earlier protocol. The types follow copilot.lua,
copilot.el and the README of Copilot's language server. JSON has the field names in camelCase.
"""

from __future__ import annotations

from typing import Any

import attrs
from lsprotocol import types

from lsp_server.completion import Suggestion, Target
from lsp_server.document import Range
from lsp_server.protocol import StatusParams, lsp_position, lsp_range
from lsp_server.server.client_facts import lookup


@attrs.define
class AskedDocument:
    """The document and position of a completion request; `version` is the client's document version."""

    uri: str
    position: types.Position
    version: int = 0


@attrs.define
class DocumentParams:
    """``getCompletions``, ``getCompletionsCycling`` and ``getPanelCompletions``, which has a `panel_id`."""

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
    """The model selected in the parameters of ``workspace/didChangeConfiguration``, or an empty string."""
    name = lookup(params, "settings", "github", "copilot", "selectedCompletionModel")
    return name if isinstance(name, str) else ""


def completion(suggestion: Suggestion, target: Target, version: int) -> dict[str, object]:
    """A completion for ``getCompletions``: `text` replaces `range`, `displayText` is its new part."""
    return {
        "uuid": suggestion.id,
        "text": target.typed + target.text_of(suggestion.piece),
        "displayText": suggestion.piece.text,
        "position": lsp_position(target.where.end),
        "range": lsp_range(target.covering(suggestion.piece)),
        "docVersion": version,
    }


def solution(suggestion: Suggestion, target: Target, panel: str, score: int) -> dict[str, object]:
    """A ``PanelSolution``: `completionText` replaces `range`, `displayText` begins with the line so far."""
    return {
        "panelId": panel,
        "solutionId": suggestion.id,
        "completionText": target.text_of(suggestion.piece),
        "displayText": target.typed + suggestion.piece.text,
        "range": lsp_range(Range(target.where.end, target.covering(suggestion.piece).end)),
        "score": score,
    }


def model(name: str, default: str) -> dict[str, object]:
    """An entry in the answer to ``copilot/models``."""
    return {
        "id": name,
        "modelName": name,
        "modelFamily": name,
        "scopes": ["completion"],
        "preview": False,
        "default": name == default,
    }


def server_status(status: StatusParams) -> dict[str, object]:
    """``didChangeStatus`` and the older ``statusNotification``, from the parameters of ``fimble/status``."""
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
