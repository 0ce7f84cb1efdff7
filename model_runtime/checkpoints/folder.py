"""Reads a checkpoint folder: its JSON files, and its tensors from one file or from shards.

Whatever is wrong with a folder is reported in one line that says what it is and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model_runtime.api import CorruptCheckpoint, ModelNotFound
from model_runtime.checkpoints.stored import Stored
from model_runtime.checkpoints.tensor_files import Readers, open_tensors
from model_runtime.native import GroupedRows

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""transformers' names for weights, the safe format first; a sharded one has an `.index.json` instead."""


class CheckpointFolder(Mapping[str, Stored]):
    """A folder as transformers' `save_pretrained` writes it, as a mapping from names to tensors.

    Opening it reads `config` and the files' headers. Tensors are memory-mapped and must not be written to.

    Raises:
        ModelNotFound: there is no such folder, or no checkpoint in it.
        CorruptCheckpoint: a file is damaged or missing, or contradicts another one.
        UnsupportedModel: a file holds something that the runtime does not read.
    """

    def __init__(self, path: Path) -> None:
        _check_folder(path)
        self.path = path
        self.config = read_json(path / "config.json")
        self._readers = _open_weights(path)

    def read_optional(self, name: str) -> dict[str, Any]:
        """The content of a JSON file in the folder, or {} if there is none."""
        path = self.path / name
        return read_json(path) if path.is_file() else {}

    def __getitem__(self, name: str) -> Stored:
        return self._readers[name]()

    def grouped(self, name: str) -> GroupedRows | None:
        """None: matrices are not stored in groups."""
        return None

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        CorruptCheckpoint: it is something else, or cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error}): mend it or copy it again") from error
    if not isinstance(content, dict):
        raise CorruptCheckpoint(f"{path} holds no JSON object: mend it or copy it again")
    return content


def _check_folder(path: Path) -> None:
    if path.is_file():
        raise ModelNotFound(f"{path} is a file: name the folder that holds config.json and the weights")
    if not path.is_dir():
        raise ModelNotFound(f"there is no folder {path}: check the path")
    if not (path / "config.json").is_file():
        raise ModelNotFound(f"{path} has no config.json: name a folder that holds a checkpoint")


def _open_weights(folder: Path) -> Readers:
    for weights in WEIGHTS:
        index = folder / f"{weights}.index.json"
        if (folder / weights).is_file():
            return open_tensors(folder / weights)
        if index.is_file():
            return _open_shards(index)
    raise ModelNotFound(f"{folder} has no weights: {' or '.join(WEIGHTS)}, or their shards, must be there")


def _open_shards(index: Path) -> Readers:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CorruptCheckpoint(f"{index} has no weight_map: mend it or copy it again")
    shards = {shard: _open_shard(index, shard) for shard in sorted(set(weight_map.values()))}
    for name, shard in weight_map.items():
        if name not in shards[shard]:
            raise CorruptCheckpoint(
                f"{index.name} has tensor {name!r} in {shard}, which lacks it: download or copy both again"
            )
    return {name: reader for shard in shards.values() for name, reader in shard.items()}


def _open_shard(index: Path, shard: str) -> Readers:
    if Path(shard).name != shard:
        raise CorruptCheckpoint(f"{index} names {shard!r}: a shard must lie beside its index")
    if not (index.parent / shard).is_file():
        raise CorruptCheckpoint(f"shard {shard} is missing from {index.parent}: download or copy it again")
    return open_tensors(index.parent / shard)


def some(names: Iterable[str], limit: int = 3) -> str:
    """The first few of many names, for a message of one line."""
    ordered = sorted(names)
    rest = len(ordered) - limit
    return ", ".join(repr(name) for name in ordered[:limit]) + (f" and {rest} more" if rest > 0 else "")
