"""A strict version of pygls' JSON-RPC protocol: every request gets exactly one answer.

pygls itself leaves malformed requests unanswered, sends tracebacks to the client, and logs messages, which
contain the user's code. This module overrides how messages are validated, parsed and answered.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Event
from typing import Any, get_type_hints

from cattrs import Converter
from lsprotocol import types
from pygls.client import JsonRPCClient
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcRequestCancelled,
)
from pygls.io_ import run_async
from pygls.protocol import JsonRPCProtocol
from pygls.server import JsonRPCServer

from lsp_server.protocol.conversion import describe_errors
from lsp_server.protocol.streams import FramingError, MessageReader, MessageWriter

MessageId = int | str

_log = logging.getLogger(__name__)


class StrictProtocol(JsonRPCProtocol):
    """One end of a connection.

    Request handlers are coroutines; notification handlers are plain functions. They are called in the order
    in which messages arrive. Their one parameter, `params`, is converted to its annotated type: an lsprotocol
    type, one of our attrs classes, or `Any` for plain JSON. Before each call, `admit` gets the method's name
    and raises `JsonRpcException` if the method is not allowed at this time.
    """

    def __init__(self, server: JsonRPCServer | JsonRPCClient, converter: Converter) -> None:
        super().__init__(server, converter)  # type: ignore[arg-type]  # pygls itself also passes clients
        logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)  # it logs messages, which contain code
        self.admit: Callable[[str], None] = lambda method: None
        self._params_types: dict[str, Any] = {}

    def on(self, method: str, handler: Callable[[Any], Any]) -> None:
        """Register `handler` for `method`. pygls' own decorator can't register bound methods."""
        self.fm.features[method] = handler

    def write_to(self, write: Callable[[bytes], None]) -> None:
        """Send messages with `write`."""
        self.set_writer(MessageWriter(write))

    async def listen(self, stream: asyncio.StreamReader, until: Event) -> None:
        """Handle messages from `stream` until its end, or until the event is set."""
        try:
            await run_async(until, MessageReader(stream), self, error_handler=self._report_error)
        except FramingError as error:
            _log.error("the connection is closed: %s", error)

    def structure_message(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data` unchanged: pygls calls this for every nested object, not only for whole messages."""
        return data

    def handle_message(self, message: Any) -> None:
        """Validate and dispatch one message."""
        match message:
            case {"jsonrpc": "2.0", "id": int() | str() as id_, "method": str(method)}:
                self._handle_request(id_, method, message.get("params"))
            case {"jsonrpc": "2.0", "method": str(method)} if "id" not in message:
                self._handle_notification(method, message.get("params"))
            case {"jsonrpc": "2.0"} if "result" in message or "error" in message:
                self._handle_response(message.get("id"), message.get("result"), message.get("error"))
            case _:
                self._send_error(None, JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"))

    async def send_request_async(
        self, method: str, params: Any = None, msg_id: MessageId | None = None
    ) -> Any:
        """Send a request and wait for its result. Cancelling this sends ``$/cancelRequest``.

        Raises:
            JsonRpcException: the answer is an error.
        """
        id_ = msg_id or str(uuid.uuid4())
        answer = asyncio.wrap_future(self.send_request(method, params, msg_id=id_))
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self.notify(types.CANCEL_REQUEST, types.CancelParams(id_))
            else:
                answer.exception()  # marks an error that arrived at the same moment as retrieved
            raise
        finally:
            self._request_futures.pop(id_, None)
            self._result_types.pop(id_, None)

    def fail_pending(self, error: Exception) -> None:
        """Fail all pending requests to the other side with `error`, because the connection is closed."""
        for future in list(self._request_futures.values()):
            if isinstance(future, Future) and not future.done():
                future.set_exception(error)

    async def cancel_all(self) -> None:
        """Cancel all running request handlers except the calling one, and wait until they have ended."""
        running: list[Any] = list(self._request_futures.values())
        tasks = [
            one for one in running if isinstance(one, asyncio.Task) and one is not asyncio.current_task()
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _handle_request(self, msg_id: MessageId, method_name: str, params: Any) -> None:
        try:
            self.admit(method_name)
            if msg_id in self._request_futures:
                raise JsonRpcInvalidRequest(f"a request with id {msg_id!r} is running")
            handler = self._get_handler(method_name)
            params = self._structure_params(method_name, params)
        except Exception as error:
            self._send_error(msg_id, _error_for_client(error))
        else:
            answer = partial(self._send_handler_result, msg_id=msg_id)
            self._execute_handler(msg_id, handler, answer, (params,))

    def _send_handler_result(self, future: Future[Any], *, msg_id: MessageId) -> None:
        """Answer a request with the result, error or cancellation of its handler."""
        self._request_futures.pop(msg_id, None)
        try:
            if future.cancelled():
                raise JsonRpcRequestCancelled("cancelled")
            result = self._converter.unstructure(future.result())
        except Exception as error:
            self._send_error(msg_id, _error_for_client(error))
        else:
            self._send_response(msg_id, result)

    def _handle_notification(self, method_name: str, params: Any) -> None:
        try:
            self.admit(method_name)
            if method_name == types.CANCEL_REQUEST:
                self._handle_cancel_notification(params)
            else:
                handler = self._get_handler(method_name)
                handler(self._structure_params(method_name, params))
        except JsonRpcMethodNotFound:
            return
        except JsonRpcException as error:
            _log.warning("%s ignored: %s", method_name, error.message)
        except Exception as error:
            _log_failure(method_name, error)

    def _handle_cancel_notification(self, params: Any) -> None:
        match params:
            case {"id": int() | str() as id_}:
                running: Any = self._request_futures.get(id_)
                if isinstance(running, asyncio.Task):  # a handler's task, not a request that we have sent
                    running.cancel()

    def _handle_response(self, msg_id: Any, result: Any = None, error: Any = None) -> None:
        future = self._request_futures.get(msg_id) if isinstance(msg_id, (int, str)) else None
        if not isinstance(future, Future) or future.done():
            return  # the request is unknown, or was cancelled
        match error:
            case None:
                future.set_result(result)
            case {"code": int(code), "message": str(text)}:
                future.set_exception(JsonRpcException(text, code))
            case _:
                future.set_exception(JsonRpcInternalError("malformed error in the response"))

    def _structure_params(self, method: str, params: Any) -> Any:
        """Convert `params` to the type that the handler of `method` takes."""
        if method not in self._params_types:
            self._params_types[method] = get_type_hints(self.fm.features[method]).get("params", Any)
        try:
            return self._converter.structure({} if params is None else params, self._params_types[method])
        except Exception as error:
            raise JsonRpcInvalidParams(f"invalid parameters: {describe_errors(error)}") from None

    def _report_error(self, error: Exception, _: object) -> None:
        """Report a message that could not be parsed or handled."""
        if isinstance(error, (ValueError, RecursionError)):
            self._send_error(None, JsonRpcParseError(f"not JSON: {error}"))
        else:
            _log_failure("a message", error)

    def _send_error(self, msg_id: MessageId | None, error: JsonRpcException) -> None:
        """Send an error response. pygls' own type would omit an id that is null, which JSON-RPC requires."""
        body = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": "2.0", "id": msg_id, "error": body})


def _error_for_client(error: Exception) -> JsonRpcException:
    """`error` itself if it is a JSON-RPC error; otherwise log it and return an internal error."""
    if isinstance(error, JsonRpcException):
        return error
    _log_failure("a request", error)
    return JsonRpcInternalError(f"{type(error).__name__}: {error}".splitlines()[0])


def _log_failure(what: str, error: Exception) -> None:
    """Log the type and traceback of an internal error; its message may contain the user's text."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s failed: %s\n%s", what, type(error).__name__, where)
