"""What a load gives, in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_runtime.api import CorruptCheckpoint
from model_runtime.checkpoints import LoadedModel, load
from tests.model_runtime.factory import train_tokenizer, write_checkpoint

CPU = torch.device("cpu")


def read(folder: Path, dtype: torch.dtype = torch.float32) -> LoadedModel:
    return load(folder, device=CPU, dtype=dtype)


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


def test_progress_rises_to_1(checkpoint_folder: Path) -> None:
    shares: list[float] = []
    load(checkpoint_folder, device=CPU, dtype=torch.float32, progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("multi_query", [True, False])
def test_int8_weights_are_read_as_what_they_stand_for(tmp_path: Path, multi_query: bool) -> None:
    write_checkpoint(tmp_path / "int8", multi_query=multi_query)
    meant = write_int8(tmp_path / "int8")
    write_checkpoint(tmp_path / "fp32", multi_query=multi_query)
    plain = load_file(tmp_path / "fp32" / "model.safetensors")
    save_file({name: meant[name] for name in plain}, tmp_path / "fp32" / "model.safetensors")
    logits = []
    for name in ("int8", "fp32"):
        decoder = read(tmp_path / name).decoder
        logits.append(decoder.forward([10, 20, 30], decoder.new_cache(), "all"))
    torch.testing.assert_close(*logits, atol=0, rtol=0)


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
import sys, threading, torch
from pathlib import Path
from model_runtime.checkpoints import load

def anonymous():  # bytes of this process that no file backs
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

folder, warm, dtype = Path(sys.argv[1]), Path(sys.argv[2]), getattr(torch, sys.argv[3])
load(warm, device=torch.device("cpu"), dtype=dtype)  # libraries allocate on first use
before, samples, done = anonymous(), [], threading.Event()

def watch():
    while not done.wait(0.001):
        samples.append(anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
model = load(folder, device=torch.device("cpu"), dtype=dtype)
done.set()
watcher.join()
print(max(*samples, anonymous()) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status, which Linux alone has")
@pytest.mark.parametrize(
    ("dtype", "multi_query", "copied"),
    [("bfloat16", True, 1.0), ("bfloat16", False, 1.0), ("float32", True, 0.0), ("float32", False, 0.25)],
    ids=["cast", "cast and re-laid", "mapped as it is", "only the re-laid copied"],
)
def test_a_load_holds_no_second_copy_of_the_weights(
    tmp_path: Path, checkpoint_folder: Path, dtype: str, multi_query: bool, copied: float
) -> None:
    shape = {"n_embd": 768, "n_head": 12, "n_layer": 5, "n_positions": 64, "n_inner": 3072}
    write_random(tmp_path, multi_query=multi_query, **shape)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 100e6
    run = [sys.executable, "-c", MEASURE, str(tmp_path), str(checkpoint_folder), dtype]
    output = subprocess.run(run, check=True, capture_output=True, text=True, timeout=100).stdout
    weights = size * copied / (2 if dtype == "bfloat16" else 1)
    largest = 768 * 3072 * 4
    assert int(output) <= weights + largest + 8e6


def write_random(folder: Path, **config: Any) -> None:
    """A checkpoint of this shape with random weights, without building transformers' model."""
    from model_runtime.checkpoints.families import family_of
    from model_runtime.decoding import weight_shapes

    facts = {"model_type": "gpt_bigcode", "vocab_size": 384, **config}
    family = family_of(facts)
    decoder = family.facts(facts)
    shapes, sources = weight_shapes(decoder), family.sources(decoder)
    save_file(
        {sources[name].name: torch.randn(shape) for name, shape in shapes.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(facts))
    train_tokenizer().save(str(folder / "tokenizer.json"))
