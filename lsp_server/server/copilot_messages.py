"""What Copilot's clients say and want to be told, where that is not LSP.

copilot ▶ **copilot_messages** ▶ {items, messages, fields}. Newer clients speak LSP with a few messages more,
older ones a protocol that was there before. What stands here was read off copilot.lua and copilot.el, and off
the README of Copilot's language server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsp_server.document import Position, Range
from lsp_server.protocol import ClientFacts, encode_range, field, position_in
from lsp_server.server.configuration import SECTION

if TYPE_CHECKING:  # an editor waits for the answer to `initialize`, which needs none of this
    from lsp_server.completion import Suggestion, Target


@dataclass(frozen=True)
class DocumentParams:
    """``getCompletions``, ``getCompletionsCycling`` and ``getPanelCompletions``.

    `version` is the client's own count of changes. `panel` names the window that solutions are shown in.
    """

    uri: str
    position: Position
    version: int
    panel: str

    @classmethod
    def decode(cls, params: object) -> DocumentParams:
        """From the request's parameters."""
        document = field(params, "doc", dict)
        return cls(
            uri=field(document, "uri", str),
            position=position_in(document, "position", "doc.position"),
            version=field(document, "version", int, 0),
            panel=field(params, "panelId", str, ""),
        )


def copilot_client(client: ClientFacts) -> ClientFacts:
    """`client` as one of Copilot's, of which much is known that they do not declare.

    They count in UTF-16 whatever they offer, and show ghost text. Their ``initializationOptions`` are meant
    for Copilot, but for the section that holds ours.
    """
    options = client.options.get(SECTION) if isinstance(client.options, Mapping) else None
    return replace(client, copilot=True, encoding="utf-16", inline_completion=True, options=options)


def decode_uuid(params: object) -> str:
    """Which completion ``notifyShown`` or ``notifyAccepted`` is about."""
    uuid: str = field(params, "uuid", str)
    return uuid


def decode_uuids(params: object) -> list[object]:
    """Which completions ``notifyRejected`` is about."""
    uuids: list[object] = field(params, "uuids", list)
    return uuids


def decode_length(params: object) -> int | None:
    """How many UTF-16 units of a completion's text ``notifyAccepted`` is about; None for all of it."""
    length: int | None = field(params, "acceptedLength", int, None)
    return length


def decode_chosen_model(params: object) -> str:
    """The model that the user has chosen by ``workspace/didChangeConfiguration``; nothing where none is."""
    value = params
    for key in ("settings", "github", "copilot", "selectedCompletionModel"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def encode_completion(suggestion: Suggestion, target: Target, version: int) -> dict[str, object]:
    """A completion for ``getCompletions``: `text` replaces `range`, `displayText` is what is new of it."""
    text = suggestion.piece.text
    return {
        "uuid": suggestion.id,
        "text": target.typed + text,
        "displayText": text,
        "position": encode_range(target.where)["end"],
        "range": encode_range(target.covering(suggestion.piece)),
        "docVersion": version,
    }


def encode_solution(suggestion: Suggestion, target: Target, panel: str, score: int) -> dict[str, object]:
    """A ``PanelSolution``: `completionText` replaces `range`, `displayText` begins with the line so far."""
    text = suggestion.piece.text
    return {
        "panelId": panel,
        "solutionId": suggestion.id,
        "completionText": text,
        "displayText": target.typed + text,
        "range": encode_range(Range(target.where.end, target.covering(suggestion.piece).end)),
        "score": score,
    }


def encode_model(name: str, default: str) -> dict[str, object]:
    """One of the answer to ``copilot/models``."""
    return {
        "id": name,
        "modelName": name,
        "modelFamily": name,
        "scopes": ["completion"],
        "preview": False,
        "default": name == default,
    }


def encode_status(status: Mapping[str, object]) -> dict[str, object]:
    """``didChangeStatus`` and the older ``statusNotification``, from the parameters of ``fimble/status``."""
    kind = "Normal" if status["enabled"] else "Inactive"
    if status["state"] == "error":
        kind = "Error"
    busy = kind == "Normal" and status["state"] != "ready"
    return {
        "kind": kind,
        "busy": busy,
        "status": "InProgress" if busy else kind,
        "message": status.get("message", ""),
    }
