"""A config.json that asks for what the decoder does not support is refused, and the setting is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_runtime.api import BackendError, CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints import load
from tests.model_runtime.factory import TINY, write_checkpoint

LLAMA_LIKE = ("llama", "qwen2", "starcoder2")

EVERYWHERE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"quantization_config": {"quant_method": "awq"}}, "'awq'"),
    ({"is_encoder_decoder": True}, "is_encoder_decoder True"),
    ({"add_cross_attention": True}, "add_cross_attention True"),
    ({"pretraining_tp": 2}, "pretraining_tp 2"),
    ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping 50.0"),
    ({"final_logit_softcapping": 30.0}, "final_logit_softcapping 30.0"),
    ({"logits_scaling": 8.0}, "logits_scaling 8.0"),
    ({"embedding_multiplier": 12.0}, "embedding_multiplier 12.0"),
    ({"parallel_attn": True}, "parallel_attn True"),
    ({"alibi": True}, "alibi True"),
    ({"clip_qkv": 8.0}, "clip_qkv 8.0"),
    ({"num_local_experts": 8}, "num_local_experts 8"),
)

LLAMA: tuple[tuple[dict[str, Any], str], ...] = (
    ({"hidden_act": "xielu"}, "hidden_act 'xielu'"),
    ({"num_attention_heads": 5, "head_dim": None}, "hidden_size 32 does not divide into 5 heads"),
    ({"num_key_value_heads": 3}, "4 query heads cannot share 3 key heads"),
    ({"head_dim": 7}, "the rotary part of a head is 7"),
    ({"layer_types": ["full_attention", "linear_attention"]}, "layer_types with 'linear_attention'"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "differs between layers (full_attention)"),
    *(
        ({"rope_scaling": {"rope_type": kind, "factor": 4.0}}, f"rope_scaling of type '{kind}'")
        for kind in ("dynamic", "yarn", "longrope", "llama3", "mrope")
    ),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling of type 'yarn'"),
    ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters of type 'yarn'"),
)

GPTJ: tuple[tuple[dict[str, Any], str], ...] = (
    ({"rotary_dim": 7}, "rotary_dim 7 is no even number from 2 to the head's"),
    ({"rotary_dim": 64}, "rotary_dim 64 is no even number"),
    ({"rotary_dim": 0}, "rotary_dim 0 is no even number"),
    ({"scale_attn_weights": False}, "scale_attn_weights False"),
    ({"rotary": False}, "rotary False"),
    ({"n_embd": 33}, "n_embd 33 does not divide into"),
)

SENSELESS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("llama", {"rope_theta": "big", "rope_parameters": None}, "rope_theta is 'big'"),
    ("llama", {"rope_theta": -1.0, "rope_parameters": None}, "rope_theta is -1.0"),
    ("llama", {"rope_scaling": {"type": "linear"}}, "rope_scaling's factor is 0.0"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": None}}, "factor is None"),
    ("llama", {"rope_scaling": ["linear"]}, "rope_scaling is ['linear'], which is no object"),
    ("llama", {"num_key_value_heads": 0}, "num_key_value_heads is 0"),
    ("llama", {"max_position_embeddings": None}, "max_position_embeddings is None"),
    ("llama", {"attention_bias": "no"}, "attention_bias is 'no'"),
    ("llama", {"layer_types": "full"}, "layer_types is 'full', which is no list"),
    ("llama", {"rms_norm_eps": "small"}, "rms_norm_eps is 'small'"),
    ("qwen2", {"use_sliding_window": 1}, "use_sliding_window is 1"),
    ("starcoder2", {"sliding_window": -5}, "sliding_window is -5"),
    ("starcoder2", {"use_bias": None}, "use_bias is None"),
    ("gptj", {"rotary_dim": "all"}, "rotary_dim is 'all'"),
    ("codegen", {"n_layer": 2.5}, "n_layer is 2.5"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        family: write_checkpoint(tmp_path_factory.mktemp(family), ascii_only=False, family=family)
        for family in TINY
    }


def refuse(folder: Path, changes: dict[str, Any], kind: type[BackendError], named: str) -> None:
    """With these changes to its config, the checkpoint is refused in one line that says why."""
    path = folder / "config.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | changes))
    try:
        with pytest.raises(kind) as caught:
            load(folder, device="cpu", dtype="fp32")
    finally:
        path.write_text(before)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "named"), EVERYWHERE)
@pytest.mark.parametrize("family", TINY)
def test_what_no_family_has(
    folders: dict[str, Path], family: str, changes: dict[str, Any], named: str
) -> None:
    refuse(folders[family], changes, UnsupportedModel, named)


@pytest.mark.parametrize(("changes", "named"), LLAMA)
@pytest.mark.parametrize("family", LLAMA_LIKE)
def test_what_llamas_relatives_do_not_have(
    folders: dict[str, Path], family: str, changes: dict[str, Any], named: str
) -> None:
    refuse(folders[family], changes, UnsupportedModel, named)


@pytest.mark.parametrize(("changes", "named"), GPTJ)
@pytest.mark.parametrize("family", ["gptj", "codegen"])
def test_what_gptj_and_codegen_do_not_have(
    folders: dict[str, Path], family: str, changes: dict[str, Any], named: str
) -> None:
    refuse(folders[family], changes, UnsupportedModel, named)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"head_dim": 16}, "head_dim 16"), ({"n_head": 2}, "n_head 2 does not divide by mp_num 4")],
)
def test_what_codegen_does_not_have(folders: dict[str, Path], changes: dict[str, Any], named: str) -> None:
    refuse(folders["codegen"], changes, UnsupportedModel, named)


def test_layers_of_gpt_bigcode_that_scale_differently(folders: dict[str, Path]) -> None:
    changes = {"scale_attn_by_inverse_layer_idx": True}
    refuse(folders["gpt_bigcode"], changes, UnsupportedModel, "scale_attn_by_inverse_layer_idx True")


@pytest.mark.parametrize(("family", "changes", "named"), SENSELESS)
def test_values_that_make_no_sense(
    folders: dict[str, Path], family: str, changes: dict[str, Any], named: str
) -> None:
    refuse(folders[family], changes, CorruptCheckpoint, named)
