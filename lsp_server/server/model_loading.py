"""Loads the model of one editor in the background, reports progress, and switches to another model.

Progress is reported as LSP's work-done progress. Loading does not wait for the editor to accept it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.completion import SessionServices
from lsp_server.model_facts import in_short
from lsp_server.protocol import StrictProtocol
from lsp_server.server.status import Status
from model_runtime import list_models
from model_runtime.api import Backend, BackendError, LoadProgress, ModelInfo, ModelOptions

DEFAULT_MODEL: Final = "default"
"""The name of the model that is used when no setting names one."""

_TOKEN: Final = "fimble/loading"
_TITLE: Final = "fimble: loading the model"


class BackendProvider(Protocol):
    """Opens each model once and shares its backend between editors."""

    def get(self, options: ModelOptions) -> Backend:
        """The backend for `options`. Do not close it; call `release` or `leave` instead."""
        ...

    def release(self, options: ModelOptions) -> None:
        """Stop using the backend for `options`, which is closed if it has no other users."""
        ...

    def leave(self, options: ModelOptions) -> None:
        """Stop using the backend for `options` but keep it open, because the editor has disconnected."""
        ...


class LoadingReport:
    """Reports the progress of one load to an editor with the capability ``window.workDoneProgress``."""

    def __init__(self, protocol: StrictProtocol) -> None:
        self._protocol = protocol
        self._begun = False
        self._percentage = 0

    async def begin(self) -> None:
        """Ask the editor to create a progress token and begin; the editor may refuse."""
        try:
            params = types.WorkDoneProgressCreateParams(_TOKEN)
            await self._protocol.send_request_async(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        except JsonRpcException:
            return
        self._begun = True
        self._tell(types.WorkDoneProgressBegin(_TITLE, percentage=self._percentage))

    def report(self, share: float, message: str) -> None:
        """Report progress; `share` goes from 0 to 1."""
        self._percentage = max(self._percentage, min(100, round(share * 100)))  # LSP forbids a decrease
        if self._begun:
            self._tell(types.WorkDoneProgressReport(percentage=self._percentage, message=message))

    def end(self, message: str) -> None:
        """End the progress with `message`."""
        if self._begun:
            self._begun = False
            self._tell(types.WorkDoneProgressEnd(message=message))

    def _tell(self, value: object) -> None:
        self._protocol.notify(types.PROGRESS, types.ProgressParams(_TOKEN, value))


class EditorModel:
    """The model of one editor: keeps the backend in `services` current, and loads it.

    `failed` is called with the error if the model can't be loaded.
    """

    def __init__(
        self,
        services: SessionServices,
        backends: BackendProvider,
        protocol: StrictProtocol,
        status: Status,
        failed: Callable[[BackendError], None],
    ) -> None:
        self._services = services
        self._options = services.settings.model_options
        self._backends = backends
        self._protocol = protocol
        self._status = status
        self._failed = failed
        self._loading: asyncio.Task[None] | None = None

    def switch(self, options: ModelOptions) -> bool:
        """Switch to another model, without loading it; False if it is the current one."""
        if options == self._options:
            return False
        self._cancel()
        self._services.backend = self._backends.get(options)
        self._backends.release(self._options)
        self._options = options
        return True

    def load(self, *, report: bool) -> None:
        """Start loading the model; with `report`, the editor shows the progress."""
        self._cancel()
        self._loading = asyncio.get_running_loop().create_task(self._load(report=report))

    def close(self) -> None:
        """Stop loading and stop using the backend, because the editor has disconnected."""
        self._cancel()
        self._backends.leave(self._options)

    def _cancel(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    async def _load(self, *, report: bool) -> None:
        try:
            info = await (self._load_with_report() if report else self._load_quietly())
        except BackendError as error:
            self._failed(error)
            return
        await asyncio.sleep(0)  # deliver the backend's last progress reports first
        self._status.ready(info.name, in_short(info))
        message = f"fimble: {info.name} is ready ({info.device}, {info.dtype})"
        params = types.LogMessageParams(types.MessageType.Info, message)
        self._protocol.notify(types.WINDOW_LOG_MESSAGE, params)

    async def _load_quietly(self) -> ModelInfo:
        return await self._services.backend.load(self._in_this_thread(self._status.loading))

    async def _load_with_report(self) -> ModelInfo:
        report = LoadingReport(self._protocol)

        def progress(share: float, message: str) -> None:
            report.report(share, message)
            self._status.loading(share, message)

        beginning = asyncio.get_running_loop().create_task(report.begin())
        outcome = "failed"
        try:
            info = await self._services.backend.load(self._in_this_thread(progress))
            outcome = f"{info.name} is ready"
        finally:
            beginning.cancel()
            report.end(outcome)
        return info

    def _in_this_thread(self, progress: LoadProgress) -> LoadProgress:
        """A version of `progress` that the backend's thread can call; ignored after the load has ended."""
        loop, loading = asyncio.get_running_loop(), asyncio.current_task()
        assert loading is not None

        def tell(share: float, message: str) -> None:
            if not loading.done():  # a late report would set the status from ready back to loading
                progress(share, message)

        def call(share: float, message: str) -> None:
            with suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(tell, share, message)

        return call


def next_model(usable: Sequence[str], model: str | None) -> str | None:
    """The setting for the model after `model` in `usable`, wrapping around at the end."""
    name = model or DEFAULT_MODEL
    if not set(usable) - {name}:
        return model
    following = usable[(usable.index(name) + 1) % len(usable)] if name in usable else usable[0]
    return model_setting(following)


def model_setting(name: str) -> str | None:
    """The value of the setting `model` for the model of this name."""
    return None if name == DEFAULT_MODEL else name


async def usable_models() -> list[str]:
    """The names of the models that are on this machine, and for which it has memory."""
    # In a thread, so that a slow disk does not block the event loop.
    entries = await asyncio.to_thread(list_models)
    return [entry.name for entry in entries if entry.path is not None and entry.obstacle != "memory"]
