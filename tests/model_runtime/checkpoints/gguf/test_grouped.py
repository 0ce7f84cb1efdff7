"""GGUF's blocks in groups of 32: the same numbers as decoded, and no more memory than in the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize

from model_runtime.checkpoints import load
from model_runtime.checkpoints.gguf.files import GgufFile
from model_runtime.checkpoints.gguf.grouped import READERS, grouped_rows
from model_runtime.checkpoints.gguf.tensors import QUANTISED
from model_runtime.checkpoints.loading import family_and_config
from model_runtime.checkpoints.reading import ENDS
from model_runtime.checkpoints.weights import Weights
from model_runtime.decoding import weight_shapes
from model_runtime.native import GROUP, Bits, NativeDecoder, pack
from model_runtime.torch_decoder import Decoder
from tests.model_runtime.checkpoints.gguf.gguf_writing import (
    F32,
    add_metadata,
    add_tensor,
    describe,
    finish,
    interleave,
    make_model,
    weights_of,
    write_tensors,
)
from tests.model_runtime.checkpoints.gguf.test_files import SCALES_AT, random_blocks
from tests.model_runtime.checkpoints.gguf.test_tokenizer import metadata_of
from tests.model_runtime.factory import train_tokenizer
from tests.model_runtime.native.decoders import all_logits, error, some_tokens
from tests.model_runtime.native.support import needs_native

Kind = GGMLQuantizationType
K_QUANTS = (Kind.Q4_K, Kind.Q5_K)
FOUR_BITS = (Kind.Q4_0, Kind.Q4_1, Kind.Q4_K)


@pytest.mark.parametrize("kind", READERS)
def test_blocks_in_groups_have_the_values_that_the_gguf_package_decodes(kind: Kind) -> None:
    blocks = random_blocks(kind, rows=70, width=512)
    rows = grouped_rows(blocks, kind)
    assert rows is not None
    assert rows.bits == (4 if kind in FOUR_BITS else 8)
    found, expected = rows.dequantized(), dequantize(blocks, kind)
    if kind in K_QUANTS:  # a group's scale and minimum are products there, which are rounded to fp16
        assert rows.minima is not None
        steps = np.repeat(np.abs(rows.scales).astype(np.float32), GROUP, axis=1)
        minima = np.repeat(np.abs(rows.minima).astype(np.float32), GROUP, axis=1)
        levels = 31 if kind is Kind.Q5_K else 15
        assert (np.abs(found - expected) <= (levels * steps + minima) / 2047 + 1e-6).all()
    else:
        assert np.array_equal(found, expected)
    assert np.array_equal(pack(rows).dequantized(), found)


@pytest.mark.parametrize("kind", sorted(set(QUANTISED) - set(READERS)))
def test_a_type_with_other_groups_has_none_of_32(kind: Kind) -> None:
    assert grouped_rows(random_blocks(kind, rows=2, width=256), kind) is None


@pytest.mark.parametrize("kind", READERS)
def test_a_matrix_takes_as_much_memory_as_in_the_file(tmp_path: Path, kind: Kind) -> None:
    blocks = random_blocks(kind, rows=64, width=512)
    file = GgufFile(write_tensors(tmp_path / "model.gguf", {"token_embd.weight": (blocks, kind)}))
    rows = file.grouped("model.embed_tokens.weight")
    assert rows is not None
    # Scales and minima are in fp16 here; K-quants have them in 6 bits, and Q5 becomes 8 bits.
    scales = 2 * blocks.size // GGML_QUANT_SIZES[kind][1] * GGML_QUANT_SIZES[kind][0] // GROUP
    size = 64 * 512 * rows.bits // 8 + scales * (1 if rows.minima is None else 2)
    assert pack(rows).nbytes == size
    if kind in (Kind.Q8_0, Kind.Q4_0, Kind.Q4_1):
        assert size == blocks.size


def test_floats_and_vectors_are_in_no_groups(tmp_path: Path) -> None:
    weights = {
        "token_embd.weight": (torch.zeros(70, 64), F32),
        "output_norm.weight": (torch.zeros(64), F32),
    }
    file = GgufFile(write_tensors(tmp_path / "model.gguf", weights))
    assert file.grouped("model.embed_tokens.weight") is None
    assert file.grouped("model.norm.weight") is None


SIZES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 256, "intermediate_size": 256, "vocab_size": 384, "initializer_range": 0.08},
    "starcoder": {"n_embd": 256, "vocab_size": 384, "initializer_range": 0.08},
}


@lru_cache(maxsize=1)
def tokenizer_metadata() -> dict[str, Any]:
    return metadata_of(train_tokenizer(), "starcoder")


def write_mixed(path: Path, architecture: str, kinds: Sequence[Kind]) -> Path:
    """A whole file whose matrices have types in turns; gguf only reads K-quants, so they are random."""
    model = make_model(architecture, **SIZES[architecture])
    writer = GGUFWriter(path, architecture)
    add_metadata(writer, describe(architecture, model.config))
    add_metadata(writer, tokenizer_metadata())
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), 2
    )
    turn = 0
    for theirs, weight in weights_of(model).items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        kind: Kind = F32
        if weight.ndim == 2 and "position" not in name:
            kind, turn = kinds[turn % len(kinds)], turn + 1
        if architecture == "llama" and (".attn_q." in name or ".attn_k." in name):
            weight = interleave(weight, 4 if ".attn_q." in name else 2)
        add_tensor(writer, name, small_blocks(kind, *weight.shape) if kind in K_QUANTS else weight, kind)
    finish(writer)
    return path


def small_blocks(kind: Kind, rows: int, width: int) -> Any:
    """Random blocks whose values are of a weight's size."""
    blocks = random_blocks(kind, rows, width)
    by_block = blocks.reshape(rows, -1, GGML_QUANT_SIZES[kind][1])
    for at in SCALES_AT[kind]:
        scales = np.ascontiguousarray(by_block[..., at : at + 2]).view(np.float16)
        by_block[..., at : at + 2] = (scales / np.float16(600)).view(np.uint8)
    return blocks


def restored(path: Path, bits: Bits) -> Decoder:
    """Torch's decoder of the weights that a file's groups stand for."""
    file = GgufFile(path)
    weights = Weights(file, *family_and_config(file))
    floats = {
        name: torch.from_numpy(weights.grouped(name, 8 if name in ENDS else bits).dequantized())
        if len(shape) == 2 and name != "positions.weight"
        else torch.from_numpy(weights.floats(name))
        for name, shape in weight_shapes(weights.config).items()
    }
    return Decoder(weights.config, floats)


SEVERAL: tuple[tuple[Kind, ...], ...] = (
    tuple(READERS),
    (Kind.Q4_0, F32, Kind.Q5_1, Kind.F16),
    (Kind.Q8_0, Kind.Q4_1, Kind.Q4_K),
)
CASES: list[tuple[str, tuple[Kind, ...], Bits]] = [
    *(("llama", (kind,), 8) for kind in READERS),
    *(("llama", kinds, 8) for kinds in SEVERAL),
    *(("starcoder", kinds, 8) for kinds in SEVERAL),
    *(("llama", kinds, 4) for kinds in SEVERAL),
]


@needs_native
@pytest.mark.parametrize(("architecture", "kinds", "bits"), CASES)
def test_a_file_of_any_types_gives_the_logits_of_its_restored_weights(
    tmp_path: Path, architecture: str, kinds: tuple[Kind, ...], bits: Bits
) -> None:
    path = write_mixed(tmp_path / "model.gguf", architecture, kinds)
    decoder = load(path, device="cpu", dtype="fp32", matrices="int8" if bits == 8 else "int4").decoder
    assert isinstance(decoder, NativeDecoder)
    tokens = some_tokens(decoder.config, 40)
    found = all_logits(decoder, tokens)
    assert error(found, all_logits(restored(path, bits), tokens)) < 1e-3
    if bits == 8 and not {F32, Kind.F16, *K_QUANTS} & set(kinds):  # no weight was rounded
        exact = load(path, device="cpu", dtype="fp32").decoder
        assert error(found, all_logits(exact, tokens)) < 1e-3


@needs_native
@pytest.mark.parametrize("matrices", ["int8", "int4"])
@pytest.mark.parametrize("kind", FOUR_BITS)
def test_a_file_of_4_bits_stays_in_4_bits(tmp_path: Path, kind: Kind, matrices: Any) -> None:
    path = write_mixed(tmp_path / "model.gguf", "llama", [kind])
    model = load(path, device="cpu", dtype="fp32", matrices=matrices)
    assert model.quantized == "int4"
    elements = model.decoder.parameters - 384 * 256  # the embedding is not multiplied with
    assert model.decoder.step_bytes < 0.64 * elements
