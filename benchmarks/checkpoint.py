"""The model that runtimes are compared on: the same weights for transformers, CTranslate2 and llama.cpp.

By default a GPTBigCode of 41M parameters with random weights: its output is meaningless, but takes as long as
any other. Its tokenizer is trained on the standard library and splits text as GPT-2 does, which all runtimes
support.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.gguf_export import TYPES, export_gguf, reencode_gguf
from model_runtime import convert

SENTINELS = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")
LAYERS, WIDTH, VOCABULARY, CONTEXT = 12, 512, 16_384, 2048
TOKENIZER_FILES = 300


@dataclass(frozen=True)
class Formats:
    """The same weights in every format.

    Attributes:
        name: of the model.
        transformers: a folder.
        ctranslate2: a folder, or None for a GGUF file, or if the converter is not installed.
        ggufs: files by the type of their matrices.
        ours: what fimble opens for int8 and int4.
    """

    name: str
    transformers: Path
    ctranslate2: Path | None
    ggufs: Mapping[str, Path]
    ours: Mapping[str, Path]


def prepare(work: Path, model: Path | None, seed: int) -> Formats:
    """Write formats that are missing in `work`; `model` is a GPTBigCode folder, or any GGUF file."""
    work.mkdir(parents=True, exist_ok=True)
    if model is not None and model.suffix == ".gguf":
        return _prepare_gguf(work, model)
    if model is None:
        model = work / f"gpt_bigcode-{LAYERS}x{WIDTH}-seed{seed}"
        if not (model / "tokenizer.json").is_file():
            make_checkpoint(model, seed)
    files = {kind: work / f"{model.name}-{kind}.gguf" for kind in TYPES}
    for kind, path in files.items():
        if not path.is_file():
            export_gguf(model, path, kind)
    return Formats(
        model.name, model, _ctranslate2(model, work), files, dict.fromkeys(("int8", "int4"), model)
    )


def _prepare_gguf(work: Path, model: Path) -> Formats:
    """A GGUF file whose matrices are Q4_1, as it is and in other types; all have the values of the file."""
    folder = work / model.stem
    if not folder.is_dir():
        convert(str(model), folder, to="hf")
    files = {kind: work / f"{model.stem}-{kind}.gguf" for kind in TYPES if kind != "q4_1"}
    for kind, path in files.items():
        if not path.is_file():
            reencode_gguf(model, path, kind)
    files["q4_1"] = model
    ours = {"int8": files["q8_0"], "int4": model}
    return Formats(model.stem, folder, None, files, ours)


def add_model_choice(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--random`` and ``--seed``, for `chosen_model`."""
    parser.add_argument("--model")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--seed", type=int, default=1)


@contextmanager
def chosen_model(arguments: argparse.Namespace) -> Iterator[str | None]:
    """The model of the command line: a temporary one with random weights, or that of `--model`."""
    with tempfile.TemporaryDirectory() as folder:
        if arguments.random:
            make_checkpoint(Path(folder), arguments.seed)
        yield folder if arguments.random else arguments.model


def make_checkpoint(folder: Path, seed: int) -> None:
    """Write a random model and a tokenizer, as transformers saves them."""
    import torch

    transformers: Any = import_module("transformers")  # not fully typed
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(standard_library()),
        eos_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    torch.manual_seed(seed)
    config = transformers.GPTBigCodeConfig(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=WIDTH // 64,
        multi_query=True,
        bos_token_id=0,
        eos_token_id=0,
        # Larger than for training, so that greedy decoding does not repeat one token.
        initializer_range=0.05,
    )
    transformers.GPTBigCodeForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: Iterator[str]) -> Tokenizer:
    """A byte-level BPE tokenizer with GPT-2's splitting."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SENTINELS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def standard_library() -> Iterator[str]:
    """The texts of this Python's own modules, in order."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(folder.glob("*.py"))[:TOKENIZER_FILES]:
        yield path.read_text(encoding="utf-8", errors="ignore")


def _ctranslate2(model: Path, work: Path) -> Path | None:
    target = work / f"{model.name}-ct2-int8"
    if (target / "model.bin").is_file():
        return target
    if find_spec("ctranslate2") is None:
        return None
    program = "import sys; from ctranslate2.converters.transformers import main; sys.exit(main())"
    subprocess.run(
        [
            *(sys.executable, "-c", program, "--model", str(model), "--output_dir", str(target)),
            *("--quantization", "int8", "--force"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target
