"""fimble verify, with transformers' models of small random checkpoints, some damaged on one side."""

from __future__ import annotations

import json
import math
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_runtime.api import (
    CorruptCheckpoint,
    GreedyComparison,
    InvalidRequest,
    ModelNotFound,
    PartDifference,
    UnsupportedModel,
    Verification,
)
from model_runtime.checkpoints import load, verify_checkpoint
from model_runtime.checkpoints.verification.compare import compare_greedy
from model_runtime.checkpoints.verification.decoder_trace import trace_decoder
from model_runtime.checkpoints.verification.trace import Trace, interleaved
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.factory import TINY, write_checkpoint

PARTS = (
    "embedding", "queries", "keys", "values", "attention", "MLP", "block", "final norm", "logits"
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of every family; read only."""
    root = tmp_path_factory.mktemp("families")
    return {family: write_checkpoint(root / family, family=family) for family in TINY}


def verify(path: Path, **options: Any) -> Verification:
    return verify_checkpoint(path, **{"device": "cpu", "dtype": "fp32", **options})


def damaged(folder: Path, copy: Path, tensor: str, row: int = 0, value: float = 3.0) -> Path:
    """A copy of a checkpoint with another value in one row of one tensor."""
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors[tensor][row] = value
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def with_config(folder: Path, copy: Path, **changes: Any) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


@pytest.mark.parametrize("family", TINY)
def test_every_part_of_every_block_is_equal_to_rounding(folders: dict[str, Path], family: str) -> None:
    result = verify(folders[family])
    assert (result.ok, result.first, result.family) == (True, None, family)
    assert tuple(found.part for found in result.worst) == PARTS
    assert len(result.differences) == 3 + 2 * 6
    assert max(found.relative for found in result.differences) < 1e-5
    assert result.greedy == GreedyComparison(equal=32, steps=32, tie=False)


@pytest.mark.parametrize("family", TINY)
def test_half_precision_is_within_its_own_tolerance(folders: dict[str, Path], family: str) -> None:
    result = verify(folders[family], dtype="bf16")
    assert result.ok
    assert (result.dtype, result.tolerance) == ("bf16", 5e-2)


def test_heads_that_share_no_keys_are_compared_head_by_head(tmp_path: Path) -> None:
    assert verify(write_checkpoint(tmp_path, multi_query=False)).ok


@pytest.mark.parametrize(
    ("family", "tensor", "part", "layer"),
    [
        ("gpt_bigcode", "transformer.wpe.weight", "embedding", None),
        ("gpt_bigcode", "transformer.h.1.ln_1.bias", "queries", 1),
        ("gpt_bigcode", "transformer.h.1.attn.c_attn.weight", "queries", 1),
        ("gpt_bigcode", "transformer.h.1.attn.c_proj.weight", "attention", 1),
        ("gpt_bigcode", "transformer.h.1.mlp.c_proj.weight", "MLP", 1),
        ("gptj", "transformer.h.1.attn.k_proj.weight", "keys", 1),
        ("codegen", "transformer.h.1.attn.out_proj.weight", "attention", 1),
        ("codegen", "transformer.h.1.mlp.fc_in.bias", "MLP", 1),
        ("codegen", "lm_head.bias", "logits", None),
        ("llama", "model.layers.1.self_attn.q_proj.weight", "queries", 1),
        ("llama", "model.layers.1.self_attn.v_proj.weight", "values", 1),
        ("llama", "model.layers.1.post_attention_layernorm.weight", "MLP", 1),
        ("qwen2", "model.layers.0.mlp.up_proj.weight", "MLP", 0),
        ("starcoder2", "model.norm.weight", "final norm", None),
    ],
)
def test_a_wrong_weight_is_found_where_it_first_matters(
    folders: dict[str, Path], tmp_path: Path, family: str, tensor: str, part: str, layer: int | None
) -> None:
    ours = damaged(folders[family], tmp_path / "damaged", tensor)
    result = verify(ours, reference=folders[family])
    assert not result.ok
    assert result.first is not None
    assert (result.first.part, result.first.layer) == (part, layer)


def test_wrong_positions_show_in_the_first_blocks_queries(folders: dict[str, Path], tmp_path: Path) -> None:
    parameters = {"rope_type": "default", "rope_theta": 5e5}
    ours = with_config(folders["llama"], tmp_path / "turned", rope_parameters=parameters, rope_theta=5e5)
    result = verify(ours, reference=folders["llama"])
    assert result.first is not None
    assert (result.first.part, result.first.layer) == ("queries", 0)


def test_nan_is_an_infinite_difference(folders: dict[str, Path], tmp_path: Path) -> None:
    tensor = "transformer.h.1.mlp.c_proj.weight"
    ours = damaged(folders["gpt_bigcode"], tmp_path / "nan", tensor, value=math.nan)
    result = verify(ours, reference=folders["gpt_bigcode"])
    assert result.first is not None
    assert (result.first.part, result.first.layer, result.first.relative) == ("MLP", 1, math.inf)


def test_the_worst_block_stands_for_each_part() -> None:
    near, far = (PartDifference("MLP", layer, 0, size, size, True) for layer, size in ((0, 1e-6), (1, 1e-5)))
    greedy = GreedyComparison(1, 1, tie=False)
    result = Verification("m", "f", "cpu", "fp32", 1, 1e-4, (near, far), greedy)
    assert result.worst == (far,)


def traces(*logits: tuple[float, float]) -> list[Trace]:
    return [Trace(steps=[torch.tensor([1.0, 0.0]), torch.tensor(step)]) for step in logits]


def test_tokens_that_differ_at_a_tie_are_no_mistake() -> None:
    ours, theirs = traces((0.5, 0.50001), (0.50001, 0.5))
    assert compare_greedy(ours, theirs, 1e-4) == GreedyComparison(equal=1, steps=2, tie=True)


def test_tokens_that_differ_without_a_tie_are_a_mistake() -> None:
    ours, theirs = traces((0.5, 0.6), (0.6, 0.5))
    found = compare_greedy(ours, theirs, 1e-4)
    assert found == GreedyComparison(equal=1, steps=2, tie=False)
    assert not found.ok


def test_rotated_halves_are_reordered_as_interleaved_pairs() -> None:
    heads = torch.tensor([[[0, 2, 4, 1, 3, 5, 6, 7]]])
    assert interleaved(heads, rotary_dim=6).tolist() == [[list(range(8))]]


def test_the_text_is_cut_to_max_tokens(folders: dict[str, Path]) -> None:
    assert verify(folders["llama"], text="x = 1\n" * 50, max_tokens=7).tokens == 7
    assert verify(folders["llama"], text="x").tokens == 1


@pytest.mark.parametrize("context", [1, 2, 9, 40])
def test_a_short_context_leaves_room_for_the_continuation(tmp_path: Path, context: int) -> None:
    result = verify(write_checkpoint(tmp_path, n_positions=context))
    assert result.ok
    assert result.tokens + result.greedy.steps - 1 <= context


def test_the_decoder_and_transformers_are_left_as_they_were(folders: dict[str, Path]) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.utils import logging

    attend, level = ALL_ATTENTION_FUNCTIONS["sdpa"], logging.get_verbosity()
    decoder = load(folders["llama"], device="cpu", dtype="fp32").decoder
    assert isinstance(decoder, Decoder)
    before = decoder.forward([7, 8], decoder.new_cache())
    assert verify(folders["llama"]).ok
    first, second = (trace_decoder(decoder, [7, 8], steps=1) for _ in range(2))
    assert first.parts.keys() == second.parts.keys()
    assert decoder.forward([7, 8], decoder.new_cache()).equal(before)
    assert (ALL_ATTENTION_FUNCTIONS["sdpa"], logging.get_verbosity()) == (attend, level)


def test_progress_rises_to_the_end(folders: dict[str, Path]) -> None:
    seen: list[float] = []
    verify(folders["gptj"], progress=lambda share, _: seen.append(share))
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] <= 1


def test_nothing_goes_online(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert verify(folders["qwen2"]).ok


def test_accelerate_is_not_needed(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert verify(folders["gptj"]).ok


def test_an_unsupported_family_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="'mamba' is not supported"):
        verify(with_config(folders["llama"], tmp_path / "mamba", model_type="mamba"))


def test_a_quantised_checkpoint_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    quantization = {"quant_method": "fimble-int8"}
    with pytest.raises(UnsupportedModel, match="is quantised"):
        verify(with_config(folders["llama"], tmp_path / "int8", quantization_config=quantization))


def test_what_transformers_cannot_load_is_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    with pytest.raises(UnsupportedModel, match="transformers cannot load it"):
        verify(folders["llama"], reference=tmp_path / "reference")


def test_weights_that_transformers_would_initialise_are_an_error(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    reference = tmp_path / "reference"
    shutil.copytree(folders["llama"], reference)
    tensors = load_file(reference / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, reference / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"does not find 'model\.norm\.weight'"):
        verify(folders["llama"], reference=reference)


def test_a_tokenizer_of_another_model_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    write_checkpoint(tmp_path, vocab_size=100, ascii_only=False)
    with pytest.raises(CorruptCheckpoint, match=r"tokenizer\.json has tokens that the model lacks"):
        verify(tmp_path)


def test_a_damaged_tokenizer_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["llama"], tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptCheckpoint, match=r"tokenizer\.json is no sound tokenizer file"):
        verify(tmp_path / "copy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ""}, "the text has no tokens"),
        ({"max_tokens": 0}, "compare at least 1"),
        ({"tolerance": -1.0}, "use 0 or more"),
        ({"tolerance": math.nan}, "use 0 or more"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    folders: dict[str, Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        verify(folders["llama"], **options)


def test_a_folder_that_is_not_there_and_a_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        verify(tmp_path / "nowhere")
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UnsupportedModel, match="is a file"):
        verify(tmp_path / "model.gguf")
