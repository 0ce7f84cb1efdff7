"""Converts JSON to lsprotocol's types and to those in `extensions`, with cattrs.

By default cattrs coerces strings to numbers and skips some checks of positions. Here a value of the wrong
type is an error, except that fields which clients are known to omit get a default.
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
from lsp_server.uris import canonical_uri

_PartialChange: TypeAlias = types.TextDocumentContentChangePartial
_WholeChange: TypeAlias = types.TextDocumentContentChangeWholeDocument

_MAX_INTEGER: Final = 2**31 - 1  # the maximum in LSP; clients send larger numbers for the end of a line

_DEFAULTS: Final[Mapping[type, Mapping[str, object]]] = {
    types.TextDocumentItem: {"languageId": "", "version": 0},
    types.VersionedTextDocumentIdentifier: {"version": 0},
    types.InlineCompletionContext: {"triggerKind": 2},
    InlineCompletionParams: {"context": {}},
    types.Command: {"title": "", "command": ""},
}
"""Default values of fields that are missing or null."""

_DOCUMENTS: Final = (
    types.TextDocumentItem,
    types.TextDocumentIdentifier,
    types.VersionedTextDocumentIdentifier,
)
"""Types with the URI of a document, of which each has one spelling from here on."""


@cache
def converter() -> Converter:
    """The converter shared by all connections; its hooks are compiled on first use."""
    cattrs_converter = get_converter()
    for kind in (bool, int, float, str):
        cattrs_converter.register_structure_hook(kind, _structure_exactly)
    cattrs_converter.register_structure_hook(types.ProgressToken | None, _structure_token)
    cattrs_converter.register_structure_hook(types.InlineCompletionTriggerKind, _structure_trigger_kind)

    def structure_change(value: Any, _: object) -> _WholeChange | _PartialChange:
        if isinstance(value, Mapping) and value.get("range") is not None:
            return cattrs_converter.structure(value, _PartialChange)
        return cattrs_converter.structure(value, _WholeChange)

    def structure_class(kind: Any) -> Callable[[Any, Any], Any]:
        names = {one.name: override(rename=_camel_case(one.name)) for one in attrs.fields(kind)}
        structure = make_dict_structure_fn(kind, cattrs_converter, **names)  # type: ignore[arg-type]

        def structure_checked(value: Any, _: object) -> Any:
            if not isinstance(value, Mapping):
                raise ValueError
            return structure(_with_defaults(value, kind), kind)

        return structure_checked

    def structure_list(kind: Any) -> Callable[[Any, Any], Any]:
        structure = list_structure_factory(kind, cattrs_converter)

        def structure_checked(value: Any, _: object) -> Any:
            if not isinstance(value, list):
                raise ValueError
            return structure(value, kind)

        return structure_checked

    cattrs_converter.register_structure_hook_factory(is_sequence, structure_list)
    cattrs_converter.register_structure_hook(_PartialChange | _WholeChange, structure_change)
    cattrs_converter.register_structure_hook_factory(attrs.has, structure_class)
    return cattrs_converter


def describe_errors(error: Exception) -> str:
    """Describe why a value could not be structured, with each field's path, such as ``position.line``."""
    found = (text.partition(" @ $") for text in transform_error(error))
    return "; ".join(f"{_camel_case(path.lstrip('.')) or 'all of it'}: {text}" for text, _, path in found)


def _with_defaults(value: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """The fields of `value` with defaults added; null counts as missing."""
    fields = {name: field for name, field in value.items() if field is not None}
    if kind in _DOCUMENTS and isinstance(fields.get("uri"), str):
        fields["uri"] = canonical_uri(fields["uri"])
    return {**_DEFAULTS[kind], **fields} if kind in _DEFAULTS else fields


def _structure_exactly(value: Any, kind: Any) -> Any:
    if issubclass(kind, Enum):  # LSP's enums also derive from str or int
        return kind(value)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError
    return min(value, _MAX_INTEGER) if kind is int else value


def _structure_token(value: Any, _: object) -> int | str:
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError
    return value


def _structure_trigger_kind(value: Any, _: object) -> types.InlineCompletionTriggerKind:
    invoked = _structure_exactly(value, int) == types.InlineCompletionTriggerKind.Invoked
    return (
        types.InlineCompletionTriggerKind.Invoked if invoked else types.InlineCompletionTriggerKind.Automatic
    )


def _camel_case(name: str) -> str:
    """The JSON name of a field."""
    first, *more = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in more)
