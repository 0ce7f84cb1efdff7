"""JSON-RPC 2.0 on one connection: every request gets exactly one answer.

transport ▶ **jsonrpc** ▶ server. This room knows requests, notifications and cancellation, and nothing of
what they mean. It is our own, instead of a library's, for three reasons: a server is up within the time
that a library's table of all protocol types takes to import several times over, malformed requests are
answered too, and fields that a protocol's extensions add reach the handlers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import Any

MessageId = int | str
RequestHandler = Callable[[object], Coroutine[Any, Any, object]]
NotificationHandler = Callable[[object], None]

_log = logging.getLogger(__name__)


class ErrorCode(IntEnum):
    """The codes of JSON-RPC and LSP that are used here."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_NOT_INITIALIZED = -32002
    REQUEST_CANCELLED = -32800


class RpcError(Exception):
    """A request's answer where it has no result; also what the other side answered to a request of ours."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Peer:
    """One end of a connection.

    Requests are handled by coroutines, each in a task of its own, notifications by plain functions in the
    order of their arrival. `write` takes the bytes of one message. `admit` is asked first about every
    incoming method and raises `RpcError` for one that may not be called at this time.
    """

    def __init__(self, write: Callable[[bytes], None], admit: Callable[[str], None]) -> None:
        self._write = write
        self._admit = admit
        self._requests: dict[str, RequestHandler] = {}
        self._notifications: dict[str, NotificationHandler] = {"$/cancelRequest": self._cancel}
        self._running: dict[MessageId, asyncio.Task[object]] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)

    def on_request(self, method: str, handler: RequestHandler) -> None:
        """Answer requests of `method` with what `handler` returns or raises."""
        self._requests[method] = handler

    def on_notification(self, method: str, handler: NotificationHandler) -> None:
        """Call `handler` for notifications of `method`."""
        self._notifications[method] = handler

    async def receive(self, body: bytes) -> None:
        """Act on one message.

        A request's handler has run up to its first wait when this returns, so it has seen documents as
        they were when the request arrived.
        """
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._answer_error(None, RpcError(ErrorCode.PARSE_ERROR, f"not JSON: {error}"))
            return
        match message:
            case {"jsonrpc": "2.0", "id": int() | str() as id_, "method": str(method)}:
                self._start(id_, method, message.get("params"))
                await asyncio.sleep(0)
            case {"jsonrpc": "2.0", "method": str(method)} if "id" not in message:
                self._notified(method, message.get("params"))
            case {"jsonrpc": "2.0"} if "result" in message or "error" in message:
                self._answered(message)
            case _:
                self._answer_error(None, RpcError(ErrorCode.INVALID_REQUEST, "not a JSON-RPC 2.0 message"))

    def notify(self, method: str, params: object) -> None:
        """Tell the other side something."""
        self._send({"method": method, "params": params})

    async def request(self, method: str, params: object) -> Any:
        """Ask the other side something. Who cancels this tells the other side that it need not answer.

        Raises:
            RpcError: the other side's answer is an error.
        """
        id_ = next(self._ids)
        answer = self._asked[id_] = asyncio.get_running_loop().create_future()
        try:
            self._send({"id": id_, "method": method, "params": params})
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self.notify("$/cancelRequest", {"id": id_})
            else:
                answer.exception()  # it came at the same moment, and is looked at by nobody
            raise
        finally:
            del self._asked[id_]

    def hang_up(self, error: Exception) -> None:
        """The other side has gone: whoever waits for an answer gets `error`."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(error)

    async def cancel_all(self) -> None:
        """Cancel every request that is running, but for the one that asks for this, and see it answered."""
        tasks = [task for task in self._running.values() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, id_: MessageId, method: str, params: object) -> None:
        try:
            self._admit(method)
            if id_ in self._running:
                raise RpcError(ErrorCode.INVALID_REQUEST, f"a request with id {id_!r} is running")
            if method not in self._requests:
                raise RpcError(ErrorCode.METHOD_NOT_FOUND, f"there is no method {method!r}")
        except RpcError as error:
            self._answer_error(id_, error)
            return
        task = asyncio.get_running_loop().create_task(self._requests[method](params), name=method)
        self._running[id_] = task
        task.add_done_callback(partial(self._finish, id_))

    def _finish(self, id_: MessageId, task: asyncio.Task[object]) -> None:
        """Answer a request; as a task's callback it runs whichever way the handler ended."""
        del self._running[id_]
        if task.cancelled():
            self._answer_error(id_, RpcError(ErrorCode.REQUEST_CANCELLED, "cancelled"))
            return
        error = task.exception()
        if error is None:
            self._send({"id": id_, "result": task.result()})
        elif isinstance(error, RpcError):
            self._answer_error(id_, error)
        else:
            _log.error("%s failed", task.get_name(), exc_info=error)
            text = f"{type(error).__name__}: {error}"
            self._answer_error(id_, RpcError(ErrorCode.INTERNAL_ERROR, text))

    def _notified(self, method: str, params: object) -> None:
        try:
            self._admit(method)
            handler = self._notifications.get(method)
            if handler is not None:
                handler(params)
        except RpcError as error:
            _log.warning("%s ignored: %s", method, error.message)
        except Exception:
            _log.exception("%s failed", method)

    def _cancel(self, params: object) -> None:
        match params:
            case {"id": int() | str() as id_} if id_ in self._running:
                self._running[id_].cancel()

    def _answered(self, message: dict[str, Any]) -> None:
        id_ = message.get("id")
        answer = self._asked.get(id_) if isinstance(id_, int) else None
        if answer is None or answer.done():
            return  # an answer to what nobody waits for any more
        match message.get("error"):
            case {"code": int(code), "message": str(text)}:
                answer.set_exception(RpcError(code, text))
            case None:
                answer.set_result(message.get("result"))
            case other:
                answer.set_exception(RpcError(ErrorCode.INTERNAL_ERROR, str(other)))

    def _answer_error(self, id_: MessageId | None, error: RpcError) -> None:
        self._send({"id": id_, "error": {"code": int(error.code), "message": error.message}})

    def _send(self, message: dict[str, object]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
        with suppress(OSError):  # the other side has gone, which reading from it tells as well
            self._write(body)
