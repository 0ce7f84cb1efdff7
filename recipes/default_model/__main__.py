"""`python -m recipes.default_model`: all steps, or one of them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from model_runtime.api import BackendError
from model_runtime.evaluation import EVALUATION_SETS
from model_runtime.models import DEFAULT_MODEL
from recipes.default_model import steps
from recipes.default_model.sizes import SIZES

PACKAGE_LIST = Path(__file__).with_name("packages.txt")


def main() -> int:
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except subprocess.CalledProcessError as error:
        print(
            f"recipe: {' '.join(error.cmd[1:4])} failed: see above what it could not fetch", file=sys.stderr
        )
        return 2
    except (FileNotFoundError, ValueError, BackendError) as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.default_model",
        description="The recipe of the default model. `all` runs every step in order; each can be repeated, "
        "and an interrupted one is resumed.",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where everything is kept (runs)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu", help="of the model and its data (cpu)")
    commands = parser.add_subparsers(required=True, metavar="STEP")
    options = {
        steps.corpus: (_add_corpus_options,),
        steps.tokenizer: (_add_tokenizer_options, _add_start_option),
        steps.pack: (_add_pack_options,),
        steps.train: (_add_train_options, _add_start_option),
        steps.curves: (_add_curves_options,),
        steps.layouts: (_add_layouts_options,),
        steps.export: (_add_export_options,),
    }
    every = tuple(dict.fromkeys(add for adds in options.values() for add in adds))
    for step, adds in {steps.run_all: every, **options}.items():
        name = "all" if step is steps.run_all else step.__name__
        command = commands.add_parser(name, help=step.__doc__, description=step.__doc__)
        command.set_defaults(run=step)
        for add in adds:
            add(command)
    return parser


def _add_corpus_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packages", type=Path, default=PACKAGE_LIST, help="the pinned list of packages")
    parser.add_argument(
        "--evaluation-sets",
        type=Path,
        default=EVALUATION_SETS,
        help="a folder with *.jsonl or *.jsonl.gz to decontaminate the corpus with (those of `fimble eval`)",
    )


def _add_tokenizer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vocab-size", type=int, help="number of tokens")


def _add_start_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", type=Path, metavar="MODEL", help="start from the vocabulary and weights of a checkpoint"
    )


def _add_pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", type=int, help="tokens in a row")
    parser.add_argument("--megabytes", type=float, help="how much text to use")
    parser.add_argument("--package-megabytes", type=float, help="how much of one package, at most")
    parser.add_argument("--psm", type=float, help="the share of PSM among PSM and SPM")


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, help="training time, over all slices")
    parser.add_argument("--steps", type=int, default=0, help="how many steps to train, in place of --minutes")
    parser.add_argument("--slice-minutes", type=float, help="save and stop after so long, to be resumed")
    for name in ("width", "layers", "heads", "rows-per-step", "rows-at-once"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates (1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (as many as there are cores)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is a GPU")


def _add_curves_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drawing", type=Path, metavar="FILE.svg|png", help="default: curves.svg of the run")


def _add_layouts_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lines", type=int, default=1000, help="how many lines, at most (1000)")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", type=Path, default=DEFAULT_MODEL)


if __name__ == "__main__":
    sys.exit(main())
