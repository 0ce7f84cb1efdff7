"""`python -m model_runtime.training`: the recipe's steps, one after another or each by itself."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer

from model_runtime import BackendError
from model_runtime.training.corpus import SourceFile, build_corpus, read_files
from model_runtime.training.evaluate import evaluate
from model_runtime.training.export import export_model
from model_runtime.training.network import Shape
from model_runtime.training.packing import write_rows
from model_runtime.training.train import Recipe, Trainer
from model_runtime.training.vocabulary import FIM_PAD, save_tokenizer, token_id, train_tokenizer

PACKAGE_LIST = Path(__file__).with_name("packages.txt")

MADE_BY = {
    "train.jsonl": "corpus",
    "heldout.jsonl": "corpus",
    "tokenizer.json": "tokenizer",
    "train.npy": "pack",
    "heldout.npy": "pack",
    "checkpoint.pt": "train",
}
"""Which step makes each file."""


def corpus(arguments: argparse.Namespace) -> None:
    """fetch the packages with pip, filter and deduplicate their files"""
    build_corpus(arguments.packages, arguments.folder)


def tokenizer(arguments: argparse.Namespace) -> None:
    """learn the vocabulary on the corpus"""
    files = _sample(_made(arguments.folder, "train.jsonl"), arguments.megabytes, arguments.package_megabytes)
    save_tokenizer(train_tokenizer((file.text for file in files), arguments.vocab_size), arguments.folder)


def pack(arguments: argparse.Namespace) -> None:
    """turn files into rows of tokens, most of them as fill-in-the-middle examples"""
    vocabulary = _tokenizer(arguments.folder)
    for name in ("train", "heldout"):
        source = _made(arguments.folder, f"{name}.jsonl")
        files = _sample(source, arguments.megabytes, arguments.package_megabytes)
        target = arguments.folder / f"{name}.npy"
        rows, used = write_rows(files, vocabulary, arguments.context + 1, arguments.seed, target)
        print(
            f"{target}: {rows:,} rows, {rows * arguments.context * used / 1e6:.1f}M tokens, {used:.1%} used"
        )


def train(arguments: argparse.Namespace) -> None:
    """train, or go on training, for a fixed time"""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    vocabulary = _tokenizer(arguments.folder)
    rows = {
        name: np.load(_made(arguments.folder, f"{name}.npy"), mmap_mode="r") for name in ("train", "heldout")
    }
    shape = Shape(
        vocab_size=vocabulary.get_vocab_size(),
        context=rows["train"].shape[1] - 1,
        width=arguments.width,
        layers=arguments.layers,
        heads=arguments.heads,
    )
    recipe = Recipe(minutes=arguments.minutes, rows_per_step=arguments.rows_per_step, seed=arguments.seed)
    padding = token_id(vocabulary, FIM_PAD)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    Trainer(arguments.folder, rows["train"], rows["heldout"], padding, shape, recipe, device).run()


def export(arguments: argparse.Namespace) -> None:
    """write the trained model as an int8 checkpoint that fimble runs"""
    _made(arguments.folder, "checkpoint.pt")
    export_model(arguments.folder, arguments.target)
    print(f"{arguments.target}: {sum(f.stat().st_size for f in arguments.target.iterdir()) / 2**20:.1f} MiB")


def _evaluate(arguments: argparse.Namespace) -> None:
    """measure a checkpoint on held-out packages: loss, line exact match, and the floor"""
    _made(arguments.folder, "heldout.npy")
    print(evaluate(arguments.model, arguments.folder, arguments.lines, arguments.seed))


def _made(folder: Path, name: str) -> Path:
    """A file that an earlier step has made."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: run the step `{MADE_BY[name]}` first")
    return path


def _tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(_made(folder, "tokenizer.json")))


def _sample(path: Path, megabytes: float, package_megabytes: float) -> Iterator[SourceFile]:
    """Files in a random but fixed order, no package giving more than its share."""
    files = list(read_files(path))
    Random(0).shuffle(files)
    total, given = 0, Counter[str]()
    for file in files:
        if total > megabytes * 1e6:
            return
        if given[file.package] <= package_megabytes * 1e6:
            given[file.package] += len(file.text)
            total += len(file.text)
            yield file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_runtime.training",
        description="The recipe of the default model. Run the steps in this order; each can be run again, "
        "and training goes on from its last checkpoint.",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where everything is kept (runs)")
    parser.add_argument("--seed", type=int, default=0)
    steps = parser.add_subparsers(required=True, metavar="STEP")

    step = _add(steps, corpus)
    step.add_argument("--packages", type=Path, default=PACKAGE_LIST, help="the pinned list of packages")

    step = _add(steps, tokenizer)
    step.add_argument("--vocab-size", type=int, default=4096)
    _add_sample_options(step, megabytes=60)

    step = _add(steps, pack)
    step.add_argument("--context", type=int, default=768, help="tokens in a row (768)")
    _add_sample_options(step, megabytes=160)

    step = _add(steps, train)
    step.add_argument("--minutes", type=float, default=60, help="time to train, over all runs (60)")
    step.add_argument("--width", type=int, default=192)
    step.add_argument("--layers", type=int, default=4)
    step.add_argument("--heads", type=int, default=3)
    step.add_argument("--rows-per-step", type=int, default=6)
    step.add_argument("--threads", type=int, default=0, help="CPU threads (as many as there are cores)")
    step.add_argument("--device", choices=("cpu", "cuda"), help="cuda where there is one")

    step = _add(steps, export)
    step.add_argument("--target", type=Path, default=Path(__file__).parents[1] / "default_model")

    step = _add(steps, _evaluate, "evaluate")
    step.add_argument("--model", type=Path, help="a checkpoint folder (the default model)")
    step.add_argument("--lines", type=int, default=500, help="how many lines of each kind (500)")
    return parser


def _add(steps, run, name: str | None = None) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    parser: argparse.ArgumentParser = steps.add_parser(
        name or run.__name__, help=run.__doc__, description=run.__doc__
    )
    parser.set_defaults(run=run)
    return parser


def _add_sample_options(parser: argparse.ArgumentParser, megabytes: float) -> None:
    parser.add_argument("--megabytes", type=float, default=megabytes, help="how much text to take")
    parser.add_argument("--package-megabytes", type=float, default=1.5, help="the most of one package")


def main() -> int:
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except subprocess.CalledProcessError as error:
        print(
            f"training: {' '.join(error.cmd[1:4])} failed: see above what it could not fetch", file=sys.stderr
        )
        return 2
    except (FileNotFoundError, ValueError, BackendError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
