"""Writes a GPTBigCode folder as a GGUF file for llama.cpp, with the token ids that ``/infill`` needs.

llama.cpp's own converter recognizes tokenizers by their hash, and so none of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from safetensors import safe_open

ARCHITECTURE = "starcoder"
TYPES = {
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_1": GGMLQuantizationType.Q4_1,
    "f32": GGMLQuantizationType.F32,
}
FILE_TYPES = {
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_1": gguf.LlamaFileType.MOSTLY_Q4_1,
    "f32": gguf.LlamaFileType.ALL_F32,
}
FIM = {
    "<fim_prefix>": "fim_pre",
    "<fim_suffix>": "fim_suf",
    "<fim_middle>": "fim_mid",
    "<fim_pad>": "fim_pad",
}


def export_gguf(model: Path, path: Path, kind: str, *, splitting: str = "gpt-2") -> None:
    """Write the folder `model` as `path`.

    Matrices are stored as `kind`, one of `TYPES`; positions and vectors stay in fp32, as in files of
    llama.cpp's own converter. `splitting` is llama.cpp's name of the pre-tokenizer.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "gpt_bigcode", "peers are compared on GPTBigCode"
    unfinished = path.with_suffix(".unfinished")
    writer = GGUFWriter(unfinished, ARCHITECTURE)
    _describe(writer, config, kind)
    _add_tokenizer(writer, model, config, splitting)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.STARCODER, config["n_layer"])
    with safe_open(model / "model.safetensors", framework="numpy") as tensors:
        for theirs in tensors.keys():  # noqa: SIM118 - not a mapping
            if theirs == "lm_head.weight":
                continue  # tied
            name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
            assert name is not None, theirs
            weight = tensors.get_tensor(theirs).astype(np.float32)
            matrix = weight.ndim > 1 and name != "position_embd.weight"
            as_type = TYPES[kind] if matrix else GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quants.quantize(weight, as_type), raw_dtype=as_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def reencode_gguf(
    source: Path, path: Path, kind: str | None = None, sentinels: Mapping[str, int] | None = None
) -> None:
    """Write the GGUF file `source` as `path`.

    Its quantised matrices become `kind`, one of `TYPES`, or stay as they are. `sentinels` are token ids for
    some of `FIM`, in a file that has none.
    """
    reader = gguf.GGUFReader(source)
    unfinished = path.with_suffix(".unfinished")
    writer = GGUFWriter(unfinished, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=element)
    for spelling, token in (sentinels or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{FIM[spelling]}_token_id", token)
    for tensor in reader.tensors:
        stored, data = tensor.tensor_type, tensor.data
        if kind and stored not in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            stored = TYPES[kind]
            data = gguf.quants.quantize(gguf.quants.dequantize(data, tensor.tensor_type), stored)
        writer.add_tensor(tensor.name, data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def _describe(writer: GGUFWriter, config: dict[str, Any], kind: str) -> None:
    writer.add_name(config.get("_name_or_path") or "fimble benchmark")
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config.get("n_inner") or 4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1 if config["multi_query"] else config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(FILE_TYPES[kind])


def _add_tokenizer(writer: GGUFWriter, model: Path, config: dict[str, Any], splitting: str) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {
        **tokenizer["model"]["vocab"],
        **{each["content"]: each["id"] for each in tokenizer["added_tokens"]},
    }
    control = {each["content"] for each in tokenizer["added_tokens"] if each["special"]}
    spellings = {token: spelling for spelling, token in ids.items()}
    size = config["vocab_size"]
    tokens = [spellings.get(token, f"<unused{token}>") for token in range(size)]
    kinds = [_kind(token in spellings, tokens[token] in control) for token in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(
        [each if isinstance(each, str) else " ".join(each) for each in _merges(tokenizer)]
    )
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    for spelling, key in FIM.items():
        if spelling in ids:
            writer.add_uint32(f"tokenizer.ggml.{key}_token_id", ids[spelling])


def _merges(tokenizer: dict[str, Any]) -> list[Any]:
    merges: list[Any] = tokenizer["model"]["merges"]
    return merges


def _kind(used: bool, control: bool) -> int:
    if not used:
        return int(gguf.TokenType.UNUSED)
    return int(gguf.TokenType.CONTROL if control else gguf.TokenType.NORMAL)
