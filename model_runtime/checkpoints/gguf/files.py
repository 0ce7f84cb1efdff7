"""A GGUF file read as if it were a checkpoint folder: the loader and the families need not know of GGUF.

Each look-up gives one tensor under transformers' name and in transformers' layout: floats are views of the
mapped file, quantised types are decoded when they are asked for, one tensor at a time. So memory never
holds two copies of the weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from model_runtime.api import CorruptCheckpoint, ModelNotFound
from model_runtime.checkpoints.gguf.config import architecture_of, config_of
from model_runtime.checkpoints.gguf.header import Entry, Header, read_header
from model_runtime.checkpoints.gguf.tensors import Relay, check_type, deinterleave, map_file, read_tensor
from model_runtime.checkpoints.gguf.tokenizer import adds_bos, tokenizer_json

PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)
"""How llama.cpp names the parts of a model that was split."""


class GgufFile(Mapping[str, Tensor]):
    """A model in one GGUF file, or in the parts of one; maps its tensors' names to them.

    It has what a `CheckpointFolder` has, in transformers' terms: `config` is the content of config.json,
    `tokenizer` that of tokenizer.json, `read_optional` that of other JSON files. Tensors are never to be
    written to.

    Raises:
        ModelNotFound: there is no such file.
        CorruptCheckpoint: it is no GGUF file, damaged or cut short, or a part of it is missing.
        UnsupportedModel: it has an architecture, a feature or a tensor type that the runtime does not have.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelNotFound(f"there is no file {path}: check the path")
        parts = [_open(part) for part in _parts(path)]
        metadata, found = parts[0].header.metadata, _collect(path, parts)
        architecture = architecture_of(path, metadata)
        self.path = path
        self.config = config_of(path, metadata, {name: item.entry.shape for name, item in found.items()})
        self._metadata = metadata
        self._tensors: dict[str, _Located] = {}
        for name, item in found.items():
            check_type(item.path, item.entry)
            heads = architecture.interleaved_heads(name, self.config)
            relay = None if heads is None else _deinterleaver(item.path, item.entry, heads)
            self._tensors[architecture.rename(name)] = _Located(item.path, item.data, item.entry, relay)

    @property
    def tokenizer(self) -> dict[str, Any]:
        """The content of an equivalent tokenizer.json, made anew at each access.

        Raises:
            CorruptCheckpoint: the vocabulary is incomplete or contradicts itself.
            UnsupportedModel: it is of a kind, or splits text in a way, that is not known.
        """
        return tokenizer_json(self.path, self._metadata)

    def read_optional(self, name: str) -> dict[str, Any]:
        """A JSON file that a folder may have, or {} where a GGUF file says nothing of the kind."""
        return {"add_bos_token": adds_bos(self._metadata)} if name == "tokenizer_config.json" else {}

    def __getitem__(self, name: str) -> Tensor:
        item = self._tensors[name]
        return read_tensor(item.data, item.entry, item.relay)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


@dataclass(frozen=True)
class _Part:
    path: Path
    data: Tensor
    header: Header


@dataclass(frozen=True)
class _Located:
    """A tensor with the mapped file that it lies in."""

    path: Path
    data: Tensor
    entry: Entry
    relay: Relay | None = None


def _open(path: Path) -> _Part:
    data = map_file(path)
    return _Part(path, data, read_header(path, data.numpy().data))


def _parts(path: Path) -> list[Path]:
    """The file itself, or all parts of the split model that it is one of; the first has the metadata."""
    match = PART.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match[2])
    parts = [path.with_name(f"{match[1]}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1)]
    for part in parts:
        if not part.is_file():
            raise CorruptCheckpoint(f"{path} lacks its part {part.name}: download or copy it again")
    return parts


def _collect(path: Path, parts: list[_Part]) -> dict[str, _Located]:
    """The tensors of all parts, by the file's own names."""
    metadata = parts[0].header.metadata
    if metadata.get("split.count", 1) not in (0, len(parts)):
        raise CorruptCheckpoint(
            f"{path} is one part of {metadata['split.count']}: "
            "put them beside each other, under the names that they were made with"
        )
    found = {
        name: _Located(part.path, part.data, entry)
        for part in parts
        for name, entry in part.header.entries.items()
    }
    total = sum(len(part.header.entries) for part in parts)
    if total != len(found) or metadata.get("split.tensors.count", total) != total:
        raise CorruptCheckpoint(f"the parts of {path} do not belong together: download or copy them again")
    return found


def _deinterleaver(path: Path, entry: Entry, heads: int) -> Relay:
    if entry.shape[0] % (2 * heads):
        raise CorruptCheckpoint(
            f"{path}: tensor {entry.name!r} of shape {entry.shape} cannot hold {heads} heads: "
            "download or copy it again"
        )
    return partial(deinterleave, heads=heads)
