"""Families read config.json as transformers does, and their layouts can be undone bit by bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_runtime.api import CorruptCheckpoint
from model_runtime.checkpoints.families import codegen, family_of
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.torch_weights import TorchWeights
from model_runtime.checkpoints.weights import Weights
from model_runtime.decoding import DecoderConfig, Rotary, weight_shapes
from tests.model_runtime.checkpoints.test_loading import measured, write_int8
from tests.model_runtime.factory import make_model, train_tokenizer, write_checkpoint
from tests.model_runtime.opening import open_torch
from tests.model_runtime.torch_decoder.shapes import FAMILIES, SHAPES

PROMPT = list(range(10, 40))


def logits(folder: Path) -> Tensor:
    decoder = open_torch(folder)
    return decoder.forward(PROMPT, decoder.new_cache(), "all")


def exported(folder: Path) -> dict[str, Tensor]:
    """A checkpoint read into our layout and written back as its family's own."""
    checkpoint = CheckpointFolder(folder)
    family = family_of(checkpoint.config)
    config = family.decoder_config(checkpoint.config)
    return dict(family.export(config, TorchWeights(Weights(checkpoint, family, config))))


def assert_bit_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def configure(folder: Path, *without: str, **changes: Any) -> None:
    path = folder / "config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key not in without}
    path.write_text(json.dumps(config | changes))


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_weights_written_back_are_bit_equal_to_the_source(tmp_path: Path, shape: dict[str, Any]) -> None:
    make_model(**shape).save_pretrained(tmp_path)
    assert_bit_equal(exported(tmp_path), load_file(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_written_back_keep_their_dtype(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    make_model(family=family).to(dtype).save_pretrained(tmp_path)
    assert_bit_equal(exported(tmp_path), load_file(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_weights_are_read_as_the_numbers_they_represent(tmp_path: Path, family: str) -> None:
    write_checkpoint(tmp_path, family=family)
    names = load_file(tmp_path / "model.safetensors").keys()
    meant = write_int8(tmp_path)
    for name, tensor in exported(tmp_path).items():
        assert torch.equal(tensor, meant[name]), name
    assert set(exported(tmp_path)) == names


@pytest.mark.parametrize("mp_num", [1, 2, 4, 8])
def test_codegens_groups_may_be_of_any_number(mp_num: int) -> None:
    config = {"n_embd": 32, "n_head": 8, "n_layer": 1, "n_positions": 16, "vocab_size": 50, "rotary_dim": 2}
    heads, head_dim = 8, 4
    rows = []  # of theirs, each named by what it is
    for group in range(mp_num):
        for part in ("q", "v", "k"):
            for head in range(group * heads // mp_num, (group + 1) * heads // mp_num):
                rows += [(part, head, element) for element in range(head_dim)]
    [fused] = codegen.layout(codegen.decoder_config(config), mp_num)["blocks.0.qkv.weight"]
    assert fused.order is not None
    ours = [rows[index] for index in fused.order(np.arange(3 * 32)).tolist()]
    # With 2 rotated elements there is nothing to deinterleave.
    assert ours == [(part, head, element) for part in "qkv" for head in range(8) for element in range(4)]


def test_codegen2s_small_models_are_told_by_their_config() -> None:
    config = {"n_embd": 2048, "n_head": 16, "n_layer": 1, "n_positions": 16, "vocab_size": 50}
    for changes, groups in (({}, 4), ({"head_dim": 128}, 8)):
        settings = {"model_type": "codegen", **config, **changes}
        family = family_of(settings)
        [found] = family.layout(family.decoder_config(settings))["blocks.0.qkv.weight"]
        [expected] = codegen.layout(codegen.decoder_config(settings), groups)["blocks.0.qkv.weight"]
        assert found.order is not None
        assert expected.order is not None
        assert np.array_equal(found.order.index, expected.order.index)


@pytest.mark.parametrize(("family", "head_dim"), [("codegen", 8), ("gptj", 16)])
def test_a_rotary_dim_of_null_rotates_the_whole_head(tmp_path: Path, family: str, head_dim: int) -> None:
    write_checkpoint(tmp_path, family=family, rotary_dim=head_dim)
    expected = logits(tmp_path)
    configure(tmp_path, rotary_dim=None)
    assert torch.equal(logits(tmp_path), expected)


LLAMA_CONFIG = {
    "model_type": "llama", "vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4,
    "num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip


def decoder_config(**changes: Any) -> DecoderConfig:
    config = {**LLAMA_CONFIG, **changes}
    return family_of(config).decoder_config(config)


@pytest.mark.parametrize(
    ("settings", "rotary"),
    [
        ({}, Rotary(8, 1e4)),
        ({"rope_theta": 1000000}, Rotary(8, 1e6)),
        ({"rope_theta": 1e6, "rope_scaling": None}, Rotary(8, 1e6)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, Rotary(8, 1e6)),
        ({"rope_theta": 1e5, "rope_scaling": {"type": "linear", "factor": 4.0}}, Rotary(8, 1e5, 4.0)),
        ({"rope_theta": 1e5, "rope_scaling": {"rope_type": "linear", "factor": 4}}, Rotary(8, 1e5, 4.0)),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4}}, Rotary(8, 1e5, 4.0)),
        ({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 1e5}, Rotary(8, 1e6)),
        ({"head_dim": 16, "rope_theta": 1e5}, Rotary(16, 1e5)),
    ],
)
def test_rotary_settings_of_all_ages_are_read_as_transformers_does(
    settings: dict[str, Any], rotary: Rotary
) -> None:
    from transformers import LlamaConfig

    found = decoder_config(**settings)
    assert found.rotary == rotary
    theirs: Any = LlamaConfig(**json.loads(json.dumps(settings)))
    parameters = theirs.rope_parameters
    assert (parameters["rope_theta"], parameters.get("factor", 1)) == (rotary.theta, rotary.factor)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("starcoder2", {}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 0}),
    ],
)
@torch.inference_mode()
def test_the_context_ends_where_a_window_begins_to_matter(
    tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    windowed = {"family": family, "sliding_window": 20, **settings}
    write_checkpoint(tmp_path, ascii_only=False, **windowed)
    decoder = open_torch(tmp_path)
    assert decoder.config.context_length == 20
    theirs, unwindowed = (
        make_model(**shape)(torch.tensor([PROMPT])).logits[0]
        for shape in (windowed, {**windowed, "sliding_window": None})
    )
    ours = decoder.forward(PROMPT[:20], decoder.new_cache(), "all")
    torch.testing.assert_close(ours, theirs[:20], atol=1e-4, rtol=0)
    assert (theirs[20] - unwindowed[20]).abs().max() > 1e-2, "one token more would not see all"


def test_what_a_config_leaves_out_has_transformers_default() -> None:
    from transformers import LlamaConfig

    found, theirs = decoder_config(), LlamaConfig()
    assert (found.norm_eps, found.activation, found.tied_head) == (theirs.rms_norm_eps, "silu", False)
    assert (found.kv_heads, found.head_dim, found.biases) == (4, 8, frozenset())


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path, family="llama")


PREFIX = "model.layers.1"


@pytest.mark.parametrize(
    "name", [f"{PREFIX}.self_attn.{part}_proj.weight" for part in "qkv"] + [f"{PREFIX}.mlp.gate_proj.weight"]
)
def test_each_part_of_a_fused_weight_is_named_when_it_is_missing_or_wrong(llama: Path, name: str) -> None:
    rewrite(llama, lambda tensors: tensors.update({name: torch.zeros(5, 32)}))
    with pytest.raises(CorruptCheckpoint, match=rf"'{name}' has shape \(5, 32\), config\.json asks for"):
        open_torch(llama)
    rewrite(llama, lambda tensors: tensors.pop(name))
    with pytest.raises(CorruptCheckpoint, match=f"lacks tensor '{name}'"):
        open_torch(llama)


def test_a_bias_that_the_config_denies_is_not_ignored(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, family="llama", attention_bias=True)
    configure(tmp_path, attention_bias=False)
    with pytest.raises(CorruptCheckpoint, match=r"unexpected tensor .*_proj\.bias'"):
        open_torch(tmp_path)


def test_frequencies_that_old_releases_saved_are_skipped(llama: Path) -> None:
    expected = logits(llama)
    old = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.rotary_emb.inv_freq": torch.ones(4),
    }
    rewrite(llama, lambda tensors: tensors.update(old))
    assert torch.equal(logits(llama), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status, which Linux alone has")
@pytest.mark.parametrize(("dtype", "copied"), [("bf16", 0.5), ("fp32", 0.75)])
def test_fused_weights_are_put_together_without_a_second_copy(
    tmp_path: Path, checkpoint_folder: Path, dtype: str, copied: float
) -> None:
    width, mlp = 512, 1536
    config = {
        **LLAMA_CONFIG, "vocab_size": 384, "num_hidden_layers": 4, "num_key_value_heads": 4,
        "hidden_size": width, "intermediate_size": mlp,
    }  # fmt: skip
    family = family_of(config)
    decoder = family.decoder_config(config)
    random = {name: torch.randn(shape) for name, shape in weight_shapes(decoder).items()}
    save_file(dict(family.export(decoder, random)), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    train_tokenizer().save(str(tmp_path / "tokenizer.json"))
    most, _ = measured(tmp_path, checkpoint_folder, dtype, "float")
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 50e6
    assert most <= copied * size + 2 * mlp * width * 4 + 4e6
