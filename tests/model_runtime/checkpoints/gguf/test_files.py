"""GGUF files: tensors and config as in the checkpoint that the file was made from, and the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from model_runtime.checkpoints.families import family_of
from model_runtime.checkpoints.gguf.files import GgufFile
from model_runtime.checkpoints.gguf.tensors import QUANTISED
from model_runtime.decoding import Sampler, generate, weight_shapes
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.checkpoints.gguf.gguf_writing import (
    BF16,
    F16,
    F32,
    interleave,
    make_model,
    weights_of,
    write_model,
    write_tensors,
)

PROMPT = [5, 17, 42, 3, 88, 61, 7]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    ("llama", {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True, "rope_theta": 1e6}),
    ("llama", {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("starcoder", {}),
    ("starcoder", {"tie_word_embeddings": False}),
    ("starcoder2", {}),
]


Kind = GGMLQuantizationType
SCALES_AT = {
    Kind.Q4_1: (0, 2),
    Kind.Q5_1: (0, 2),
    Kind.Q2_K: (80, 82),
    Kind.Q3_K: (108,),
    Kind.Q4_K: (0, 2),
    Kind.Q5_K: (0, 2),
    Kind.Q6_K: (208,),
}
"""At which bytes of a block its fp16 scales lie, where that is not at the first two alone (ggml-common.h)."""


def greedy(model: Any, steps: int = 24) -> list[int]:
    prompt = torch.tensor([PROMPT])
    made = model.generate(prompt, max_new_tokens=steps, do_sample=False, eos_token_id=None, pad_token_id=0)
    tokens: list[int] = made[0, len(PROMPT) :].tolist()
    return tokens


@pytest.mark.parametrize("kind", [F32, F16, BF16])
@pytest.mark.parametrize(("architecture", "config"), VARIANTS)
def test_floats_come_back_bit_equal_under_transformers_names(
    tmp_path: Path, architecture: str, config: dict[str, Any], kind: Kind
) -> None:
    model = make_model(architecture, **config)
    file = GgufFile(write_model(tmp_path / "model.gguf", architecture, model, kind))
    expected = weights_of(model)
    dtype = {F32: torch.float32, F16: torch.float16, BF16: torch.bfloat16}[kind]
    assert set(file) == set(expected)
    assert len(file) == len(expected)
    for name, weight in expected.items():
        assert torch.equal(file[name].tensor(), weight.to(dtype) if weight.ndim > 1 else weight), name


@pytest.mark.parametrize(("architecture", "config"), VARIANTS)
def test_the_config_says_what_transformers_would_have_written(
    tmp_path: Path, architecture: str, config: dict[str, Any]
) -> None:
    original = make_model(architecture, **config)
    file = GgufFile(write_model(tmp_path / "model.gguf", architecture, original))
    settings = dict(file.config)
    read = AutoConfig.for_model(settings.pop("model_type"), **settings).to_dict()
    expected = original.config.to_dict()
    if architecture == "starcoder":
        expected["n_inner"] = 4 * 64  # which may also be left out
    for key in ("initializer_range", "dtype"):  # not about the model
        expected.pop(key)
    assert {key: read.get(key) for key in expected} == expected


def random_blocks(kind: Kind, rows: int, width: int) -> Any:
    """Valid blocks of any type: random bytes with scales of a sane size, in fp16, where the type has them."""
    values, size = GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (rows, width // values, size), dtype=np.uint8)
    for at in SCALES_AT.get(kind, (0,)):
        scales = random.normal(scale=0.1, size=(rows, width // values, 1)).astype(np.float16)
        blocks[..., at : at + 2] = scales.view(np.uint8)
    return blocks.reshape(rows, -1)


@pytest.mark.parametrize("kind", QUANTISED)
def test_quantised_tensors_equal_the_gguf_packages_own_decoding(tmp_path: Path, kind: Kind) -> None:
    blocks = random_blocks(kind, rows=70, width=512)
    file = GgufFile(write_tensors(tmp_path / "model.gguf", {"token_embd.weight": (blocks, kind)}))
    tensor = file["model.embed_tokens.weight"].tensor()
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, torch.from_numpy(dequantize(blocks, kind)))
    assert file.config["vocab_size"] == 70


def test_a_large_quantised_tensor_is_decoded_in_pieces_without_errors(tmp_path: Path) -> None:
    kind = Kind.Q8_0
    blocks = random_blocks(kind, rows=3000, width=512)
    file = GgufFile(write_tensors(tmp_path / "model.gguf", {"token_embd.weight": (blocks, kind)}))
    assert torch.equal(file["model.embed_tokens.weight"].tensor(), torch.from_numpy(dequantize(blocks, kind)))


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_0])
def test_quantised_rotary_rows_come_back_in_transformers_order(tmp_path: Path, kind: Kind) -> None:
    model = make_model("llama")
    file = GgufFile(write_model(tmp_path / "model.gguf", "llama", model, kind))
    for name in ("q_proj", "k_proj", "v_proj"):
        full = f"model.layers.1.self_attn.{name}.weight"
        heads = {"q_proj": 4, "k_proj": 2}.get(name)
        weight = weights_of(model)[full]
        assert (file[full].tensor() - weight).abs().max() < 0.1
        if heads:
            assert (file[full].tensor() - interleave(weight, heads)).abs().max() > 0.1


def test_floats_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    file = GgufFile(write_model(tmp_path / "model.gguf", "starcoder", make_model("starcoder"), F16))
    name = "transformer.h.1.mlp.c_fc.weight"
    assert np.shares_memory(file[name].values, file[name].values)


def test_a_split_model_is_read_through_any_of_its_parts(tmp_path: Path) -> None:
    model = make_model("llama")
    write_model(tmp_path / "model.gguf", "llama", model, tensors_per_file=8)
    parts = sorted(tmp_path.glob("*.gguf"))
    assert len(parts) == 3
    for part in parts:
        file = GgufFile(part)
        assert file.config["num_hidden_layers"] == 2
        assert set(file) == set(weights_of(model))
        assert all(torch.equal(file[name].tensor(), weight) for name, weight in weights_of(model).items())


@pytest.mark.parametrize("kind", [F32, Kind.Q8_0, Kind.Q4_1])
@pytest.mark.parametrize("config", [{}, {"num_key_value_heads": 1, "tie_word_embeddings": True}])
def test_greedy_tokens_equal_those_of_transformers_own_reading(
    tmp_path: Path, config: dict[str, Any], kind: Kind
) -> None:
    path = write_model(tmp_path / "model.gguf", "llama", make_model("llama", **config), kind)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    file = GgufFile(path)
    ours = LlamaForCausalLM(LlamaConfig(**file.config)).train(False)
    missing, unexpected = ours.load_state_dict({name: file[name].tensor() for name in file}, strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert not unexpected
    ours.tie_weights()
    assert greedy(ours) == greedy(theirs)


def open_decoder(source: Any) -> Decoder:
    """Our decoder on the weights of a GGUF file, or of anything else with a config and tensors."""
    family = family_of(source.config)
    config = family.decoder_config(source.config)
    layout = family.layout(config)

    def weight(name: str, shape: tuple[int, ...]) -> Tensor:
        [part] = layout[name]
        values = source[part.name].floats()
        return torch.from_numpy((part.order(values) if part.order else values).reshape(shape))

    return Decoder(config, {name: weight(name, shape) for name, shape in weight_shapes(config).items()})


@pytest.mark.parametrize("kind", [F32, F16, BF16, Kind.Q8_0, Kind.Q4_0])
@pytest.mark.parametrize("tied", [True, False])
def test_a_starcoder_file_gives_the_tokens_of_the_same_weights_in_a_folder(
    tmp_path: Path, kind: Kind, tied: bool
) -> None:
    model = make_model("starcoder", tie_word_embeddings=tied)
    file = GgufFile(write_model(tmp_path / "model.gguf", "starcoder", model, kind))
    missing, unexpected = model.load_state_dict(
        {name: file[name].tensor().float() for name in file}, strict=False
    )
    assert set(missing) <= {"lm_head.weight"}
    assert not unexpected
    decoder = open_decoder(file)
    steps = generate(decoder, decoder.new_cache(), PROMPT, Sampler(), max_tokens=24)
    assert [token for token in steps if token is not None] == greedy(model)
