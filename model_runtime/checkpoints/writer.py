"""Writes a checkpoint folder, completely or not at all.

Tensors are written one at a time as they are added, so that memory holds one at most. Everything goes into a
hidden folder beside the target, which is renamed to the target at the end.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_runtime.api import BackendError, InvalidRequest
from model_runtime.checkpoints.stored import DTYPES, Stored

if TYPE_CHECKING:
    from torch import Tensor

MAX_SHARD_BYTES = 2_000_000_000
"""Maximum size of a weights file, unless a single tensor is larger: small enough to copy and to resume."""

HEADER_SPACE = 1 << 18  # bytes before the tensors: enough for some 2000 of them, and a whole number of pages

CARRIED = (
    "tokenizer*.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "generation_config.json", "chat_template.*",
    "LICENSE*", "LICENCE*", "NOTICE*", "README*",
)  # fmt: skip
"""Files that stay valid in any layout of a checkpoint."""


class CannotWrite(BackendError):
    """A checkpoint cannot be written: the target is not empty, not writable, or the disk is full."""


def check_apart(source: Path, target: Path) -> None:
    """Refuse to write a checkpoint over its source.

    Raises:
        InvalidRequest: both are the same.
    """
    if source.resolve() == target.resolve():
        raise InvalidRequest(f"{source} would be written over itself: name another folder for the result")


class CheckpointWriter:
    """Writes a checkpoint's tensors and files; made by `checkpoint_writer`."""

    def __init__(self, folder: Path, target: Path, max_shard_bytes: int) -> None:
        self._folder = folder
        self._target = target
        self._max_shard_bytes = max_shard_bytes
        self._shards: list[_Shard] = []
        self._shard_of: dict[str, _Shard] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Write `tensor`, of any shape, device and strides, under a unique name."""
        assert name not in self._shard_of, f"tensor {name!r} is added twice"
        data = Stored.of(tensor.detach().cpu().contiguous())
        assert data.dtype in DTYPES, f"safetensors has no {data.dtype}"
        entry = {"dtype": data.dtype, "shape": list(data.shape)}
        with _as_cannot_write(self._target):
            if not self._shards or not self._shards[-1].takes(name, entry, data, self._max_shard_bytes):
                self._next_shard()
            self._shards[-1].append(name, entry, data)
        self._shard_of[name] = self._shards[-1]

    def copy(self, file: Path) -> None:
        """Copy a file unchanged."""
        with _as_cannot_write(self._target):
            shutil.copyfile(file, self._folder / file.name)

    def carry(self, source: Path) -> None:
        """Copy the files of the folder `source` that stay valid: tokenizer, generation settings, licence."""
        for file in sorted(source.iterdir()):
            if file.is_file() and any(fnmatch(file.name, pattern) for pattern in CARRIED):
                self.copy(file)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file as transformers does."""
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        with _as_cannot_write(self._target):
            (self._folder / name).write_text(text, encoding="utf-8", newline="\n")

    def finish(self) -> None:
        """Name the shards, write their index, and rename the folder to the target."""
        assert self._shards, "a checkpoint without tensors"
        with _as_cannot_write(self._target):
            self._shards[-1].close()
            self._name_shards()
            if self._target.exists():
                self._target.rmdir()  # raises unless empty; Windows cannot rename onto a folder
            self._folder.rename(self._target)

    def discard(self) -> None:
        """Remove what was written."""
        if self._shards:
            self._shards[-1].abandon()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name_shards(self) -> None:
        """Name the shards, which is possible only when their number is known."""
        count = len(self._shards)
        names = {shard: f"model-{n:05}-of-{count:05}.safetensors" for n, shard in enumerate(self._shards, 1)}
        if count == 1:
            names = {self._shards[0]: "model.safetensors"}
        for shard, name in names.items():
            shard.path.rename(self._folder / name)
        if count > 1:
            index = {
                "metadata": {"total_size": sum(shard.length for shard in self._shards)},
                "weight_map": {name: names[shard] for name, shard in self._shard_of.items()},
            }
            self.write_json("model.safetensors.index.json", index)

    def _next_shard(self) -> None:
        if self._shards:
            self._shards[-1].close()
        self._shards.append(_Shard(self._folder / f"{len(self._shards)}.part"))


class _Shard:
    """A safetensors file that grows tensor by tensor; `length` is their size in bytes.

    The header comes before the tensors but is known only after them: space is reserved for it and padded with
    blanks, as the format allows (https://github.com/huggingface/safetensors#format).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0
        self._header: dict[str, dict[str, Any]] = {"__metadata__": {"format": "pt"}}
        self._header_length = len(json.dumps(self._header))
        self._file = path.open("wb")
        self._file.seek(HEADER_SPACE)

    def takes(self, name: str, entry: Mapping[str, Any], data: Stored, limit: int) -> bool:
        """Whether there is room for a tensor, and it would be aligned to its elements' size."""
        return (
            (self.length == 0 or self.length + data.nbytes <= limit)
            and self.length % data.values.itemsize == 0
            and self._header_length + _header_length(name, entry) <= HEADER_SPACE - 8
        )

    def append(self, name: str, entry: Mapping[str, Any], data: Stored) -> None:
        """Append a contiguous tensor."""
        end = self.length + data.nbytes
        self._file.write(data.values.reshape(-1).view(np.uint8).data)
        self._header[name] = {**entry, "data_offsets": [self.length, end]}
        self._header_length += _header_length(name, entry)
        self.length = end

    def close(self) -> None:
        """Write the header and sync to disk, where a full disk may be reported only now."""
        header = json.dumps(self._header).encode().ljust(HEADER_SPACE - 8)
        assert len(header) == HEADER_SPACE - 8
        self._file.seek(0)
        self._file.write(len(header).to_bytes(8, "little") + header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file without finishing it; Windows cannot remove open files."""
        with suppress(OSError):  # flushing its buffer may fail, too
            self._file.close()


def _header_length(name: str, entry: Mapping[str, Any]) -> int:
    """The most bytes that a tensor's header entry can take, whatever its offsets."""
    longest = 1 << 63
    return len(json.dumps({name: {**entry, "data_offsets": [longest, longest]}}))


@contextmanager
def checkpoint_writer(
    target: Path, *, expected_bytes: int = 0, max_shard_bytes: int = MAX_SHARD_BYTES
) -> Iterator[CheckpointWriter]:
    """Write a checkpoint into the folder `target`, which must not exist yet, or be empty.

    When the block ends, the complete checkpoint is there; if it raises, nothing is. A process that is killed
    leaves a hidden folder beside the target, which the next run removes. Of two simultaneous runs with the
    same target, the first one fails. The disk must have `expected_bytes` free.

    Raises:
        CannotWrite: the target is not empty, not writable, or the disk is full.
    """
    target = target.resolve()
    with _as_cannot_write(target):
        _check_target(target)
        folder = _begin(target, expected_bytes)
    writer = CheckpointWriter(folder, target, max_shard_bytes)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def _check_target(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise CannotWrite(f"{target} exists and is not empty: name a new folder, or remove this one")
    if target.is_dir() and os.path.ismount(target):
        raise CannotWrite(f"{target} is where a disk is mounted: name a new folder inside it")
    if target.exists() and not target.is_dir():
        raise CannotWrite(f"{target} is a file: name a new folder")


def _begin(target: Path, expected_bytes: int) -> Path:
    """Make an empty hidden folder beside `target`, and remove those of killed runs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    leftover = re.compile(re.escape(f".{target.name}.partial-") + "[0-9a-f]{8}")
    for path in target.parent.iterdir():
        if leftover.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
    free = shutil.disk_usage(target.parent).free
    if free < expected_bytes:
        raise CannotWrite(
            f"{target} needs {expected_bytes / 1e9:.1f} GB, its disk has {free / 1e9:.1f} GB left: make room"
        )
    folder = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    folder.mkdir()
    return folder


@contextmanager
def _as_cannot_write(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full: make room and try again" if full else error.strerror or str(error)
        raise CannotWrite(f"{target} cannot be written: {why}") from error
