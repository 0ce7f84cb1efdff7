"""Every way a folder can be wrong ends in one line that names what is wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model_runtime.api import BackendError, CorruptCheckpoint, ModelNotFound, UnsupportedModel
from model_runtime.checkpoints import LoadedModel, load
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.factory import make_model

C_ATTN = "transformer.h.1.attn.c_attn.weight"


def read(folder: Path) -> LoadedModel:
    return load(folder, device="cpu", dtype="fp32")


def refusal(folder: Path, kind: type[BackendError]) -> str:
    with pytest.raises(kind) as caught:
        read(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path: Path, checkpoint_folder: Path) -> Path:
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def rewrite_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = (folder / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    changed = json.dumps(header).encode()
    data = len(changed).to_bytes(8, "little") + changed + content[end:]
    (folder / "model.safetensors").write_bytes(data)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "no folder" in refusal(tmp_path / "nowhere", ModelNotFound)


def test_a_file_in_place_of_a_folder(folder: Path) -> None:
    assert "is a file" in refusal(folder / "model.safetensors", ModelNotFound)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"no {name}" in refusal(folder, ModelNotFound)


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no weights" in refusal(folder, ModelNotFound)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_config_that_is_no_json_object(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert "config.json" in refusal(folder, CorruptCheckpoint)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "mamba"}, "'mamba' is not supported; supported: gpt_bigcode"),
        ({"model_type": None}, "names no model_type"),
        ({"activation_function": "mish"}, "'mish'"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"n_head": 3}, "n_embd 32 does not divide into 3 heads"),
        ({"quantization_config": {"quant_method": "gptq"}}, "'gptq'"),
        ({"quantization_config": "awq"}, "'awq'"),
    ],
)
def test_a_feature_that_the_runtime_does_not_have(folder: Path, changes: dict[str, Any], named: str) -> None:
    configure(folder, **changes)
    assert named in refusal(folder, UnsupportedModel)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_layer": "two"}, "n_layer is 'two'"),
        ({"n_embd": None}, "n_embd is None"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"n_inner": -1}, "n_inner is -1"),
        ({"multi_query": "yes"}, "multi_query is 'yes'"),
        ({"eos_token_id": 999}, "eos_token_id 999"),
        ({"eos_token_id": ["end"]}, "eos_token_id 'end'"),
    ],
)
def test_a_config_value_that_makes_no_sense(folder: Path, changes: dict[str, Any], named: str) -> None:
    configure(folder, **changes)
    assert named in refusal(folder, CorruptCheckpoint)


def test_a_tensor_that_is_missing(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop(C_ATTN))
    assert f"lacks tensor '{C_ATTN}'" in refusal(folder, CorruptCheckpoint)


def test_many_tensors_that_are_missing_are_not_all_listed(folder: Path) -> None:
    configure(folder, n_layer=3)
    assert "and 9 more" in refusal(folder, CorruptCheckpoint)


def test_a_tensor_that_has_no_place(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update(extra=torch.zeros(2)))
    assert "unexpected tensor 'extra'" in refusal(folder, CorruptCheckpoint)


def test_a_tensor_of_another_shape(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({C_ATTN: torch.zeros(7, 32)}))
    message = refusal(folder, CorruptCheckpoint)
    assert f"'{C_ATTN}' has shape (7, 32), config.json asks for (64, 32)" in message


@pytest.mark.parametrize(("dtype", "named"), [(torch.int8, "I8"), (torch.int32, "I32")])
def test_integers_without_a_quantization_config(folder: Path, dtype: torch.dtype, named: str) -> None:
    rewrite(folder, lambda tensors: tensors.update({C_ATTN: torch.zeros(64, 32, dtype=dtype)}))
    assert f"'{C_ATTN}' has dtype {named}" in refusal(folder, UnsupportedModel)


def test_buffers_of_old_releases_are_skipped(folder: Path) -> None:
    old = {
        "transformer.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        "transformer.h.0.attn.bias": torch.ones(8, 8, dtype=torch.uint8),
        "transformer.h.1.attn.masked_bias": torch.tensor(-1e4),
        "lm_head.weight": torch.zeros(384, 32),
    }
    rewrite(folder, lambda tensors: tensors.update(old))
    assert read(folder).decoder.parameters == make_model().num_parameters()


@pytest.mark.parametrize("lost", [1, 100, 20_000])
def test_a_file_that_is_cut_short_names_the_first_tensor_lost(folder: Path, lost: int) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:header_end])
    header.pop("__metadata__", None)
    os.truncate(path, len(content) - lost)
    ends = {name: header_end + entry["data_offsets"][1] for name, entry in header.items()}
    first = min((end, name) for name, end in ends.items() if end > len(content) - lost)[1]
    assert f"cut short: tensor '{first}'" in refusal(folder, CorruptCheckpoint)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, (50).to_bytes(8, "little") + b"{}"])
def test_a_file_that_ends_within_its_header(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "cut short" in refusal(folder, CorruptCheckpoint)


def test_a_git_lfs_pointer_in_place_of_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(folder, CorruptCheckpoint)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"data_offsets": [0, "x"]}}'])
def test_a_header_that_is_not_one(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "model.safetensors" in refusal(folder, CorruptCheckpoint)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"shape": [3, 3]}, "cannot have"),
        ({"shape": "big"}, "no valid shape"),
        ({"shape": [-1, -1]}, "no valid shape"),
        ({"data_offsets": [0, 12]}, "cannot have"),
    ],
)
def test_a_header_that_contradicts_itself_names_the_tensor(
    folder: Path, entry: dict[str, Any], named: str
) -> None:
    rewrite_header(folder, lambda header: header[C_ATTN].update(entry))
    message = refusal(folder, CorruptCheckpoint)
    assert C_ATTN in message
    assert named in message


def test_a_dtype_that_is_not_read_names_the_tensor(folder: Path) -> None:
    rewrite_header(folder, lambda header: header[C_ATTN].update(dtype="F4"))
    assert f"'{C_ATTN}' has dtype F4" in refusal(folder, UnsupportedModel)


def test_tensors_that_overlap(folder: Path) -> None:
    def overlap(header: dict[str, Any]) -> None:
        header[C_ATTN]["data_offsets"] = header[C_ATTN.replace("h.1", "h.0")]["data_offsets"]

    rewrite_header(folder, overlap)
    assert "damaged" in refusal(folder, CorruptCheckpoint)


@pytest.fixture
def sharded(tmp_path: Path, folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    make_model().save_pretrained(folder, max_shard_size="60KB")
    return folder


def test_a_shard_that_is_missing(sharded: Path) -> None:
    shard = next(sharded.glob("model-00002*"))
    shard.unlink()
    assert f"shard {shard.name} is missing" in refusal(sharded, CorruptCheckpoint)


def test_a_shard_that_lacks_what_the_index_says(sharded: Path) -> None:
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    shard = index["weight_map"][C_ATTN]
    tensors = load_file(sharded / shard)
    del tensors[C_ATTN]
    save_file(tensors, sharded / shard)
    assert f"tensor '{C_ATTN}' in {shard}, which lacks it" in refusal(sharded, CorruptCheckpoint)


@pytest.mark.parametrize("weight_map", [None, ["a"], {"a": 1}])
def test_an_index_without_a_map(sharded: Path, weight_map: object) -> None:
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert "no weight_map" in refusal(sharded, CorruptCheckpoint)


def test_an_index_that_leads_out_of_the_folder(sharded: Path) -> None:
    index = {"weight_map": {C_ATTN: "../elsewhere.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "beside its index" in refusal(sharded, CorruptCheckpoint)


@pytest.fixture
def pickled(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    torch.save(make_model().state_dict(), folder / "pytorch_model.bin")
    return folder


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("attacked",))


def test_a_pickle_runs_no_code(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pickled)
    torch.save({"a": Attack()}, pickled / "pytorch_model.bin")
    assert "could run code" in refusal(pickled, CorruptCheckpoint)
    assert not (pickled / "attacked").exists()


@pytest.mark.parametrize("kept", [0, 100, 50_000])
def test_a_pickle_that_is_cut_short(pickled: Path, kept: int) -> None:
    os.truncate(pickled / "pytorch_model.bin", kept)
    assert "pytorch_model.bin is damaged" in refusal(pickled, CorruptCheckpoint)


def test_a_pickle_of_an_old_torch(pickled: Path) -> None:
    torch.save({"a": torch.zeros(1)}, pickled / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert "before torch 1.6" in refusal(pickled, CorruptCheckpoint)


@pytest.mark.parametrize("content", [torch.zeros(3), {"a": 1}, [torch.zeros(1)]])
def test_a_pickle_of_something_else(pickled: Path, content: object) -> None:
    torch.save(content, pickled / "pytorch_model.bin")
    assert "no weights file" in refusal(pickled, CorruptCheckpoint)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"]),
    position=st.integers(0, 2000),
    value=st.binary(min_size=1, max_size=4),
)
def test_damage_anywhere_is_either_harmless_or_refused(
    folder: Path, checkpoint_folder: Path, name: str, position: int, value: bytes
) -> None:
    content = (checkpoint_folder / name).read_bytes()
    position %= len(content)
    (folder / name).write_bytes(content[:position] + value + content[position + len(value) :])
    with suppress(BackendError):
        Tokenizer(read(folder).tokenizer)
    (folder / name).write_bytes(content)


def test_a_plain_pickle_is_not_read(pickled: Path) -> None:
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    assert "pytorch_model.bin" in refusal(pickled, CorruptCheckpoint)
