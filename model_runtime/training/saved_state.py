"""The saved state of a training run: one folder, in files small enough to be copied anywhere.

The folder is replaced as a whole, so that an interruption loses only what came after the last save.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch

MAX_CHUNK_BYTES = 15 * 2**20
SUMMARY = "pieces.json"


def save_state(state: dict[str, Any], folder: Path, max_bytes: int = MAX_CHUNK_BYTES) -> None:
    """Write `state`, as `torch.save` serializes it, into `folder` in place of what was there."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    fresh, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh.mkdir(parents=True)
    for number, start in enumerate(range(0, len(content), max_bytes)):
        (fresh / f"{number:03}.part").write_bytes(content[start : start + max_bytes])
    summary = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (fresh / SUMMARY).write_text(json.dumps(summary) + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state that was saved in `folder`, its tensors on `device`; None where there is none.

    Raises:
        ValueError: a chunk is missing or damaged.
    """
    old = folder.with_name(f"{folder.name}.old")
    if not folder.exists() and old.exists():  # interrupted between the two renamings
        folder = old
    if not (folder / SUMMARY).is_file():
        return None
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    content = b"".join(path.read_bytes() for path in sorted(folder.glob("*.part")))
    if hashlib.sha256(content).hexdigest() != summary["sha256"]:
        raise ValueError(
            f"{folder} is incomplete ({len(content)} of {summary['bytes']} bytes): copy it again"
        )
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return state
