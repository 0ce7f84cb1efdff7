"""``fimble convert``: writes a checkpoint in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from lsp_server.cli.options import Commands, progress_bar
from model_runtime import convert
from model_runtime.api import OpenBackend


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble convert``."""
    parser = commands.add_parser("convert", help="write a checkpoint in another format")
    parser.description = (
        "Write the checkpoint SRC as a new folder DST that transformers, vLLM and others load. "
        "Weights are only reordered, never rounded, and never all in memory at once."
    )
    parser.add_argument(
        "source", metavar="SRC", help="folder of a checkpoint, GGUF file or name listed by `fimble models`"
    )
    parser.add_argument("target", type=Path, metavar="DST", help="a folder that doesn't exist yet")
    parser.add_argument(
        "--to",
        choices=("gptj", "hf"),
        required=True,
        help="gptj: a CodeGen checkpoint as GPT-J; hf: any checkpoint as transformers saves it",
    )
    parser.add_argument(
        "--mp-num",
        type=int,
        metavar="N",
        help="number of groups in the attention weights of SRC (default: by their shape)",
    )
    parser.set_defaults(command=_convert)
    return parser


def _convert(arguments: argparse.Namespace, _: OpenBackend) -> int:
    with progress_bar() as bar:
        task = bar.add_task("converting", total=1.0)
        convert(
            arguments.source,
            arguments.target,
            to=arguments.to,
            mp_num=arguments.mp_num,
            progress=lambda share, what: bar.update(task, completed=share, description=what),
        )
    print(arguments.target)
    return 0
