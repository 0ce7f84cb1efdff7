"""JSON to lsprotocol's types and to those of `extensions`, by cattrs.

strict ▶ **conversion**. cattrs makes a number of a text and leaves positions unchecked where that is quicker;
here a value is of its type or a mistake. What clients are known to leave out is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, TypeAlias

import attrs
from cattrs import Converter, transform_error
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.gen import make_dict_structure_fn, override
from lsprotocol import types
from lsprotocol.converters import get_converter

from lsp_server.protocol.extensions import InlineCompletionParams

_Partial: TypeAlias = types.TextDocumentContentChangePartial
_Whole: TypeAlias = types.TextDocumentContentChangeWholeDocument

_LARGEST: Final = 2**31 - 1  # of LSP's numbers; clients send larger ones for the end of a line, say

_ASSUMED: Final[Mapping[type, Mapping[str, object]]] = {
    types.TextDocumentItem: {"languageId": "", "version": 0},
    types.VersionedTextDocumentIdentifier: {"version": 0},
    types.InlineCompletionContext: {"triggerKind": 2},
    InlineCompletionParams: {"context": {}},
    types.Command: {"title": "", "command": ""},
}
"""What a client means that leaves a field out, or says null."""


@cache
def converter() -> Converter:
    """The converter of all connections; its hooks are compiled at first use."""
    made = get_converter()
    for kind in (bool, int, float, str):
        made.register_structure_hook(kind, _exactly)
    made.register_structure_hook(types.ProgressToken | None, _token)
    made.register_structure_hook(types.InlineCompletionTriggerKind, _trigger_kind)

    def change(value: Any, _: object) -> _Whole | _Partial:
        if isinstance(value, Mapping) and value.get("range") is not None:
            return made.structure(value, _Partial)
        return made.structure(value, _Whole)

    def strictly(kind: Any) -> Callable[[Any, Any], Any]:
        names = {one.name: override(rename=_camel(one.name)) for one in attrs.fields(kind)}
        structure = make_dict_structure_fn(kind, made, **names)  # type: ignore[arg-type]

        def checked(value: Any, _: object) -> Any:
            if not isinstance(value, Mapping):
                raise ValueError
            return structure(_given(value, kind), kind)

        return checked

    def listed(kind: Any) -> Callable[[Any, Any], Any]:
        structure = list_structure_factory(kind, made)

        def checked(value: Any, _: object) -> Any:
            if not isinstance(value, list):
                raise ValueError
            return structure(value, kind)

        return checked

    made.register_structure_hook_factory(is_sequence, listed)
    made.register_structure_hook(_Partial | _Whole, change)
    made.register_structure_hook_factory(attrs.has, strictly)
    return made


def mistakes(error: Exception) -> str:
    """What is wrong with a value that could not be structured, and where, as in ``position.line``."""
    found = (text.partition(" @ $") for text in transform_error(error))
    return "; ".join(f"{_camel(path.lstrip('.')) or 'all of it'}: {text}" for text, _, path in found)


def _given(value: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """What a client says or means; null is as good as nothing."""
    said = {name: one for name, one in value.items() if one is not None}
    return {**_ASSUMED[kind], **said} if kind in _ASSUMED else said


def _exactly(value: Any, kind: Any) -> Any:
    if issubclass(kind, Enum):  # LSP's are texts or numbers, too
        return kind(value)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError
    return min(value, _LARGEST) if kind is int else value


def _token(value: Any, _: object) -> int | str:
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError
    return value


def _trigger_kind(value: Any, _: object) -> types.InlineCompletionTriggerKind:
    invoked = _exactly(value, int) == types.InlineCompletionTriggerKind.Invoked
    return (
        types.InlineCompletionTriggerKind.Invoked if invoked else types.InlineCompletionTriggerKind.Automatic
    )


def _camel(name: str) -> str:
    """A field's name as JSON has it."""
    first, *more = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in more)
