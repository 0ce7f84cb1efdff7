"""The model that an editor uses: loaded in the background, shown while it loads, exchanged for another.

workspace ▶ **model_loading** ▶ {status, protocol}. What is shown is LSP's work-done progress, begun when the
editor has made a place for it and ended when the model is there. Loading never waits for the editor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.completion import SessionServices
from lsp_server.protocol import StrictProtocol
from lsp_server.server.status import Status
from model_runtime import list_models
from model_runtime.api import Backend, BackendError, LoadProgress, ModelInfo, ModelOptions

DEFAULT_MODEL: Final = "default"
"""The name of the model that no setting names."""

_TOKEN: Final = "fimble/loading"
_TITLE: Final = "fimble: loading the model"


class Backends(Protocol):
    """Where models are opened, once each for all who use them."""

    def get(self, options: ModelOptions) -> Backend:
        """The backend for `options`, which is not to be closed but let go of."""
        ...

    def release(self, options: ModelOptions) -> None:
        """One of those who got the backend for `options` has another one now."""
        ...

    def leave(self, options: ModelOptions) -> None:
        """One of those who got the backend for `options` has gone."""
        ...


class LoadingReport:
    """The progress of one load, for an editor that has the capability ``window.workDoneProgress``."""

    def __init__(self, protocol: StrictProtocol) -> None:
        self._protocol = protocol
        self._begun = False
        self._percentage = 0

    async def begin(self) -> None:
        """Ask the editor for a place to show progress in, and begin there; an editor may refuse."""
        try:
            params = types.WorkDoneProgressCreateParams(_TOKEN)
            await self._protocol.send_request_async(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        except JsonRpcException:
            return
        self._begun = True
        self._tell(types.WorkDoneProgressBegin(_TITLE, percentage=self._percentage))

    def report(self, share: float, message: str) -> None:
        """Show how far loading has come; `share` goes from 0 to 1."""
        self._percentage = max(self._percentage, min(100, round(share * 100)))  # it may not fall in LSP
        if self._begun:
            self._tell(types.WorkDoneProgressReport(percentage=self._percentage, message=message))

    def end(self, message: str) -> None:
        """Loading is over."""
        if self._begun:
            self._begun = False
            self._tell(types.WorkDoneProgressEnd(message=message))

    def _tell(self, value: object) -> None:
        self._protocol.notify(types.PROGRESS, types.ProgressParams(_TOKEN, value))


class ModelInUse:
    """One editor's model: its backend is the `services`' of its documents.

    `failed` is told why it cannot be used.
    """

    def __init__(
        self,
        services: SessionServices,
        backends: Backends,
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

    def exchange(self, options: ModelOptions) -> bool:
        """Use another model from now on; False where it is the same one."""
        if options == self._options:
            return False
        self._cancel()
        self._services.backend = self._backends.get(options)
        self._backends.release(self._options)
        self._options = options
        return True

    def load(self, *, report: bool) -> None:
        """Begin to load it, with a `report` in the editor if that has the capability for it."""
        self._cancel()
        self._loading = asyncio.get_running_loop().create_task(self._load(report=report))

    def leave(self) -> None:
        """The editor has gone."""
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
        await asyncio.sleep(0)  # what the backend has told of its progress comes first
        self._status.ready(info.name)
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
        """`progress` as something that the backend's thread can call, for as long as the load goes on."""
        loop, loading = asyncio.get_running_loop(), asyncio.current_task()
        assert loading is not None

        def tell(share: float, message: str) -> None:
            if not loading.done():  # else the model was told to be ready, and would seem to load again
                progress(share, message)

        def call(share: float, message: str) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(tell, share, message)

        return call


def next_model(usable: Sequence[str], model: str | None) -> str | None:
    """The setting for the one of the `usable` models that comes after the setting `model`, in a circle."""
    name = model or DEFAULT_MODEL
    if not set(usable) - {name}:
        return model
    following = usable[(usable.index(name) + 1) % len(usable)] if name in usable else usable[0]
    return model_setting(following)


def model_setting(name: str) -> str | None:
    """The setting for the model of this name."""
    return None if name == DEFAULT_MODEL else name


async def usable_models() -> list[str]:
    """The names of the models that are on this machine and fit it."""
    # What is on the disk is looked at in a thread, so that no key waits for a slow one.
    entries = await asyncio.to_thread(list_models)
    return [entry.name for entry in entries if entry.path is not None and entry.fits is not False]
