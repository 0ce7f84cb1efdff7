"""Loading checkpoints: what is loaded, in which format, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.linalg import norm
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_runtime.api import CorruptCheckpoint, Dtype
from model_runtime.checkpoints import LoadedModel, load, map_devices
from model_runtime.checkpoints.device_map import DeviceMap
from model_runtime.checkpoints.loading import family_and_config, open_checkpoint
from model_runtime.checkpoints.torch_weights import TorchWeights
from model_runtime.checkpoints.weights import Weights
from model_runtime.decoding import DecoderConfig, Logits, MatrixFormat, as_logits
from model_runtime.torch_decoder import quantize
from tests.model_runtime.factory import TINY, train_tokenizer, write_checkpoint
from tests.model_runtime.native.support import needs_native
from tests.model_runtime.opening import open_torch


def read(folder: Path) -> LoadedModel:
    return load(folder, device="cpu", dtype="fp32")


def logits_of(model: LoadedModel, tokens: list[int]) -> Logits:
    """After each token, (tokens, vocab)."""
    return as_logits(model.decoder.forward(tokens, model.decoder.new_cache(), "all"))


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 (out, in) and an fp16 scale for each row."""
    scale = (weight.abs().amax(dim=1) / 127).half()
    return (weight / scale.float().unsqueeze(1)).round().clamp(-127, 127).to(torch.int8), scale


def write_int8(folder: Path) -> dict[str, Tensor]:
    """Turn a checkpoint into our int8 format; returns the weights that it now stands for."""
    tensors = load_file(folder / "model.safetensors")
    meant = {}
    for name in [name for name, tensor in tensors.items() if tensor.ndim == 2]:
        tensors[name], tensors[f"{name}.scale"] = quantise(tensors[name])
        meant[name] = tensors[name].float() * tensors[f"{name}.scale"].float().unsqueeze(1)
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fimble-int8"}
    (folder / "config.json").write_text(json.dumps(config))
    return {**tensors, **meant}


def test_a_load_says_what_it_found(checkpoint_folder: Path) -> None:
    model = read(checkpoint_folder)
    assert (model.name, model.family) == ("tiny-fim", "gpt_bigcode")
    assert model.stop_ids == {0}
    assert model.tokenizer == checkpoint_folder


def test_stop_tokens_come_from_both_configs(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, eos_token_id=3)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [4, 5]}')
    assert read(tmp_path).stop_ids == {3, 4, 5}


def test_the_value_head_of_a_model_trained_by_reinforcement_is_skipped(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    expected = read(tmp_path).decoder.parameters
    tensors = load_file(tmp_path / "model.safetensors")
    value_head = {"v_head.summary.weight": torch.ones(1, 32), "v_head.summary.bias": torch.ones(1)}
    save_file({**tensors, **value_head}, tmp_path / "model.safetensors")
    assert read(tmp_path).decoder.parameters == expected


def test_progress_rises_to_1(checkpoint_folder: Path) -> None:
    shares: list[float] = []
    load(checkpoint_folder, device="cpu", dtype="fp32", progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("multi_query", [True, False])
def test_int8_weights_are_read_as_the_numbers_they_represent(tmp_path: Path, multi_query: bool) -> None:
    write_checkpoint(tmp_path / "int8", multi_query=multi_query)
    meant = write_int8(tmp_path / "int8")
    write_checkpoint(tmp_path / "fp32", multi_query=multi_query)
    plain = load_file(tmp_path / "fp32" / "model.safetensors")
    save_file({name: meant[name] for name in plain}, tmp_path / "fp32" / "model.safetensors")
    logits = []
    for name in ("int8", "fp32"):
        decoder = open_torch(tmp_path / name)
        logits.append(decoder.forward([10, 20, 30], decoder.new_cache(), "all"))
    torch.testing.assert_close(*logits, atol=0, rtol=0)


@pytest.mark.parametrize("family", TINY)
def test_a_matrix_is_quantised_row_by_row_wherever_its_rows_come_from(tmp_path: Path, family: str) -> None:
    write_checkpoint(tmp_path, family=family)
    checkpoint = open_checkpoint(tmp_path)
    weights = TorchWeights(Weights(checkpoint, *family_and_config(checkpoint)))
    for name in (name for name, shape in weights.weights.shapes.items() if len(shape) == 2):
        found, expected = weights.int8(name), quantize(weights[name])
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.scale, expected.scale)


@pytest.mark.parametrize("family", TINY)
def test_int8_matrices_are_passed_on_unchanged(tmp_path: Path, family: str) -> None:
    write_checkpoint(tmp_path, family=family)
    write_int8(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    weights = TorchWeights(Weights(checkpoint, *family_and_config(checkpoint)), dtype=torch.float32)
    for name in (name for name, shape in weights.weights.shapes.items() if len(shape) == 2):
        assert weights.weights.is_int8(name)
        assert torch.equal(weights.int8(name).dequantized(torch.float32), weights[name])


@needs_native
@pytest.mark.parametrize("in_int8", [True, False])
@pytest.mark.parametrize(
    ("matrices", "expected"), [("float", None), ("stored", None), ("int8", "int8"), ("int4", "int4")]
)
def test_matrices_have_the_requested_format(
    tmp_path: Path, matrices: MatrixFormat, expected: str | None, in_int8: bool
) -> None:
    write_checkpoint(tmp_path)
    if in_int8:
        write_int8(tmp_path)
    exact = read(tmp_path)
    model = load(tmp_path, device="cpu", dtype="fp32", matrices=matrices)
    assert (exact.quantized, model.quantized) == (None, expected)
    theirs, ours = (logits_of(each, [10, 20, 30]) for each in (exact, model))
    if expected:  # two blocks of rounded weights
        assert norm(ours - theirs) < (0.1 if expected == "int8" else 0.6) * norm(theirs)
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("matrices", ["int8", "int4"])
def test_without_the_native_engine_quantised_matrices_are_restored(
    tmp_path: Path, matrices: MatrixFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path)
    tokens = [10, 20, 30]
    native = load(tmp_path, device="cpu", dtype="fp32", matrices=matrices)
    monkeypatch.setattr("model_runtime.checkpoints.loading.native_problem", lambda: "it was not built")
    restored = load(tmp_path, device="cpu", dtype="fp32", matrices=matrices)
    assert restored.quantized is None
    found, expected = (logits_of(each, tokens) for each in (native, restored))
    assert norm(found - expected) < 1e-3 * norm(expected)


def test_devices_are_mapped_for_the_format_that_matrices_will_have(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    asked: list[bool] = []

    def planner(config: DecoderConfig, dtype: Dtype, int8: bool) -> DeviceMap:
        asked.append(int8)
        return map_devices(config, dtype, int8, memory={"cpu": 2**30})

    for _ in range(2):
        for matrices in ("float", "stored", "int8"):
            load(tmp_path, device=planner, dtype="fp32", matrices=matrices)
        write_int8(tmp_path)
    assert asked == [False, False, True, False, True, True]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensors, name: tensors.pop(name), "lacks tensor"),
        (lambda tensors, name: tensors.update({name: torch.zeros(3)}), "for each of 384 rows"),
        (lambda tensors, name: tensors.update({name: torch.zeros(384, dtype=torch.int8)}), "a float"),
    ],
)
def test_a_scale_that_is_missing_or_wrong_is_named(tmp_path: Path, change: Any, named: str) -> None:
    write_checkpoint(tmp_path)
    write_int8(tmp_path)
    tensors = {name: tensor.clone() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    change(tensors, "transformer.wte.weight.scale")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CorruptCheckpoint, match=named) as caught:
        read(tmp_path)
    assert "'transformer.wte.weight.scale'" in str(caught.value)


MEASURE = """
import sys, threading
from pathlib import Path
from model_runtime.checkpoints import load

def anonymous():  # bytes of this process that no file backs
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

folder, warm = Path(sys.argv[1]), Path(sys.argv[2])
how = {"device": "cpu", "dtype": sys.argv[3], "matrices": sys.argv[4]}
load(warm, **how)  # libraries allocate on first use
before, samples, done = anonymous(), [], threading.Event()

def watch():
    while not done.wait(0.001):
        samples.append(anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
model = load(folder, **how)
done.set()
watcher.join()
print(max([*samples, anonymous()]) - before, anonymous() - before)
"""


def measured(folder: Path, warm: Path, dtype: str, matrices: str) -> tuple[int, int]:
    """The bytes that a load takes at most, and that the model takes in the end."""
    run = [sys.executable, "-c", MEASURE, str(folder), str(warm), dtype, matrices]
    output = subprocess.run(run, check=True, capture_output=True, text=True, timeout=100).stdout
    most, last = map(int, output.split())
    return most, last


LARGE = {"n_embd": 768, "n_head": 12, "n_layer": 5, "n_positions": 64, "n_inner": 3072}
LARGEST_BYTES = 768 * 3072 * 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status, which Linux alone has")
@pytest.mark.parametrize(
    ("dtype", "multi_query", "copied"),
    [("bf16", True, 1.0), ("bf16", False, 1.0), ("fp32", True, 0.0), ("fp32", False, 0.25)],
    ids=["cast", "cast and re-laid", "mapped as it is", "only the re-laid copied"],
)
def test_a_load_holds_no_second_copy_of_the_weights(
    tmp_path: Path, checkpoint_folder: Path, dtype: str, multi_query: bool, copied: float
) -> None:
    write_random(tmp_path, multi_query=multi_query, **LARGE)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 100e6
    weights = size * copied / (2 if dtype == "bf16" else 1)
    most, _ = measured(tmp_path, checkpoint_folder, dtype, "float")
    assert most <= weights + LARGEST_BYTES + 8e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status, which Linux alone has")
@needs_native
def test_a_model_quantised_at_load_ends_up_with_one_copy_of_its_weights(
    tmp_path: Path, checkpoint_folder: Path
) -> None:
    write_random(tmp_path, n_embd=1024, n_head=16, n_layer=3, n_positions=64, n_inner=4096)
    int8 = (tmp_path / "model.safetensors").stat().st_size / 4
    most, last = measured(tmp_path, checkpoint_folder, "fp32", "int8")
    # One copy, the largest weight as it was read, and what the allocator keeps: two copies would be 2.4.
    assert max(most, last) <= 2.2 * int8


def write_random(folder: Path, **config: Any) -> None:
    """A checkpoint of this shape with random weights, without building transformers' model."""
    from model_runtime.checkpoints.families import family_of
    from model_runtime.decoding import weight_shapes

    facts = {"model_type": "gpt_bigcode", "vocab_size": 384, **config}
    family = family_of(facts)
    decoder = family.decoder_config(facts)
    shapes, layout = weight_shapes(decoder), family.layout(decoder)
    save_file(
        {layout[name][0].name: torch.randn(shape) for name, shape in shapes.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(facts))
    train_tokenizer().save(str(folder / "tokenizer.json"))
