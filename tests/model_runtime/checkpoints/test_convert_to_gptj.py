"""CodeGen checkpoints that transformers wrote, converted, and loaded by transformers as GPT-J."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_runtime.api import (
    BackendError,
    CorruptCheckpoint,
    InvalidRequest,
    ModelNotFound,
    UnsupportedModel,
)
from model_runtime.checkpoints.convert import convert_to_gptj
from model_runtime.checkpoints.folder import CheckpointFolder
from model_runtime.checkpoints.writer import CannotWrite
from tests.model_runtime.factory import train_tokenizer

TINY: dict[str, Any] = {
    "vocab_size": 384, "n_positions": 128, "n_ctx": 128,
    "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4,
}  # fmt: skip

SHAPES: dict[str, dict[str, Any]] = {
    "4 heads of 8, half rotated": {},
    "4 heads, all of each rotated": {"rotary_dim": 8},
    "8 heads of 4": {"n_head": 8, "rotary_dim": 2},
    "16 heads of 6": {"n_embd": 96, "n_head": 16, "rotary_dim": 6},
    "12 heads of 10": {"n_embd": 120, "n_head": 12, "rotary_dim": 10, "n_layer": 1},
    "a narrow MLP": {"n_inner": 48, "activation_function": "relu", "layer_norm_epsilon": 1e-3},
    "a head tied to the embedding": {"tie_word_embeddings": True},
}


Model = Any  # transformers' models: their own annotations refuse what their documentation shows


def codegen(dtype: torch.dtype = torch.float32, **config: Any) -> Model:
    """A random CodeGenForCausalLM, `config` being what differs from `TINY`; no bias is 0 and no norm is 1."""
    from transformers import CodeGenConfig, CodeGenForCausalLM

    facts = {**TINY, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.2, **config}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model: Model = CodeGenForCausalLM(CodeGenConfig(**facts))
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(mean=float("ln_" in name and "weight" in name), std=0.1)
    model.train(False)
    return model.to(dtype)


def write_codegen(folder: Path, *, shard: str = "1GB", **config: Any) -> Model:
    model = codegen(**config)
    model.save_pretrained(folder, max_shard_size=shard)
    return model


def write_bin(folder: Path, shards: int = 1, **config: Any) -> Model:
    """A checkpoint as older releases of transformers wrote it, buffers among the weights."""
    model = write_codegen(folder, **config)
    (folder / "model.safetensors").unlink()
    tensors = dict(model.state_dict())
    for layer in range(model.config.n_layer):
        tensors[f"transformer.h.{layer}.attn.causal_mask"] = torch.ones(1, 1, 128, 128, dtype=torch.bool)
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e9)
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return model
    files = {f"pytorch_model-{n + 1:05}-of-{shards:05}.bin": list(tensors)[n::shards] for n in range(shards)}
    for file, names in files.items():
        torch.save({name: tensors[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in files.items() for name in names}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return model


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load_gptj(folder: Path) -> Model:
    """A GPTJForCausalLM loaded by transformers, in the dtype of the files, without a complaint."""
    from transformers import GPTJForCausalLM

    loaded: Any = GPTJForCausalLM.from_pretrained(folder, output_loading_info=True, dtype="auto")
    model, info = loaded
    assert not any(info.values()), info
    return model


def assert_same_model(one: Model, other: Model) -> None:
    prompt = torch.randint(1, 384, (2, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(other(prompt).logits, one(prompt).logits, atol=1e-4, rtol=0)
    greedy = {"max_new_tokens": 48, "min_new_tokens": 48, "do_sample": False, "pad_token_id": 0}
    ours, theirs = (model.generate(prompt[:1], **greedy) for model in (other, one))
    assert ours.tolist() == theirs.tolist()


def fused(gptj: dict[str, Tensor], layer: int, mp_num: int) -> Tensor:
    """CodeGen's rows made of GPT-J's, the slow and plain way."""
    block = f"transformer.h.{layer}.attn"
    query, key, value = (gptj[f"{block}.{part}_proj.weight"] for part in "qkv")
    local = query.shape[0] // mp_num
    rows = []
    for group in range(mp_num):
        for part in (query, value, key):
            rows += [part[group * local + row] for row in range(local)]
    return torch.stack(rows)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_converted_model_gives_the_same_logits_and_tokens(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = write_codegen(tmp_path / "codegen", **shape)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_weights_are_a_permutation_in_the_same_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    model = write_codegen(tmp_path / "codegen", dtype=dtype, n_embd=64, n_head=8)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    gptj = load_file(tmp_path / "gptj" / "model.safetensors")
    assert {tensor.dtype for tensor in gptj.values()} == {dtype}
    assert load_gptj(tmp_path / "gptj").dtype == dtype
    for name, tensor in model.state_dict().items():
        if "qkv_proj" in name:
            assert torch.equal(fused(gptj, int(name.split(".")[2]), mp_num=4), tensor)
        else:
            assert torch.equal(gptj[name], tensor)


def test_mixed_dtypes_are_kept_apart(tmp_path: Path) -> None:
    write_codegen(tmp_path / "codegen", dtype=torch.float16)
    tensors = load_file(tmp_path / "codegen" / "model.safetensors")
    wide = {name: tensor.float() if ".ln_" in name else tensor for name, tensor in tensors.items()}
    save_file(wide, tmp_path / "codegen" / "model.safetensors")
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    gptj = CheckpointFolder(tmp_path / "gptj")
    assert all(torch.equal(gptj[name].tensor(), wide[name]) for name in wide if "qkv_proj" not in name)
    assert {name for name in gptj if gptj[name].dtype == "F32"} == {n for n in wide if ".ln_" in n}


@pytest.mark.parametrize("shards", [1, 3])
def test_bin_files_with_old_buffers_are_converted(tmp_path: Path, shards: int) -> None:
    model = write_bin(tmp_path / "codegen", shards)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


def test_a_sharded_checkpoint_becomes_a_sharded_one(tmp_path: Path) -> None:
    model = write_codegen(tmp_path / "codegen", shard="60KB")
    assert len(list((tmp_path / "codegen").glob("model-*.safetensors"))) > 2
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj", max_shard_bytes=60_000)
    assert len(list((tmp_path / "gptj").glob("model-*.safetensors"))) > 2
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


def test_a_tied_head_that_the_files_repeat_is_ignored(tmp_path: Path) -> None:
    model = write_bin(tmp_path / "codegen", tie_word_embeddings=True)
    assert "lm_head.weight" in CheckpointFolder(tmp_path / "codegen")
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


def test_a_value_head_is_left_out(tmp_path: Path) -> None:
    write_codegen(tmp_path / "codegen")
    tensors = load_file(tmp_path / "codegen" / "model.safetensors")
    value_head = {"v_head.summary.weight": torch.ones(1, 32), "v_head.summary.bias": torch.ones(1)}
    save_file({**tensors, **value_head}, tmp_path / "codegen" / "model.safetensors")
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert set(value_head).isdisjoint(load_file(tmp_path / "gptj" / "model.safetensors"))


def test_rotary_dim_null_rotates_the_whole_head(tmp_path: Path) -> None:
    model = write_codegen(tmp_path / "codegen", rotary_dim=8)
    edit_config(tmp_path / "codegen", rotary_dim=None)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert load_gptj(tmp_path / "gptj").config.rotary_dim == 8
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


@pytest.mark.parametrize(("mp_num", "config"), [(1, {}), (2, {}), (8, {}), (None, {"head_dim": 128})])
def test_groups_other_than_four_are_undone(
    tmp_path: Path, mp_num: int | None, config: dict[str, Any]
) -> None:
    model = write_codegen(tmp_path / "codegen", n_embd=1024, n_head=8, n_layer=1)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "four")
    edit_config(tmp_path / "codegen", **config)
    tensors = load_file(tmp_path / "four" / "model.safetensors")
    regrouped = dict(model.state_dict())
    regrouped["transformer.h.0.attn.qkv_proj.weight"] = fused(tensors, 0, mp_num or 8)
    save_file(regrouped, tmp_path / "codegen" / "model.safetensors")
    convert_to_gptj(tmp_path / "codegen", tmp_path / "other", mp_num=mp_num)
    again = load_file(tmp_path / "other" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_the_config_is_plain_gptj_with_everything_written_out(tmp_path: Path) -> None:
    write_codegen(tmp_path / "codegen", n_inner=48)
    added = {"auto_map": {"AutoConfig": "configuration_codegen.CodeGenConfig"}, "head_dim": 8, "mine": "kept"}
    edit_config(tmp_path / "codegen", **added)
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    config = json.loads((tmp_path / "gptj" / "config.json").read_text())
    expected = {
        "architectures": ["GPTJForCausalLM"], "model_type": "gptj", "rotary_dim": 4, "n_inner": 48,
        "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 384, "n_positions": 128,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": False, "eos_token_id": 0, "dtype": "float32",
        "mine": "kept",
    }  # fmt: skip
    assert config.items() >= expected.items()
    assert config.keys().isdisjoint({"auto_map", "head_dim", "n_ctx"})


def test_what_a_config_leaves_out_has_the_familys_default(tmp_path: Path) -> None:
    model = write_codegen(tmp_path / "codegen", n_embd=256, rotary_dim=64)
    config = json.loads((tmp_path / "codegen" / "config.json").read_text())
    for key in ("rotary_dim", "n_inner", "activation_function", "layer_norm_epsilon", "tie_word_embeddings"):
        del config[key]
    (tmp_path / "codegen" / "config.json").write_text(json.dumps(config))
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj")
    assert_same_model(model, load_gptj(tmp_path / "gptj"))


def test_tokenizer_and_licence_come_along_unchanged_and_nothing_else_does(tmp_path: Path) -> None:
    source = tmp_path / "codegen"
    write_codegen(source)
    train_tokenizer().save(str(source / "tokenizer.json"))
    carried = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"]
    carried += ["added_tokens.json", "LICENSE.txt", "README.md"]
    for name in [*carried, "modeling_codegen.py", "optimizer.pt", "training_args.bin", ".gitattributes"]:
        (source / name).write_bytes(b"\xff" + name.encode())
    (source / "README").mkdir()
    convert_to_gptj(source, tmp_path / "gptj")
    carried += ["tokenizer.json", "generation_config.json"]
    assert {path.name for path in (tmp_path / "gptj").iterdir()} == {
        *carried,
        "config.json",
        "model.safetensors",
    }
    assert all((tmp_path / "gptj" / name).read_bytes() == (source / name).read_bytes() for name in carried)


def test_progress_rises_to_1(tmp_path: Path) -> None:
    write_codegen(tmp_path / "codegen")
    shares: list[float] = []
    convert_to_gptj(tmp_path / "codegen", tmp_path / "gptj", progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert (len(set(shares)), shares[-1]) == (25, 1)


def refuse(error: type[BackendError], match: str, source: Path, target: Path, **options: Any) -> None:
    """The conversion is refused in one line, before anything is written."""
    before = sorted(source.parent.rglob("*"))
    with pytest.raises(error, match=match) as raised:
        convert_to_gptj(source, target, **options)
    assert "\n" not in str(raised.value)
    assert sorted(source.parent.rglob("*")) == before


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "codegen"
    write_codegen(folder)
    return folder


@pytest.fixture
def source(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "codegen")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model_type": "llama"}, "has model_type 'llama': only 'codegen' is converted"),
        ({"model_type": None}, "has model_type None: only 'codegen' is converted"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quant_method 'gptq' is not supported"),
        ({"n_head": 5}, "n_embd 32 does not divide into 5 heads"),
        ({"head_dim": 16}, "head_dim 16 is not supported: n_embd 32 divides into heads of 8"),
        ({"n_head": 2}, "n_head 2 does not divide by mp_num 4: name the mp_num"),
        ({"rotary_dim": 10}, "rotary_dim 10 is no even number from 2 to the head's 8"),
        ({"rotary_dim": 3}, "rotary_dim 3 is no even number"),
        ({"rotary_dim": 0}, "rotary_dim 0 is no even number"),
    ],
)
def test_a_config_that_gptj_cannot_express_is_refused(
    source: Path, config: dict[str, Any], match: str
) -> None:
    edit_config(source, **config)
    refuse(UnsupportedModel, match, source, source.parent / "gptj")


@pytest.mark.parametrize("mp_num", [-1, 0, 3, 8])
def test_an_mp_num_that_does_not_divide_the_heads_is_refused(source: Path, mp_num: int) -> None:
    match = f"n_head 4 does not divide by mp_num {mp_num}"
    refuse(UnsupportedModel, match, source, source.parent / "gptj", mp_num=mp_num)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"n_layer": 3}, r"lacks tensor 'transformer\.h\.2\.attn\.out_proj\.weight', .* and 5 more"),
        ({"n_layer": 1}, r"unexpected tensor 'transformer\.h\.1\.attn\.out_proj\.weight', .* is its config"),
        ({"vocab_size": 400}, r"has shape \(384.*\), config.json asks for \(400"),
        ({"n_embd": None}, "n_embd is None; a positive integer is needed"),
        ({"rotary_dim": "all"}, "rotary_dim is 'all', which is no int"),
    ],
)
def test_a_config_that_the_files_contradict_is_refused(
    source: Path, config: dict[str, Any], match: str
) -> None:
    edit_config(source, **config)
    refuse(CorruptCheckpoint, match, source, source.parent / "gptj")


QKV = "transformer.h.1.attn.qkv_proj.weight"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda tensors: tensors.pop(QKV), CorruptCheckpoint, f"lacks tensor '{QKV}': download it again"),
        (lambda tensors: tensors.pop("lm_head.weight"), CorruptCheckpoint, "lacks tensor 'lm_head.weight'"),
        (
            lambda tensors: tensors.update({"lora_A": torch.ones(1)}),
            CorruptCheckpoint,
            "unexpected tensor 'lora_A'",
        ),
        (
            lambda tensors: tensors.update({QKV: tensors[QKV][:-1]}),
            CorruptCheckpoint,
            rf"tensor '{QKV}' has shape \(95, 32\), config.json asks for \(96, 32\)",
        ),
        (
            lambda tensors: tensors.update({QKV: tensors[QKV].to(torch.int8)}),
            UnsupportedModel,
            f"tensor '{QKV}' has dtype I8",
        ),
    ],
)
def test_tensors_that_are_not_what_they_should_be_are_named(
    source: Path, change: Callable[[dict[str, Tensor]], object], error: type[BackendError], match: str
) -> None:
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, source / "model.safetensors")
    refuse(error, match, source, source.parent / "gptj")


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    refuse(ModelNotFound, "there is no folder", tmp_path / "codegen", tmp_path / "gptj")


def test_a_checkpoint_is_not_written_over_itself(source: Path) -> None:
    refuse(InvalidRequest, "would be written over itself", source, source.parent / "x" / ".." / source.name)


def test_a_target_with_something_in_it_is_left_alone(source: Path) -> None:
    target = source.parent / "gptj"
    target.mkdir()
    (target / "config.json").write_text("mine")
    refuse(CannotWrite, "exists and is not empty", source, target)
    assert (target / "config.json").read_text() == "mine"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_interrupted_conversion_leaves_no_trace(source: Path, share: float) -> None:
    def interrupt(done: float, _: str) -> None:
        if done >= share:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_to_gptj(source, source.parent / "gptj", progress=interrupt, max_shard_bytes=20_000)
    assert list(source.parent.iterdir()) == [source]


KILLED = """
import os, signal, sys
from pathlib import Path
from model_runtime.checkpoints.convert import convert_to_gptj

def kill(done, what):
    if done > 0.5:
        os.kill(os.getpid(), signal.SIGTERM)  # on Windows, too, this ends a process at once

convert_to_gptj(Path(sys.argv[1]), Path(sys.argv[2]), progress=kill)
"""


def test_a_killed_conversion_leaves_no_target_and_the_next_one_cleans_up(source: Path) -> None:
    target = source.parent / "gptj"
    run = subprocess.run([sys.executable, "-c", KILLED, str(source), str(target)], check=False)
    assert run.returncode != 0
    assert not target.exists()
    convert_to_gptj(source, target)
    assert sorted(source.parent.iterdir()) == [source, target]


def write_large(folder: Path, *, layers: int, width: int) -> int:
    """A checkpoint of one shard a block, never in memory as a whole; gives its largest shard's bytes."""
    block = {
        "ln_1.weight": (width,), "ln_1.bias": (width,),
        "attn.qkv_proj.weight": (3 * width, width), "attn.out_proj.weight": (width, width),
        "mlp.fc_in.weight": (4 * width, width), "mlp.fc_in.bias": (4 * width,),
        "mlp.fc_out.weight": (width, 4 * width), "mlp.fc_out.bias": (width,),
    }  # fmt: skip
    ends: dict[str, tuple[int, ...]] = {
        "transformer.ln_f.weight": (width,),
        "transformer.ln_f.bias": (width,),
    }
    ends |= {"transformer.wte.weight": (384, width), "lm_head.weight": (384, width), "lm_head.bias": (384,)}
    shards = [{f"transformer.h.{n}.{name}": shape for name, shape in block.items()} for n in range(layers)]
    folder.mkdir()
    weight_map: dict[str, str] = {}
    for number, shapes in enumerate([ends, *shards]):
        file = f"model-{number + 1:05}-of-{layers + 1:05}.safetensors"
        tensors = {name: torch.empty(shape, dtype=torch.float16).normal_() for name, shape in shapes.items()}
        save_file(tensors, folder / file)
        weight_map |= dict.fromkeys(shapes, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config = {**TINY, "model_type": "codegen", "n_layer": layers, "n_embd": width}
    (folder / "config.json").write_text(json.dumps(config))
    return max(path.stat().st_size for path in folder.glob("*.safetensors"))


MEASURE = """
import sys, torch
from pathlib import Path
from model_runtime.checkpoints.convert import convert_to_gptj

def resident(kind):  # bytes of this process, those of mapped files among them
    line = next(line for line in open("/proc/self/status") if line.startswith(kind))
    return int(line.split()[1]) * 1024

convert_to_gptj(Path(sys.argv[2]), Path(sys.argv[1] + "-warm"))  # libraries allocate on first use
before = resident("VmRSS")
convert_to_gptj(Path(sys.argv[1]), Path(sys.argv[1] + "-gptj"))
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_holds_one_block_whatever_the_size_of_the_checkpoint(source: Path) -> None:
    large = source.parent / "large"
    block = write_large(large, layers=12, width=1024)
    whole = sum(path.stat().st_size for path in large.iterdir())
    assert whole > 300e6
    command = [sys.executable, "-c", MEASURE, str(large), str(source)]
    growth = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert growth < 3 * block
    assert len(CheckpointFolder(source.parent / "large-gptj")) == 12 * 10 + 5
