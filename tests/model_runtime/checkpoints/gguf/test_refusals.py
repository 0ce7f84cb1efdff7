"""Every way in which a GGUF file can be wrong, or ask for too much, ends in one line that says what it is."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType

from model_runtime.api import BackendError, CorruptCheckpoint, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints.gguf.files import GgufFile
from tests.model_runtime.checkpoints.gguf.gguf_writing import F32, make_model, write_model, write_tensors

EMBEDDING = {"token_embd.weight": (torch.zeros(96, 64), F32)}


def refusal(path: Path, kind: type[BackendError]) -> str:
    """The message with which a file is refused."""
    with pytest.raises(kind) as caught:
        GgufFile(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf", "llama", make_model("llama"))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    assert "check the path" in refusal(tmp_path / "nothing.gguf", ModelNotFound)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no GGUF file"),
        (b"GGUF", "no GGUF file"),
        (b"PK\x03\x04 something else", "no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"GGUF" + struct.pack("<I", 3), "damaged header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "damaged header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "damaged header"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert message in refusal(path, CorruptCheckpoint)


@pytest.mark.parametrize(
    ("version", "message"), [(1, "GGUF version 1; supported: 2, 3"), (3 << 24, "big-endian")]
)
def test_another_version_or_byte_order_is_refused(tmp_path: Path, version: int, message: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, 0, 0))
    assert message in refusal(path, UnsupportedModel)


def test_version_2_is_read_like_version_3(sound: Path) -> None:
    content = sound.read_bytes()
    sound.write_bytes(content[:4] + struct.pack("<I", 2) + content[8:])
    assert "model.norm.weight" in GgufFile(sound)


@pytest.mark.parametrize("kept", [30, 200, 700])
def test_a_header_that_is_cut_short_is_refused(sound: Path, kept: int) -> None:
    sound.write_bytes(sound.read_bytes()[:kept])
    assert "damaged header" in refusal(sound, CorruptCheckpoint)


def test_the_tensor_beyond_a_cut_is_named(sound: Path) -> None:
    sound.write_bytes(sound.read_bytes()[:-100])
    assert "is cut short: tensor 'output.weight' ends at byte" in refusal(sound, CorruptCheckpoint)


@pytest.mark.parametrize("where", range(0, 1200, 37))
def test_a_flipped_byte_in_the_header_never_ends_in_anything_but_a_refusal(sound: Path, where: int) -> None:
    content = bytearray(sound.read_bytes())
    content[where] ^= 0xFF
    sound.write_bytes(content)
    with contextlib.suppress(BackendError):
        assert GgufFile(sound).config


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "model.gguf", "llama", make_model("llama"), metadata={"general.architecture": "gemma3"}
    )
    message = refusal(path, UnsupportedModel)
    assert "'gemma3' is not supported; supported: llama, qwen2, starcoder, starcoder2" in message


@pytest.mark.parametrize("kind", [GGMLQuantizationType.I32, GGMLQuantizationType.IQ2_XXS])
def test_another_tensor_type_is_refused_by_name(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    weight = np.zeros((96, 66), np.uint8) if kind.name == "IQ2_XXS" else np.zeros((96, 64), np.int32)
    path = write_tensors(tmp_path / "model.gguf", {"token_embd.weight": (weight, kind)})
    message = refusal(path, UnsupportedModel)
    assert f"tensor 'token_embd.weight' has type {kind.name}; supported: F32, F16, BF16, Q4_0" in message


def test_a_tensor_type_that_nobody_knows_is_refused_by_number(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING)
    content = path.read_bytes()
    type_at = content.index(b"token_embd.weight") + len("token_embd.weight") + 4 + 2 * 8
    path.write_bytes(content[:type_at] + struct.pack("<I", 199) + content[type_at + 4 :])
    assert "tensor 'token_embd.weight' has type 199" in refusal(path, UnsupportedModel)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_count", 8),
        ("attention.sliding_window", 4096),
        ("attn_logit_softcapping", 50.0),
        ("rope.dimension_count", 8),
        ("attention.value_length", 8),
        ("attention.head_count_kv", [2, 1]),
    ],
)
def test_what_would_change_the_computation_is_refused_by_name(tmp_path: Path, key: str, value: Any) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING, **{key: value})
    message = refusal(path, UnsupportedModel)
    assert key in message
    assert "not supported" in message


def test_features_that_are_switched_off_are_no_reason_to_refuse(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING, expert_count=0, expert_used_count=0)
    assert GgufFile(path).config["model_type"] == "llama"


def test_rope_factors_as_in_llama_3_1_are_refused(tmp_path: Path) -> None:
    tensors = {**EMBEDDING, "rope_freqs.weight": (torch.ones(8), F32)}
    assert "rope_freqs.weight" in refusal(write_tensors(tmp_path / "model.gguf", tensors), UnsupportedModel)


def test_a_starcoder_with_many_key_heads_is_refused(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "model.gguf",
        "starcoder",
        make_model("starcoder"),
        metadata={"starcoder.attention.head_count_kv": 4},
    )
    assert "4 key heads" in refusal(path, UnsupportedModel)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({}, None),
        ({"rope.scaling.type": "none"}, None),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        ({"rope.scaling.factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        ({"rope.scale_linear": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        (
            {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": 2.5,
                "rope.scaling.original_context_length": 4096,
                "rope.scaling.finetuned": True,
            },
            {"rope_type": "yarn", "factor": 2.5, "original_max_position_embeddings": 4096},
        ),
    ],
)
def test_rope_scaling_goes_into_the_config_for_the_family_to_judge(
    tmp_path: Path, written: dict[str, Any], read: dict[str, Any] | None
) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING, **written)
    assert GgufFile(path).config["rope_scaling"] == read


@pytest.mark.parametrize("key", ["context_length", "attention.layer_norm_rms_epsilon"])
def test_missing_metadata_is_named(tmp_path: Path, key: str) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING, **{key: None})
    assert f"lacks llama.{key}" in refusal(path, CorruptCheckpoint)


@pytest.mark.parametrize(
    ("key", "value"), [("block_count", 0), ("context_length", "much"), ("rope.freq_base", True)]
)
def test_metadata_that_makes_no_sense_is_named(tmp_path: Path, key: str, value: Any) -> None:
    path = write_tensors(tmp_path / "model.gguf", EMBEDDING, **{key: value})
    assert f"llama.{key} is {value!r}" in refusal(path, CorruptCheckpoint)


def test_a_file_without_an_embedding_is_refused(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "model.gguf", {"output_norm.weight": (torch.ones(64), F32)})
    assert "lacks tensor 'token_embd.weight'" in refusal(path, CorruptCheckpoint)


def test_query_rows_that_make_no_whole_heads_are_refused(tmp_path: Path) -> None:
    tensors = {**EMBEDDING, "blk.0.attn_q.weight": (torch.zeros(63, 64), F32)}
    message = refusal(write_tensors(tmp_path / "model.gguf", tensors), CorruptCheckpoint)
    assert "'blk.0.attn_q.weight' of shape (63, 64) cannot hold 4 heads" in message


def test_a_tensor_that_the_architecture_does_not_have_keeps_its_name(tmp_path: Path) -> None:
    tensors = {**EMBEDDING, "blk.0.ffn_gate_exps.weight": (torch.zeros(2, 8, 64), F32)}
    assert "blk.0.ffn_gate_exps.weight" in GgufFile(write_tensors(tmp_path / "model.gguf", tensors))


def test_a_missing_part_of_a_split_model_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "model.gguf", "llama", make_model("llama"), tensors_per_file=8)
    (tmp_path / "model-00002-of-00003.gguf").unlink()
    message = refusal(tmp_path / "model-00001-of-00003.gguf", CorruptCheckpoint)
    assert "lacks its part model-00002-of-00003.gguf" in message


def test_a_part_of_a_split_model_under_another_name_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model.gguf", "llama", make_model("llama"), tensors_per_file=8)
    renamed = (tmp_path / "model-00001-of-00003.gguf").rename(tmp_path / "renamed.gguf")
    assert "is one part of 3" in refusal(renamed, CorruptCheckpoint)


def test_parts_of_different_models_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model.gguf", "llama", make_model("llama"), tensors_per_file=8)
    first = tmp_path / "model-00001-of-00003.gguf"
    (tmp_path / "model-00002-of-00003.gguf").write_bytes(
        (tmp_path / "model-00003-of-00003.gguf").read_bytes()
    )
    assert "do not belong together" in refusal(first, CorruptCheckpoint)
