"""`python -m model_runtime.training`: the recipe's steps, one after another or each by itself."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from model_runtime.api import BackendError
from model_runtime.training.sizes import SIZES, Size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from model_runtime.training.cleaning import SourceFile
    from model_runtime.training.rows import Rows
    from model_runtime.training.train import Progress

# Steps import what they need themselves: a machine that only trains needs torch, numpy and tokenizers.

PACKAGE_LIST = Path(__file__).with_name("packages.txt")
EVALUATION_SETS = Path(__file__).parents[1] / "evaluation" / "data"
DEFAULT_MODEL = Path(__file__).parents[1] / "default_model"
TOKENIZER_MEGABYTES = 60
PROBES, PROBE_TOKENS = 128, 512

MADE_BY = {
    "train.jsonl": "corpus",
    "heldout.jsonl": "corpus",
    "tokenizer.json": "tokenizer",
    "log.jsonl": "train",
}
"""Which step makes each file."""


def run_all(arguments: argparse.Namespace) -> None:
    """all steps in order, leaving out what is there already"""
    done = {
        corpus: arguments.folder / "manifest.json",
        tokenizer: _place(arguments) / "tokenizer.json",
        pack: _place(arguments) / "probes-000.npy",
    }
    for step in (corpus, tokenizer, pack, train, curves, layouts, export):
        if step not in done or not done[step].exists():
            print(f"{step.__name__}: {step.__doc__}")
            step(arguments)


def corpus(arguments: argparse.Namespace) -> None:
    """fetch the packages with pip, filter and deduplicate their files"""
    from model_runtime.training.corpus import build_corpus

    build_corpus(arguments.packages, arguments.evaluation_sets, arguments.folder)


def tokenizer(arguments: argparse.Namespace) -> None:
    """learn the vocabulary on the corpus"""
    from model_runtime.training.vocabulary import save_tokenizer, train_tokenizer

    _place(arguments).mkdir(parents=True, exist_ok=True)
    if arguments.start:
        shutil.copy(arguments.start / "tokenizer.json", _place(arguments))
        return
    files = _sample(_made(arguments.folder, "train.jsonl"), TOKENIZER_MEGABYTES, 1.5)
    made = train_tokenizer((file.text for file in files), _size(arguments).vocab_size)
    save_tokenizer(made, _place(arguments))


def pack(arguments: argparse.Namespace) -> None:
    """turn files into rows of tokens, most of them as fill-in-the-middle examples"""
    from model_runtime.training.packing import write_rows
    from model_runtime.training.rows import write_row_files

    vocabulary, size, place = _tokenizer(arguments), _size(arguments), _place(arguments)
    for name in ("train", "heldout"):
        files = _sample(_made(arguments.folder, f"{name}.jsonl"), size.megabytes, size.package_megabytes)
        length = size.context + 1
        rows, used = write_rows(files, vocabulary, length, arguments.seed, place, name, size.psm)
        tokens = rows * size.context * used / 1e6
        print(f"{place / name}-*.npy: {rows:,} rows, {tokens:.1f}M tokens, {used:.1%} used")
    probes = _probes(arguments, PROBES)
    write_row_files(probes, place, "probes")
    print(f"{place / 'probes'}-*.npy: {len(probes) // 2} lines, each in PSM and in SPM")


def train(arguments: argparse.Namespace) -> None:
    """train, or go on training, for a fixed time"""
    import torch

    from model_runtime.training.network import Shape
    from model_runtime.training.rows import read_row_files
    from model_runtime.training.train import Data, Recipe, Trainer
    from model_runtime.training.vocabulary import END_OF_TEXT, FIM_PAD, token_id

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_float32_matmul_precision("high")
    vocabulary, size, place = _tokenizer(arguments), _size(arguments), _place(arguments)
    train_rows, heldout, probes = (read_row_files(place, name) for name in ("train", "heldout", "probes"))
    padding, end = (token_id(vocabulary, name) for name in (FIM_PAD, END_OF_TEXT))
    data = Data(train_rows, heldout, probes, padding, end)
    context = train_rows.length - 1
    shape = Shape(vocabulary.get_vocab_size(), context, size.width, size.layers, size.heads)
    recipe = Recipe(
        minutes=size.minutes,
        steps=arguments.steps,
        rows_per_step=size.rows_per_step,
        rows_at_once=size.rows_at_once,
        rate=arguments.rate,
        seed=arguments.seed,
    )
    start = None
    if arguments.start:
        from model_runtime.training.export import read_weights

        start = read_weights(arguments.start, shape)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    low_precision = device == "cuda" or _has_bf16_units()
    compiled = device == "cuda"
    trainer = Trainer(place, data, shape, recipe, device, low_precision, compiled, start)
    with _progress() as show:
        trainer.run(show, arguments.slice_minutes)
    if trainer.progress < 1.0:
        print(f"{trainer.progress:.0%} of the run are done: the same command goes on with it")


def curves(arguments: argparse.Namespace) -> None:
    """draw how loss and exact match went"""
    from model_runtime.training.curves import draw_curves

    target = arguments.drawing or _place(arguments) / "curves.svg"
    draw_curves(_made(_place(arguments), "log.jsonl"), target)
    print(target)


def layouts(arguments: argparse.Namespace) -> None:
    """measure what was trained in PSM and in SPM, on the same rests of held-out lines"""
    from model_runtime.training.loss import layouts_met
    from model_runtime.training.network import Network, Shape
    from model_runtime.training.pieces import load_pieces
    from model_runtime.training.vocabulary import END_OF_TEXT, token_id

    state = load_pieces(_place(arguments) / "checkpoint")
    if state is None:
        raise FileNotFoundError(f"there is no {_place(arguments) / 'checkpoint'}: run the step `train` first")
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["network"])
    probes = _probes(arguments, arguments.lines)
    met = layouts_met(network, probes, token_id(_tokenizer(arguments), END_OF_TEXT), rows_at_once=8)
    print(f"{len(probes) // 2} rests of lines, met exactly: PSM {met.psm:.1%}, SPM {met.spm:.1%}")
    print(f"and ended after the true ones: PSM {met.psm_ended:.1%}, SPM {met.spm_ended:.1%}")


def export(arguments: argparse.Namespace) -> None:
    """write the trained model as an int8 checkpoint that fimble runs"""
    from model_runtime.training.export import export_model

    export_model(_place(arguments), arguments.target)
    print(f"{arguments.target}: {sum(f.stat().st_size for f in arguments.target.iterdir()) / 2**20:.1f} MiB")


def _has_bf16_units() -> bool:
    """Whether this CPU multiplies bf16 itself; elsewhere it is slower than fp32."""
    import torch

    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public ones
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def _made(folder: Path, name: str) -> Path:
    """A file that an earlier step has made."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: run the step `{MADE_BY[name]}` first")
    return path


def _place(arguments: argparse.Namespace) -> Path:
    """Where what belongs to one size is kept; the corpus is everybody's."""
    place: Path = arguments.folder / arguments.size
    return place


def _tokenizer(arguments: argparse.Namespace) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(_made(_place(arguments), "tokenizer.json")))


def _sample(path: Path, megabytes: float, package_megabytes: float) -> Iterator[SourceFile]:
    """Files at random, but always the same, no package giving more than its share; packages one by one."""
    from model_runtime.training.corpus import read_files

    files = list(read_files(path))
    Random(0).shuffle(files)
    taken, total, given = [], 0, Counter[str]()
    for file in files:
        if total > megabytes * 1e6:
            break
        if given[file.package] <= package_megabytes * 1e6:
            given[file.package] += len(file.text)
            total += len(file.text)
            taken.append(file)
    taken.sort(key=lambda file: (file.package, file.path))
    yield from taken


def _probes(arguments: argparse.Namespace, count: int) -> Rows:
    from model_runtime.training.packing import make_probes

    size = _size(arguments)
    files = _sample(_made(arguments.folder, "heldout.jsonl"), size.megabytes, size.package_megabytes)
    length = min(PROBE_TOKENS, size.context) + 1
    return make_probes(files, _tokenizer(arguments), length, count, arguments.seed)


def _size(arguments: argparse.Namespace) -> Size:
    """The size that was named, with what was said otherwise."""
    size = SIZES[arguments.size]
    said = {name: getattr(arguments, name, None) for name in vars(size)}
    return Size(**{name: getattr(size, name) if value is None else value for name, value in said.items()})


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar; a line now and then where rich is not installed."""
    try:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:
        said = -1

        def say(share: float, text: str) -> None:
            nonlocal said
            if int(share * 100) > said:
                said = int(share * 100)
                print(f"{said} % {text}", flush=True)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_runtime.training",
        description="The recipe of the default model. `all` takes every step in order; each can be run "
        "again, and one that was interrupted goes on where it was.",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where everything is kept (runs)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu", help="of the model and its data (cpu)")
    steps = parser.add_subparsers(required=True, metavar="STEP")
    options = {
        corpus: (_add_corpus_options,),
        tokenizer: (_add_tokenizer_options,),
        pack: (_add_pack_options,),
        train: (_add_train_options,),
        curves: (_add_curves_options,),
        layouts: (_add_layouts_options,),
        export: (_add_export_options,),
    }
    every = tuple(add for adds in options.values() for add in adds)
    for step, adds in {run_all: every, **options}.items():
        name = "all" if step is run_all else step.__name__
        each = steps.add_parser(name, help=step.__doc__, description=step.__doc__)
        each.set_defaults(run=step)
        for add in adds:
            add(each)
    return parser


def _add_corpus_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packages", type=Path, default=PACKAGE_LIST, help="the pinned list of packages")
    parser.add_argument(
        "--evaluation-sets",
        type=Path,
        default=EVALUATION_SETS,
        help="what the corpus is kept clear of: a folder with *.jsonl or *.jsonl.gz (those of `fimble eval`)",
    )


def _add_tokenizer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vocab-size", type=int, help="how many tokens there are")
    _add_start_option(parser)


def _add_start_option(parser: argparse.ArgumentParser) -> None:
    if "--start" not in parser._option_string_actions:  # `all` has the options of every step
        parser.add_argument(
            "--start", type=Path, metavar="MODEL", help="begin with a checkpoint's vocabulary and weights"
        )


def _add_pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", type=int, help="tokens in a row")
    parser.add_argument("--megabytes", type=float, help="how much text to take")
    parser.add_argument("--package-megabytes", type=float, help="the most of one package")
    parser.add_argument("--psm", type=float, help="the share of PSM among PSM and SPM")


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, help="time to train, over all slices")
    parser.add_argument("--steps", type=int, default=0, help="how many steps to train, in place of --minutes")
    parser.add_argument("--slice-minutes", type=float, help="save and end after so long, however far it is")
    for name in ("width", "layers", "heads", "rows-per-step", "rows-at-once"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument(
        "--rate", type=float, default=1.0, help="the learning rate, in shares of the recipe's"
    )
    _add_start_option(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (as many as there are cores)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cuda where there is one")


def _add_curves_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drawing", type=Path, metavar="FILE.svg|png", help="FOLDER/curves.svg if not named")


def _add_layouts_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lines", type=int, default=1000, help="how many lines, at most (1000)")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", type=Path, default=DEFAULT_MODEL)


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
