"""``fimble verify``: compares our decoder with transformers' model of a checkpoint, part by part."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lsp_server.cli.options import Commands, add_device_options, progress_bar
from lsp_server.files import read_text
from model_runtime import verify
from model_runtime.api import OpenBackend, PartDifference, Verification

_DESCRIPTION = """\
Run the same tokens through our decoder and through transformers' model of the checkpoint, and compare the
output of each part: the embedding; each block's queries and keys (rotated), values, attention, MLP and
output; the last norm; the logits; and a greedy continuation. The exit status is 1 if a part differs by more
than rounding explains. The models are loaded one after the other; nothing is downloaded."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble verify``."""
    parser = commands.add_parser("verify", help="compare our decoder with transformers', part by part")
    parser.description = _DESCRIPTION
    parser.add_argument("source", metavar="SRC", help="folder of a checkpoint, or a listed model")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="T",
        help="the largest relative difference allowed (default: 1e-4 in fp32, 2e-2 in fp16, 5e-2 in bf16)",
    )
    parser.add_argument(
        "--tokens", type=int, default=64, metavar="N", help="maximum number of tokens (default: 64)"
    )
    parser.add_argument(
        "--prompt-file",
        metavar="F",
        help="text to use (-: standard input; default: some Python)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one record, with every part of every block"
    )
    add_device_options(parser)
    parser.set_defaults(command=_verify)
    return parser


def _verify(arguments: argparse.Namespace, _: OpenBackend) -> int:
    text = None if arguments.prompt_file is None else read_text(arguments.prompt_file)
    with progress_bar() as bar:
        task = bar.add_task("verifying", total=1.0)
        result = verify(
            arguments.source,
            device=arguments.device,
            dtype=arguments.dtype,
            text=text,
            max_tokens=arguments.tokens,
            tolerance=arguments.tolerance,
            progress=lambda share, what: bar.update(task, completed=share, description=what),
        )
    if arguments.json:
        print(json.dumps(record(result), ensure_ascii=False))
    else:
        for line in table(result):
            print(line)
    return 0 if result.ok else 1


def record(result: Verification) -> dict[str, Any]:
    """What ``--json`` prints; a difference that is not finite is null."""
    return {
        "ok": result.ok,
        **asdict(result),
        "differences": [_part_record(found) for found in result.differences],
        "first": None if result.first is None else _part_record(result.first),
        "greedy": {"ok": result.greedy.ok, **asdict(result.greedy)},
    }


def table(result: Verification) -> Iterator[str]:
    """The lines of the table: each part where it differs most, then the conclusion."""
    model = f"{result.model} ({result.family}) on {result.device} in {result.dtype}"
    yield f"{model}, {result.tokens} tokens: differences from transformers' own"
    yield _row("PART", "LARGEST", "RELATIVE", "WHERE", "")
    for found in result.worst:
        difference, relative = f"{found.difference:.1e}", f"{found.relative:.1e}"
        yield _row(found.part, difference, relative, _where(found), _word(found.ok))
    yield f"{'greedy':<12}{_greedy(result):<42}{_word(result.greedy.ok)}"
    yield _conclusion(result)


def _row(part: str, difference: str, relative: str, where: str, word: str) -> str:
    return f"{part:<12}{difference:<10}{relative:<10}{where:<22}{word}".rstrip()


def _conclusion(result: Verification) -> str:
    if result.first is not None:
        first = result.first
        layer = "" if first.layer is None else f" of block {first.layer}"
        return f"FAIL: first beyond the tolerance of {result.tolerance:g}: {first.part}{layer}"
    if not result.greedy.ok:
        return f"FAIL: all parts are within {result.tolerance:g}, but the greedy tokens are not the same"
    return f"ok: all parts are within {result.tolerance:g}"


def _where(found: PartDifference) -> str:
    layer = "" if found.layer is None else f"block {found.layer}, "
    return f"{layer}token {found.token}"


def _greedy(result: Verification) -> str:
    greedy = result.greedy
    if greedy.equal == greedy.steps:
        return f"{greedy.steps} tokens equal"
    return f"{greedy.equal} of {greedy.steps} tokens equal, then {'a tie' if greedy.tie else 'another one'}"


def _word(ok: bool) -> str:
    return "ok" if ok else "FAIL"


def _part_record(found: PartDifference) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(found).items()
    }
