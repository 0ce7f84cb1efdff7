"""Copilot's dialect: what its editors' clients ask for beyond LSP, so that they work with us unchanged.

workspace ▶ **copilot** ▶ {completing, copilot_messages, model_loading}. Documents, inline completion and what
becomes of it are answered by workspace as ever. Here are the older protocol's requests for the same, the
panel, the choice of a model, and signing in, for which nobody is asked: there is no account.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from lsp_server import __version__
from lsp_server.completion import Completing, Target
from lsp_server.protocol import StatusParams, StrictProtocol, position_of
from lsp_server.server.copilot_messages import (
    AcceptedParams,
    DocumentParams,
    RejectedParams,
    ShownParams,
    chosen_model,
    completion,
    model,
    server_status,
    solution,
)
from lsp_server.server.model_loading import DEFAULT_MODEL, model_setting, usable_models

_USER: Final = "fimble"  # who is always signed in
_SIGNED_IN: Final = {"status": "AlreadySignedIn", "user": _USER}
_ANSWERS: Final[Mapping[str, object]] = {
    "checkStatus": {"status": "OK", "user": _USER},
    "signIn": _SIGNED_IN,
    "signInInitiate": _SIGNED_IN,
    "signInConfirm": {"status": "OK", "user": _USER},
    "signOut": {"status": "NotSignedIn"},
    "getVersion": {"version": __version__},
    "setEditorInfo": "OK",
    "textDocument/copilotInlineEdit": {"edits": []},  # edits elsewhere than at the cursor are not ours
}
_NOTED: Final = "OK"


class Copilot:
    """Answers one of Copilot's clients. `use_model` takes the setting of the model that the user chooses."""

    def __init__(
        self, protocol: StrictProtocol, completing: Completing, use_model: Callable[[str | None], object]
    ) -> None:
        self._protocol = protocol
        self._completing = completing
        self._use_model = use_model
        self._told: dict[str, object] = {}
        for method, answer in _ANSWERS.items():
            protocol.on(method, _always(answer))
        protocol.on("getCompletions", self._first)
        protocol.on("getCompletionsCycling", self._several)
        protocol.on("getPanelCompletions", self._panel)
        protocol.on("notifyShown", self._shown)
        protocol.on("notifyAccepted", self._accepted)
        protocol.on("notifyRejected", self._rejected)
        protocol.on("copilot/models", self._models)

    async def configured(self, params: object) -> None:
        """Use the model that ``workspace/didChangeConfiguration`` names, if it is on this machine.

        Whoever used Copilot before may have chosen one of Copilot's. Clients say so themselves.
        """
        name = chosen_model(params)
        if name and name in await usable_models():
            self._use_model(model_setting(name))

    def tell_status(self, status: StatusParams) -> None:
        """Tell how the server is, where that is new; older clients listen to the one, newer to the other."""
        params = server_status(status)
        if params != self._told:
            self._told = params
            self._protocol.notify("statusNotification", params)
            self._protocol.notify("didChangeStatus", params)

    async def _first(self, params: DocumentParams) -> object:
        return await self._completions(params, invoked=False)

    async def _several(self, params: DocumentParams) -> object:
        return await self._completions(params, invoked=True)

    async def _completions(self, params: DocumentParams, *, invoked: bool) -> object:
        """Clients take a list where LSP's take None, and hide what they show."""
        doc = params.doc
        found = await self._completing.find(doc.uri, position_of(doc.position), Target.line, invoked=invoked)
        if found is None:
            return {"completions": []}
        return {"completions": [completion(one, found.target, doc.version) for one in found.suggestions]}

    async def _panel(self, params: DocumentParams) -> object:
        """Each solution is a notification, and so is that there are no more."""
        doc = params.doc
        found = await self._completing.find(doc.uri, position_of(doc.position), Target.line, invoked=True)
        number = 0
        if found is not None:
            number = len(found.suggestions)
            for rank, suggestion in enumerate(found.suggestions):
                one = solution(suggestion, found.target, params.panel_id, score=number - rank)
                self._protocol.notify("PanelSolution", one)
        self._protocol.notify("PanelSolutionsDone", {"panelId": params.panel_id, "status": "OK"})
        return {"solutionCountTarget": number}

    async def _shown(self, params: ShownParams) -> object:
        self._completing.note_shown(params.uuid)
        return _NOTED

    async def _accepted(self, params: AcceptedParams) -> object:
        if params.accepted_length is None:
            self._completing.accept(params.uuid)
        else:
            self._completing.accept_part(params.uuid, params.accepted_length)
        return _NOTED

    async def _rejected(self, params: RejectedParams) -> object:
        for uuid in params.uuids:
            self._completing.reject(uuid)
        return _NOTED

    async def _models(self, params: Any) -> object:
        return [model(name, DEFAULT_MODEL) for name in await usable_models()]


def _always(answer: object) -> Callable[[Any], Coroutine[Any, Any, object]]:
    """A handler that gives this answer, whatever is asked."""

    async def say(params: Any) -> object:
        return answer

    return say
