"""The steps from packages to a checkpoint; each takes the command line's arguments.

Each imports what it needs itself: a machine that only trains needs no more than torch, numpy, tokenizers and
safetensors.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from recipes.default_model.sizes import SIZES, Size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from model_runtime.training import Progress, Rows

TOKENIZER_MEGABYTES, TOKENIZER_PACKAGE_MEGABYTES = 60, 1.5
PROBES, PROBE_TOKENS = 128, 512

WRITTEN_BY = {
    "train.jsonl": "corpus",
    "heldout.jsonl": "corpus",
    "tokenizer.json": "tokenizer",
    "log.jsonl": "train",
}
"""The step that writes each file."""


def run_all(arguments: argparse.Namespace) -> None:
    """all steps in order, except those whose result is there already"""
    results = {
        corpus: arguments.folder / "manifest.json",
        tokenizer: _folder(arguments) / "tokenizer.json",
        pack: _folder(arguments) / "probes-000.npy",
    }
    for step in (corpus, tokenizer, pack, train, curves, layouts, export):
        if step not in results or not results[step].exists():
            print(f"{step.__name__}: {step.__doc__}")
            step(arguments)


def corpus(arguments: argparse.Namespace) -> None:
    """fetch the packages with pip, filter and deduplicate their files"""
    from recipes.corpus import build_corpus

    build_corpus(arguments.packages, arguments.evaluation_sets, arguments.folder)


def tokenizer(arguments: argparse.Namespace) -> None:
    """train the tokenizer on the corpus"""
    from recipes.corpus import sample_files
    from recipes.default_model.vocabulary import train_tokenizer

    _folder(arguments).mkdir(parents=True, exist_ok=True)
    if arguments.start:
        shutil.copy(arguments.start / "tokenizer.json", _folder(arguments))
        return
    path = _existing(arguments.folder, "train.jsonl")
    files = sample_files(path, TOKENIZER_MEGABYTES, TOKENIZER_PACKAGE_MEGABYTES)
    made = train_tokenizer((file.text for file in files), _size(arguments).vocab_size)
    made.save(str(_folder(arguments) / "tokenizer.json"))


def pack(arguments: argparse.Namespace) -> None:
    """turn files into rows of tokens, most of them as fill-in-the-middle examples"""
    from model_runtime.training import Mixture, Packer, draw_examples, write_row_files
    from recipes.corpus import sample_files
    from recipes.default_model.vocabulary import special_tokens

    vocabulary, size, folder = _tokenizer(arguments), _size(arguments), _folder(arguments)
    packer = Packer(vocabulary, special_tokens(vocabulary), size.context + 1)
    for name in ("train", "heldout"):
        path = _existing(arguments.folder, f"{name}.jsonl")
        files = sample_files(path, size.megabytes, size.package_megabytes)
        mixture, random = Mixture(psm=size.psm), Random(arguments.seed)
        rows = packer.rows(draw_examples(files, size.context + 1, mixture, random), arguments.seed)
        write_row_files(rows, folder, name)
        used = packer.share_used(rows)
        tokens = len(rows) * size.context * used / 1e6
        print(f"{folder / name}-*.npy: {len(rows):,} rows, {tokens:.1f}M tokens, {used:.1%} used")
    probes = _probes(arguments, PROBES)
    write_row_files(probes, folder, "probes")
    print(f"{folder / 'probes'}-*.npy: {len(probes) // 2} lines, each in PSM and in SPM")


def train(arguments: argparse.Namespace) -> None:
    """train for a fixed time, or resume training"""
    import torch

    from model_runtime.training import Trainer, TrainingData, TrainingOptions, read_row_files
    from recipes.default_model.network import Network, Shape, make_optimizers
    from recipes.default_model.vocabulary import special_tokens

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_float32_matmul_precision("high")
    vocabulary, size, folder = _tokenizer(arguments), _size(arguments), _folder(arguments)
    train_rows, held_out, probes = (read_row_files(folder, name) for name in ("train", "heldout", "probes"))
    data = TrainingData(train_rows, held_out, probes, special_tokens(vocabulary))
    context = train_rows.length - 1
    shape = Shape(vocabulary.get_vocab_size(), context, size.width, size.layers, size.heads)
    options = TrainingOptions(
        minutes=size.minutes,
        steps=arguments.steps,
        rows_per_step=size.rows_per_step,
        rows_at_once=size.rows_at_once,
        rate=arguments.rate,
        seed=arguments.seed,
    )
    on_gpu = (arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")) == "cuda"
    torch.manual_seed(arguments.seed)
    network = Network(shape).to("cuda" if on_gpu else "cpu")
    if arguments.start:
        from recipes.default_model.export import read_weights

        network.load_state_dict(read_weights(arguments.start, shape))
    trainer = Trainer(
        folder,
        network,
        make_optimizers(network),
        data,
        options,
        shape=vars(shape),
        low_precision=on_gpu or _has_bf16_units(),
        compiled=on_gpu,
    )
    with _progress() as show:
        trainer.run(show, arguments.slice_minutes)
    if trainer.progress < 1.0:
        print(f"{trainer.progress:.0%} of the run are done: repeat the command to resume it")


def curves(arguments: argparse.Namespace) -> None:
    """draw loss and exact match over the run"""
    from recipes.curves import draw_curves

    target = arguments.drawing or _folder(arguments) / "curves.svg"
    draw_curves(_existing(_folder(arguments), "log.jsonl"), target)
    print(target)


def layouts(arguments: argparse.Namespace) -> None:
    """measure exact match in PSM and in SPM, on the same rests of held-out lines"""
    import torch

    from model_runtime.training import exact_match
    from recipes.default_model.export import trained_state
    from recipes.default_model.network import Network, Shape
    from recipes.default_model.vocabulary import special_tokens

    state = trained_state(_folder(arguments))
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["network"])
    probes, end = _probes(arguments, arguments.lines), special_tokens(_tokenizer(arguments)).end_of_text
    match = exact_match(network, probes, end, rows_at_once=8, device=torch.device("cpu"))
    print(f"exact match on {len(probes) // 2} rests of lines: PSM {match.psm:.1%}, SPM {match.spm:.1%}")
    print(f"and ended after the true ones: PSM {match.psm_ended:.1%}, SPM {match.spm_ended:.1%}")


def export(arguments: argparse.Namespace) -> None:
    """write the trained model as an int8 checkpoint that fimble runs"""
    from recipes.default_model.export import export_model

    export_model(_folder(arguments), arguments.target)
    print(f"{arguments.target}: {sum(f.stat().st_size for f in arguments.target.iterdir()) / 2**20:.1f} MiB")


def _has_bf16_units() -> bool:
    """Whether this CPU multiplies bf16 itself; otherwise bf16 is slower than fp32."""
    import torch

    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public ones
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def _existing(folder: Path, name: str) -> Path:
    """The path of a file that an earlier step has written."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: run the step `{WRITTEN_BY[name]}` first")
    return path


def _folder(arguments: argparse.Namespace) -> Path:
    """The folder of a size. The corpus, which all sizes share, is in the one above."""
    folder: Path = arguments.folder / arguments.size
    return folder


def _tokenizer(arguments: argparse.Namespace) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(_existing(_folder(arguments), "tokenizer.json")))


def _probes(arguments: argparse.Namespace, count: int) -> Rows:
    from model_runtime.training import Mixture, Packer, draw_examples
    from recipes.corpus import sample_files
    from recipes.default_model.vocabulary import special_tokens

    size, vocabulary, random = _size(arguments), _tokenizer(arguments), Random(arguments.seed)
    path = _existing(arguments.folder, "heldout.jsonl")
    files = sample_files(path, size.megabytes, size.package_megabytes)
    length = min(PROBE_TOKENS, size.context) + 1
    packer = Packer(vocabulary, special_tokens(vocabulary), length)
    return packer.probes(draw_examples(files, length, Mixture(), random), count, random)


def _size(arguments: argparse.Namespace) -> Size:
    """The size that was chosen, with the options that override parts of it."""
    size = SIZES[arguments.size]
    given = {name: getattr(arguments, name, None) for name in vars(size)}
    return Size(**{name: getattr(size, name) if value is None else value for name, value in given.items()})


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar; without rich, a line for each per cent."""
    try:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:
        shown = -1

        def show(share: float, text: str) -> None:
            nonlocal shown
            if int(share * 100) > shown:
                shown = int(share * 100)
                print(f"{shown} % {text}", flush=True)

        yield show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)
