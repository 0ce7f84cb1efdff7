"""Copilot's protocol beyond LSP, so that its clients work with this server unchanged.

It covers the older protocol's completion requests, the panel, model selection and sign-in, which always
succeeds because there is no account. Standard LSP messages are handled by the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from lsp_server import __version__
from lsp_server.completion import CompletionHandlers, Target
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

_USER: Final = "fimble"  # always signed in
_SIGNED_IN: Final = {"status": "AlreadySignedIn", "user": _USER}
_FIXED_ANSWERS: Final[Mapping[str, object]] = {
    "checkStatus": {"status": "OK", "user": _USER},
    "signIn": _SIGNED_IN,
    "signInInitiate": _SIGNED_IN,
    "signInConfirm": {"status": "OK", "user": _USER},
    "signOut": {"status": "NotSignedIn"},
    "getVersion": {"version": __version__},
    "setEditorInfo": "OK",
    "textDocument/copilotInlineEdit": {"edits": []},  # edits away from the cursor are not supported
}
_ACKNOWLEDGED: Final = "OK"


class Copilot:
    """Handles a Copilot client's messages. `use_model` is called with the setting of a model to switch to."""

    def __init__(
        self,
        protocol: StrictProtocol,
        handlers: CompletionHandlers,
        use_model: Callable[[str | None], object],
    ) -> None:
        self._protocol = protocol
        self._handlers = handlers
        self._use_model = use_model
        self._last_status: dict[str, object] = {}
        for method, answer in _FIXED_ANSWERS.items():
            protocol.on(method, _fixed_answer(answer))
        protocol.on("getCompletions", self._get_completions)
        protocol.on("getCompletionsCycling", self._get_completions_cycling)
        protocol.on("getPanelCompletions", self._panel)
        protocol.on("notifyShown", self._shown)
        protocol.on("notifyAccepted", self._accepted)
        protocol.on("notifyRejected", self._rejected)
        protocol.on("copilot/models", self._models)

    async def configured(self, params: object) -> None:
        """Use the model that ``workspace/didChangeConfiguration`` names, if it is on this machine.

        The name may be one of Copilot's models, from when the user still used Copilot; that is ignored.
        """
        name = chosen_model(params)
        if name and name in await usable_models():
            self._use_model(model_setting(name))

    def send_status(self, status: StatusParams) -> None:
        """Send the status if it has changed, as both the older and the newer notification."""
        params = server_status(status)
        if params != self._last_status:
            self._last_status = params
            self._protocol.notify("statusNotification", params)
            self._protocol.notify("didChangeStatus", params)

    async def _get_completions(self, params: DocumentParams) -> object:
        return await self._completions(params, invoked=False)

    async def _get_completions_cycling(self, params: DocumentParams) -> object:
        return await self._completions(params, invoked=True)

    async def _completions(self, params: DocumentParams, *, invoked: bool) -> object:
        """Answer with an empty list where LSP has null; clients then hide their ghost text."""
        doc = params.doc
        result = await self._handlers.complete_at(
            doc.uri, position_of(doc.position), Target.line, invoked=invoked
        )
        if result is None:
            return {"completions": []}
        return {"completions": [completion(one, result.target, doc.version) for one in result.suggestions]}

    async def _panel(self, params: DocumentParams) -> object:
        """Send each solution as a notification, then one that all are sent."""
        doc = params.doc
        result = await self._handlers.complete_at(
            doc.uri, position_of(doc.position), Target.line, invoked=True
        )
        number = 0
        if result is not None:
            number = len(result.suggestions)
            for rank, suggestion in enumerate(result.suggestions):
                one = solution(suggestion, result.target, params.panel_id, score=number - rank)
                self._protocol.notify("PanelSolution", one)
        self._protocol.notify("PanelSolutionsDone", {"panelId": params.panel_id, "status": "OK"})
        return {"solutionCountTarget": number}

    async def _shown(self, params: ShownParams) -> object:
        self._handlers.note_shown(params.uuid)
        return _ACKNOWLEDGED

    async def _accepted(self, params: AcceptedParams) -> object:
        if params.accepted_length is None:
            self._handlers.accept(params.uuid)
        else:
            self._handlers.accept_part(params.uuid, params.accepted_length)
        return _ACKNOWLEDGED

    async def _rejected(self, params: RejectedParams) -> object:
        for uuid in params.uuids:
            self._handlers.reject(uuid)
        return _ACKNOWLEDGED

    async def _models(self, params: Any) -> object:
        return [model(name, DEFAULT_MODEL) for name in await usable_models()]


def _fixed_answer(answer: object) -> Callable[[Any], Coroutine[Any, Any, object]]:
    """A handler that always returns `answer`."""

    async def handler(params: Any) -> object:
        return answer

    return handler
