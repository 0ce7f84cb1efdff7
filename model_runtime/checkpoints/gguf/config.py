"""Turns a GGUF file's metadata into the config.json that transformers would write for the same model.

Keys of the architecture that were not used, and are not switched off, are refused by name: they would change
what the model computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.gguf.architectures import ARCHITECTURES, Architecture
from model_runtime.checkpoints.gguf.vocabulary import special_id

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of a file's tensors, by its own names."""

HARMLESS = ("vocab_size", "tensor_data_layout", "expert_used_count", "rope.scaling.finetuned")
"""Keys that change nothing: they repeat what the tensors say, or all files with them have the same layout."""

SCALING = {
    "type": "rope_type",
    "original_context_length": "original_max_position_embeddings",
    "attn_factor": "attention_factor",
    "yarn_attn_factor": "attention_factor",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}
"""transformers' names for the keys of rope scaling, where they differ."""

STOPS = ("eos", "eot", "eom")
"""End of text, turn and message: llama.cpp stops at any of them, so all become `eos_token_id`."""


def architecture_of(path: Path, metadata: Mapping[str, Any]) -> Architecture:
    """The architecture of a file.

    Raises:
        UnsupportedModel: it names an unknown one, or none.
    """
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UnsupportedModel(
            f"{path}: GGUF architecture {name!r} is not supported; "
            f"supported: {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]


def config_of(path: Path, metadata: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The config.json of the model in a file with this metadata and these tensors.

    Raises:
        CorruptCheckpoint: a key, or the embedding, is missing or makes no sense.
        UnsupportedModel: the file uses a feature that a config cannot express.
    """
    architecture = architecture_of(path, metadata)
    settings = _Settings(path, metadata)
    if len(shapes.get("token_embd.weight", ())) != 2:
        raise CorruptCheckpoint(f"{path} lacks tensor 'token_embd.weight': download or copy it again")
    config: dict[str, Any] = {
        "model_type": architecture.model_type,
        **architecture.implied,
        **{theirs: settings.size(key) for key, theirs in architecture.sizes.items()},
        **{theirs: settings.number(key) for key, theirs in architecture.numbers.items()},
        # The embedding may be padded to more rows than the tokenizer has tokens.
        "vocab_size": shapes["token_embd.weight"][0],
        "tie_word_embeddings": "output.weight" not in shapes,
        **{flag: tensor in shapes for flag, tensor in architecture.flags.items()},
        **_special_ids(metadata),
    }
    heads = config[architecture.sizes["attention.head_count"]]
    kv_heads = settings.size("attention.head_count_kv", heads)
    if architecture.rotary:
        width = config[architecture.sizes["embedding_length"]]
        config |= {"num_key_value_heads": kv_heads, **_rotary(path, settings, width, heads, shapes)}
    elif kv_heads != 1:
        raise UnsupportedModel(f"{path}: {kv_heads} key heads are not supported here: only one for all is")
    settings.refuse_rest()
    return config


def _rotary(path: Path, settings: _Settings, width: int, heads: int, shapes: Shapes) -> dict[str, Any]:
    """The settings of rotary positions, which must rotate whole heads."""
    head_dim = settings.size("attention.key_length", width // heads)
    for key in ("rope.dimension_count", "attention.value_length"):
        if settings.size(key, head_dim) != head_dim:
            raise UnsupportedModel(f"{path}: {key} other than the heads' {head_dim} is not supported")
    if "rope_freqs.weight" in shapes:
        raise UnsupportedModel(
            f"{path}: tensor 'rope_freqs.weight' (rope scaling as in Llama 3.1) is not supported"
        )
    return {
        "head_dim": head_dim,
        "rope_theta": settings.number("rope.freq_base", 10000.0),
        "rope_scaling": _rope_scaling(settings),
    }


def _rope_scaling(settings: _Settings) -> dict[str, Any] | None:
    scaling = {SCALING.get(key, key): value for key, value in settings.group("rope.scaling.").items()}
    old = settings.number("rope.scale_linear", 0.0)
    if old:
        scaling.setdefault("factor", old)
    # llama.cpp takes a factor without a type as linear.
    kind = scaling.setdefault("rope_type", "linear" if "factor" in scaling else "none")
    return None if kind == "none" else scaling


def _special_ids(metadata: Mapping[str, Any]) -> dict[str, Any]:
    # llama.cpp's defaults for a sentencepiece vocabulary.
    found = {"bos": 1, "eos": 2} if metadata.get("tokenizer.ggml.model") == "llama" else {}
    for name in ("bos", *STOPS):
        token = special_id(metadata, name)
        if token is not None:
            found[name] = token
    stops = list(dict.fromkeys(found[name] for name in STOPS if name in found))
    return {
        "bos_token_id": found.get("bos"),
        "eos_token_id": stops if len(stops) > 1 else next(iter(stops), None),
    }


class _Settings:
    """The metadata of a file's architecture; keys are removed as they are read."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self._path = path
        self._prefix = f"{metadata['general.architecture']}."
        self._left = {
            key[len(self._prefix) :]: _shortest_decimal(value)
            for key, value in metadata.items()
            if key.startswith(self._prefix)
        }

    def size(self, key: str, default: int | None = None) -> int:
        value = self._take(key, default)
        if type(value) is not int or value < 1:
            raise self._wrong(key, value, "a positive integer")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._take(key, default)
        if type(value) not in (int, float) or value < 0:
            raise self._wrong(key, value, "a number")
        return float(value)

    def group(self, prefix: str) -> dict[str, Any]:
        """All keys that begin with `prefix`, without it."""
        keys = [key for key in self._left if key.startswith(prefix) and key not in HARMLESS]
        return {key[len(prefix) :]: self._left.pop(key) for key in keys}

    def refuse_rest(self) -> None:
        for key, value in self._left.items():
            if key not in HARMLESS and value:
                raise UnsupportedModel(f"{self._path}: {self._prefix}{key} = {value!r} is not supported")

    def _take(self, key: str, default: float | None) -> Any:
        value = self._left.pop(key, default)
        if value is None:
            raise CorruptCheckpoint(f"{self._path} lacks {self._prefix}{key}: download it again")
        if isinstance(value, list):
            raise UnsupportedModel(f"{self._path}: {self._prefix}{key} that varies by layer is not supported")
        return value

    def _wrong(self, key: str, value: Any, wanted: str) -> CorruptCheckpoint:
        return CorruptCheckpoint(f"{self._path}: {self._prefix}{key} is {value!r}; {wanted} is needed")


def _shortest_decimal(value: Any) -> Any:
    """A number from fp32 as the shortest decimal that it rounds from: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
