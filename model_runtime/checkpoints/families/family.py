"""What a family says about its checkpoints, and how it reads their config without guessing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from model_runtime.api import CorruptCheckpoint
from model_runtime.decoding import DecoderConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where one of our weights comes from.

    `relay` gives a view of the source tensor whose elements, read in order, are our weight: the loader
    copies them straight to their place, or not at all where the view already is in order.
    """

    name: str
    relay: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Family:
    """One `model_type` of config.json.

    `facts` turns the config into a decoder's facts; `sources` names, for each of our weights
    (`decoding.weight_shapes`), the tensor it comes from; `ignored` matches names that old files carry and
    that hold no weights, to be skipped where the whole name fits.
    """

    model_type: str
    facts: Callable[[Mapping[str, Any]], DecoderConfig]
    sources: Callable[[DecoderConfig], Mapping[str, Source]]
    ignored: re.Pattern[str]


def setting(config: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
    """config.json's value for `key`, or the family's own default where it is left out.

    Raises:
        CorruptCheckpoint: the value is of another kind.
    """
    value = config.get(key, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise CorruptCheckpoint(f"config.json: {key} is {value!r}, which is no {kind.__name__}")
    return value


def size(config: Mapping[str, Any], key: str) -> int:
    """config.json's figure for `key`, which no default can stand in for.

    Raises:
        CorruptCheckpoint: it is left out, or no positive integer.
    """
    value = config.get(key)
    if type(value) is not int or value < 1:
        raise CorruptCheckpoint(f"config.json: {key} is {value!r}; a positive integer is needed")
    return value
