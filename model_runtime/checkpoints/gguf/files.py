"""Reads a GGUF file like a checkpoint folder, so that loading and the families need not know of GGUF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.api import CorruptCheckpoint, ModelNotFound
from model_runtime.checkpoints.families import RowOrder
from model_runtime.checkpoints.families.rotary import deinterleaved
from model_runtime.checkpoints.gguf.config import architecture_of, config_of
from model_runtime.checkpoints.gguf.header import Entry, Header, read_header
from model_runtime.checkpoints.gguf.tensors import check_type, map_file, read_grouped, read_tensor
from model_runtime.checkpoints.gguf.tokenizer import adds_bos, tokenizer_json
from model_runtime.checkpoints.stored import Stored
from model_runtime.native import GroupedRows

PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)
"""llama.cpp's names for the parts of a split model."""


class GgufFile(Mapping[str, Stored]):
    """A model in a GGUF file, split or not, as a mapping from transformers' names to tensors.

    It has the attributes of a `CheckpointFolder`: `config` is the content of config.json, `tokenizer` that of
    tokenizer.json, `read_optional` that of other JSON files. Float tensors are views of the mapped file and
    must not be written to; quantised ones are decoded at each look-up.

    Raises:
        ModelNotFound: there is no such file.
        CorruptCheckpoint: it is no GGUF file, damaged or cut short, or one of its parts is missing.
        UnsupportedModel: its architecture, a feature or a tensor type is not supported.
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
            order = None if heads is None else _row_order(item, heads)
            self._tensors[architecture.rename(name)] = replace(item, order=order)

    @property
    def tokenizer(self) -> dict[str, Any]:
        """The content of an equivalent tokenizer.json, made at each access; raises as `tokenizer_json`."""
        return tokenizer_json(self.path, self._metadata)

    def read_optional(self, name: str) -> dict[str, Any]:
        """The content of a JSON file that a folder may have, or {} if a GGUF file has nothing like it."""
        return {"add_bos_token": adds_bos(self._metadata)} if name == "tokenizer_config.json" else {}

    def __getitem__(self, name: str) -> Stored:
        item = self._tensors[name]
        return read_tensor(item.data, item.entry, item.order)

    def grouped(self, name: str) -> GroupedRows | None:
        """A matrix as it is quantised in groups of 32; None if it is not."""
        item = self._tensors[name]
        return read_grouped(item.data, item.entry, item.order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


@dataclass(frozen=True)
class _OpenFile:
    path: Path
    data: NDArray[np.uint8]
    header: Header


@dataclass(frozen=True)
class _Located:
    """A tensor and the mapped file that has it; `order` undoes llama.cpp's interleaving, if any."""

    path: Path
    data: NDArray[np.uint8]
    entry: Entry
    order: RowOrder | None = None


def _open(path: Path) -> _OpenFile:
    data = map_file(path)
    return _OpenFile(path, data, read_header(path, data.data))


def _parts(path: Path) -> list[Path]:
    """The file itself, or all parts of a split model, the first of which has the metadata."""
    match = PART.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match[2])
    parts = [path.with_name(f"{match[1]}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1)]
    for part in parts:
        if not part.is_file():
            raise CorruptCheckpoint(f"{path} lacks its part {part.name}: download or copy it again")
    return parts


def _collect(path: Path, parts: list[_OpenFile]) -> dict[str, _Located]:
    """The tensors of all parts, by the file's own names."""
    metadata = parts[0].header.metadata
    if metadata.get("split.count", 1) not in (0, len(parts)):
        raise CorruptCheckpoint(
            f"{path} is one part of {metadata['split.count']}: "
            "put them beside each other, under their original names"
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


def _row_order(item: _Located, heads: int) -> RowOrder:
    """The order that undoes the interleaving of rotary heads, which llama.cpp's kernel rotates in pairs.

    Source: `LlamaModel.permute` in llama.cpp's `convert_hf_to_gguf.py`, of which this is the inverse.
    """
    head_dim, rest = divmod(item.entry.shape[0], heads)
    if rest or head_dim % 2:
        raise CorruptCheckpoint(
            f"{item.path}: tensor {item.entry.name!r} of shape {item.entry.shape} cannot hold {heads} heads: "
            "download or copy it again"
        )
    return deinterleaved(heads, head_dim, head_dim)
