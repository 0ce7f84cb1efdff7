"""Copilot's dialect: what its editors' clients ask for beyond LSP, so that they work with us unchanged.

workspace ▶ **copilot** ▶ {completing, copilot_messages, model_loading}. Documents, inline completion and what
becomes of it are answered by workspace as ever. Here are the older protocol's requests for the same, the
panel, the choice of a model, and signing in, for which nobody is asked: there is no account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from lsp_server import __version__
from lsp_server.completion import Completing, Target
from lsp_server.protocol import Peer
from lsp_server.server.copilot_messages import (
    DocumentParams,
    decode_chosen_model,
    decode_length,
    decode_uuid,
    decode_uuids,
    encode_completion,
    encode_model,
    encode_solution,
    encode_status,
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

    def __init__(self, peer: Peer, completing: Completing, use_model: Callable[[str | None], object]) -> None:
        self._peer = peer
        self._completing = completing
        self._use_model = use_model
        self._told: dict[str, object] = {}
        for method in _ANSWERS:
            peer.on_request(method, partial(self._say, method))
        peer.on_request("getCompletions", self._completions)
        peer.on_request("getCompletionsCycling", partial(self._completions, invoked=True))
        peer.on_request("getPanelCompletions", self._panel)
        peer.on_request("notifyShown", self._shown)
        peer.on_request("notifyAccepted", self._accepted)
        peer.on_request("notifyRejected", self._rejected)
        peer.on_request("copilot/models", self._models)

    async def configured(self, params: object) -> None:
        """Use the model that ``workspace/didChangeConfiguration`` names, if it is on this machine.

        Whoever used Copilot before may have chosen one of Copilot's. Clients say so themselves.
        """
        name = decode_chosen_model(params)
        if name and name in await usable_models():
            self._use_model(model_setting(name))

    def tell_status(self, status: Mapping[str, object]) -> None:
        """Tell how the server is, where that is new; older clients listen to the one, newer to the other."""
        params = encode_status(status)
        if params != self._told:
            self._told = params
            self._peer.notify("statusNotification", params)
            self._peer.notify("didChangeStatus", params)

    async def _say(self, method: str, _: object) -> object:
        return _ANSWERS[method]

    async def _completions(self, params: object, *, invoked: bool = False) -> object:
        """``getCompletions``; clients take a list where LSP's take None, and hide what they show."""
        asked = DocumentParams.decode(params)
        found = await self._completing.find(asked.uri, asked.position, Target.line, invoked=invoked)
        if found is None:
            return {"completions": []}
        completions = [encode_completion(one, found.target, asked.version) for one in found.suggestions]
        return {"completions": completions}

    async def _panel(self, params: object) -> object:
        """``getPanelCompletions``: each solution is a notification, and so is that there are no more."""
        asked = DocumentParams.decode(params)
        found = await self._completing.find(asked.uri, asked.position, Target.line, invoked=True)
        number = 0
        if found is not None:
            number = len(found.suggestions)
            for rank, suggestion in enumerate(found.suggestions):
                solution = encode_solution(suggestion, found.target, asked.panel, score=number - rank)
                self._peer.notify("PanelSolution", solution)
        self._peer.notify("PanelSolutionsDone", {"panelId": asked.panel, "status": "OK"})
        return {"solutionCountTarget": number}

    async def _shown(self, params: object) -> object:
        self._completing.note_shown(decode_uuid(params))
        return _NOTED

    async def _accepted(self, params: object) -> object:
        uuid, length = decode_uuid(params), decode_length(params)
        if length is None:
            self._completing.accept(uuid)
        else:
            self._completing.accept_part(uuid, length)
        return _NOTED

    async def _rejected(self, params: object) -> object:
        for uuid in decode_uuids(params):
            self._completing.reject(uuid)
        return _NOTED

    async def _models(self, _: object) -> object:
        return [encode_model(name, DEFAULT_MODEL) for name in await usable_models()]
