"""A run's state on disk: one value in a folder, cut into pieces that travel.

train ▶ **pieces**. A folder is replaced whole or not at all, so that an interruption costs what came after
the last save and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch

LARGEST_PIECE = 15 * 2**20  # bytes


def save_pieces(state: dict[str, Any], folder: Path, largest: int = LARGEST_PIECE) -> None:
    """Write what `torch.save` makes of `state` into `folder`, in place of what was there."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    fresh, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh.mkdir(parents=True)
    for number, start in enumerate(range(0, len(content), largest)):
        (fresh / f"{number:03}.part").write_bytes(content[start : start + largest])
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (fresh / "pieces.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_pieces(folder: Path, device: str = "cpu") -> dict[str, Any] | None:
    """What was saved in `folder`, its tensors on `device`; None where nothing was.

    Raises:
        ValueError: pieces are missing or are not those that were written together.
    """
    old = folder.with_name(f"{folder.name}.old")
    if not folder.exists() and old.exists():  # interrupted between the two renamings
        folder = old
    if not (folder / "pieces.json").is_file():
        return None
    about = json.loads((folder / "pieces.json").read_text(encoding="utf-8"))
    content = b"".join(path.read_bytes() for path in sorted(folder.glob("*.part")))
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(f"{folder} is not whole ({len(content)} of {about['bytes']} bytes): copy it again")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return state
