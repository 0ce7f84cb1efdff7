"""JSON-RPC as pygls speaks it, made strict: every request gets exactly one answer.

{server, client} ▶ **strict** ▶ {conversion, streams} ▶ pygls. pygls leaves malformed requests unanswered,
sends tracebacks to the client, and logs messages, which hold the user's code. What is changed here is what
comes in: which messages are accepted, how their parameters are read, and how a request ends.
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

from lsp_server.protocol.conversion import mistakes
from lsp_server.protocol.streams import FramingError, MessageReader, MessageWriter

MessageId = int | str

_log = logging.getLogger(__name__)


class StrictProtocol(JsonRPCProtocol):
    """One end of a connection.

    Handlers of requests are coroutines, those of notifications plain functions, called in the order of their
    arrival. Their one parameter, `params`, is of the type that they declare: one of lsprotocol's, an attrs
    class of ours, or `Any` for what was received. `admit` is asked first about each method and raises
    `JsonRpcException` for one that may not be called now.
    """

    def __init__(self, server: JsonRPCServer | JsonRPCClient, converter: Converter) -> None:
        super().__init__(server, converter)  # type: ignore[arg-type]  # pygls, too, gives it a client
        logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)  # it logs messages, which hold code
        self.admit: Callable[[str], None] = lambda method: None
        self._expected: dict[str, Any] = {}

    def on(self, method: str, handler: Callable[[Any], Any]) -> None:
        """Call `handler` for messages of `method`. pygls' own decorator can't register a bound method."""
        self.fm.features[method] = handler

    def write_to(self, write: Callable[[bytes], None]) -> None:
        """Send messages with `write`."""
        self.set_writer(MessageWriter(write))

    async def listen(self, stream: asyncio.StreamReader, until: Event) -> None:
        """Act on the messages that come from `stream`, up to its end or the event."""
        try:
            await run_async(until, MessageReader(stream), self, error_handler=self._unreadable)
        except FramingError as error:
            _log.error("the connection is closed: %s", error)

    def structure_message(self, data: dict[str, Any]) -> dict[str, Any]:
        """`data` as it is: pygls calls this for every object in a message, not for whole messages."""
        return data

    def handle_message(self, message: Any) -> None:
        """Act on one message."""
        match message:
            case {"jsonrpc": "2.0", "id": int() | str() as id_, "method": str(method)}:
                self._handle_request(id_, method, message.get("params"))
            case {"jsonrpc": "2.0", "method": str(method)} if "id" not in message:
                self._handle_notification(method, message.get("params"))
            case {"jsonrpc": "2.0"} if "result" in message or "error" in message:
                self._handle_response(message.get("id"), message.get("result"), message.get("error"))
            case _:
                self._refuse(None, JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"))

    async def send_request_async(
        self, method: str, params: Any = None, msg_id: MessageId | None = None
    ) -> Any:
        """Ask the other side something. Who cancels this tells the other side that it need not answer.

        Raises:
            JsonRpcException: the other side's answer is an error.
        """
        id_ = msg_id or str(uuid.uuid4())
        answer = asyncio.wrap_future(self.send_request(method, params, msg_id=id_))
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self.notify(types.CANCEL_REQUEST, types.CancelParams(id_))
            else:
                answer.exception()  # it came at the same moment, and nobody looks at it
            raise
        finally:
            self._request_futures.pop(id_, None)
            self._result_types.pop(id_, None)

    def hang_up(self, error: Exception) -> None:
        """The other side has gone: whoever waits for an answer gets `error`."""
        for future in list(self._request_futures.values()):
            if isinstance(future, Future) and not future.done():
                future.set_exception(error)

    async def cancel_all(self) -> None:
        """Cancel every request that is running, but for the one that asks for this, and see it answered."""
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
            params = self._structured(method_name, params)
        except Exception as error:
            self._refuse(msg_id, _error_for_client(error))
        else:
            answer = partial(self._send_handler_result, msg_id=msg_id)
            self._execute_handler(msg_id, handler, answer, (params,))

    def _send_handler_result(self, future: Future[Any], *, msg_id: MessageId) -> None:
        """Answer a request, whichever way its handler has ended."""
        self._request_futures.pop(msg_id, None)
        try:
            if future.cancelled():
                raise JsonRpcRequestCancelled("cancelled")
            result = self._converter.unstructure(future.result())
        except Exception as error:
            self._refuse(msg_id, _error_for_client(error))
        else:
            self._send_response(msg_id, result)

    def _handle_notification(self, method_name: str, params: Any) -> None:
        try:
            self.admit(method_name)
            if method_name == types.CANCEL_REQUEST:
                self._handle_cancel_notification(params)
            else:
                handler = self._get_handler(method_name)
                handler(self._structured(method_name, params))
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
                if isinstance(running, asyncio.Task):  # and no request of ours
                    running.cancel()

    def _handle_response(self, msg_id: Any, result: Any = None, error: Any = None) -> None:
        future = self._request_futures.get(msg_id) if isinstance(msg_id, (int, str)) else None
        if not isinstance(future, Future) or future.done():
            return  # an answer to what nobody waits for any more
        match error:
            case None:
                future.set_result(result)
            case {"code": int(code), "message": str(text)}:
                future.set_exception(JsonRpcException(text, code))
            case _:
                future.set_exception(JsonRpcInternalError("the answer is no answer"))

    def _structured(self, method: str, params: Any) -> Any:
        """`params` as what the handler of `method` takes."""
        if method not in self._expected:
            self._expected[method] = get_type_hints(self.fm.features[method]).get("params", Any)
        try:
            return self._converter.structure({} if params is None else params, self._expected[method])
        except Exception as error:
            raise JsonRpcInvalidParams(f"invalid parameters: {mistakes(error)}") from None

    def _unreadable(self, error: Exception, _: object) -> None:
        """A message that could not be read, or acted on."""
        if isinstance(error, (ValueError, RecursionError)):
            self._refuse(None, JsonRpcParseError(f"not JSON: {error}"))
        else:
            _log_failure("a message", error)

    def _refuse(self, msg_id: MessageId | None, error: JsonRpcException) -> None:
        """Answer with an error. pygls' own message would leave an id out that is null."""
        body = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": "2.0", "id": msg_id, "error": body})


def _error_for_client(error: Exception) -> JsonRpcException:
    """`error` as an answer: as it is where it was meant as one, else as a mistake of ours."""
    if isinstance(error, JsonRpcException):
        return error
    _log_failure("a request", error)
    return JsonRpcInternalError(f"{type(error).__name__}: {error}".splitlines()[0])


def _log_failure(what: str, error: Exception) -> None:
    """Log a mistake of ours by where it was made: its message may hold the user's text."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s failed: %s\n%s", what, type(error).__name__, where)
