"""Reads the files of a tokenizer: tokenizer.json, or the vocab.json and merges.txt of older folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_runtime.api import CorruptCheckpoint, ModelNotFound

Json = dict[str, Any]


def source_name(source: Path | Mapping[str, Any]) -> str:
    """How error messages name a tokenizer that was opened from `source`."""
    return str(source) if isinstance(source, Path) else "the tokenizer"


def read_tokenizer(source: Path) -> tuple[Json, Json]:
    """The content of a tokenizer.json, and of the tokenizer's settings files.

    Older folders are converted; `source` is the folder or the tokenizer.json.

    Raises:
        ModelNotFound: there is no tokenizer.
        CorruptCheckpoint: a file is no JSON object.
    """
    folder, path = (source, source / "tokenizer.json") if source.is_dir() else (source.parent, source)
    settings = _read_json(folder / "special_tokens_map.json") | _read_json(folder / "tokenizer_config.json")
    if path.is_file():
        return _read_json(path), settings
    if not ((folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()):
        raise ModelNotFound(
            f"{folder} has no tokenizer.json, nor vocab.json and merges.txt: "
            "copy them from where the checkpoint came from"
        )
    return _gpt2_content(folder, settings), settings


def _read_json(path: Path) -> Json:
    """A JSON object, {} where there is no file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise CorruptCheckpoint(f"{path} is no sound tokenizer file (no JSON object): copy it again")
    return content


def _gpt2_content(folder: Path, settings: Json) -> Json:
    """The tokenizer.json for the vocab.json and merges.txt of GPT-2's tokenizer and its descendants.

    Added tokens are in added_tokens.json or in tokenizer_config.json's `added_tokens_decoder`; those that are
    special are marked there or listed in special_tokens_map.json.
    """
    vocabulary = _read_json(folder / "vocab.json")
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    declared: dict[str, Json] = settings.get("added_tokens_decoder", {})
    added = _read_json(folder / "added_tokens.json")
    added |= {token["content"]: int(id_) for id_, token in declared.items()}
    special = {token["content"] for token in declared.values() if token.get("special")}
    for key, value in settings.items():
        if key.endswith("_token") or key == "additional_special_tokens":
            special |= {spelling(token) or "" for token in (value if isinstance(value, list) else [value])}
    added |= {token: vocabulary[token] for token in special if token in vocabulary}
    prefixed = bool(settings.get("add_prefix_space"))
    return {
        "added_tokens": [
            {"id": id_, "content": token, "special": token in special, "normalized": False}
            for token, id_ in added.items()
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefixed, "trim_offsets": True},
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": [line for line in lines[lines[0].startswith("#version") :] if line],
        },
    }


def spelling(token: object) -> str | None:
    """The spelling of a token in a settings file: a string, or an object with the string as `content`."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None
