"""All GPU benchmarks in one run of under nine minutes, as a table and as JSON.

    python -m benchmarks.gpu --out FILE.json       on a CUDA GPU of 48 GB or more
    python -m benchmarks.gpu --toy                 a test run on the CPU with toy sizes, in seconds
    python -m benchmarks.gpu --toy --interpret     the same with the kernels, in Triton's interpreter: minutes

Memory bandwidth is measured first, and the time of a token is compared with it. A section that fails is
reported in a line, and the others still run; one that would end after `--minutes` is skipped.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu_models import (
    PERIOD,
    SHAPES,
    Kind,
    Size,
    Speed,
    open_ours,
    open_theirs,
    shape,
    speed,
    step_bytes,
    theirs_speed,
)
from benchmarks.gpu_products import Timer, product_lines, size_lines
from model_runtime.checkpoints import load
from model_runtime.decoding import NgramDrafter, Sampler, generate
from model_runtime.torch_decoder import Acceleration, Decoder

TARGETS: dict[tuple[str, str], float] = {
    ("CodeGen-16B fp16", "128 tokens"): 1.15,
    ("CodeGen-16B int8", "128 tokens"): 0.62,
    ("CodeGen-16B fp16", "share of bandwidth"): 85.0,
    ("CodeGen-16B int8", "share of bandwidth"): 75.0,
}
"""For one H200: maximum seconds, minimum per cent."""

SECTION = "the section itself"


@dataclass(frozen=True)
class Line:
    section: str
    what: str
    figure: float | None
    unit: str
    note: str = ""
    target: float | None = None

    @property
    def met(self) -> bool | None:
        if self.target is None or self.figure is None:
            return None
        return self.figure >= self.target if self.unit == "%" else self.figure <= self.target


@dataclass
class Machine:
    """The device: a real GPU, or a CPU with small sizes."""

    device: torch.device
    size: Size
    bandwidth: float = 0.0  # bytes in a second
    dtype = torch.float16

    @property
    def prompt(self) -> int:
        return {"real": 512, "toy": 64, "interpreted": 36}[self.size]

    @property
    def runs(self) -> int:
        return 1 if self.size == "interpreted" else 3

    @property
    def count(self) -> int:
        return {"real": 128, "toy": 16, "interpreted": 2}[self.size]

    def target(self, section: str, what: str) -> float | None:
        return TARGETS.get((section, what)) if self.size == "real" else None

    @property
    def kernels(self) -> bool:
        """Whether Triton's kernels run."""
        return self.size == "interpreted" or (self.size == "real" and find_spec("triton") is not None)

    @property
    def accelerated(self) -> Acceleration | None:
        """Everything the GPU supports; on a CPU, a graph is replayed by running the step again."""
        if self.size == "real":
            return None
        return Acceleration(frozenset({"cpu"} if self.kernels else ()), capture=lambda run: run)


Section = Callable[[Machine], Iterator[Line]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the results there, as JSON")
    parser.add_argument("--toy", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--interpret", action="store_true", help="with --toy: the kernels too, interpreted")
    parser.add_argument("--minutes", type=float, default=8.5, help="time limit of the whole run")
    parser.add_argument("--only", default="", help="sections whose names contain this")
    options = parser.parse_args(arguments)
    console = Console(width=110)
    if reason := _impossible(options.toy, options.interpret):
        console.print(reason)
        return 2
    machine = Machine(torch.device("cpu") if options.toy else torch.device("cuda", 0), _size(options))
    if machine.size == "interpreted":
        os.environ["TRITON_INTERPRET"] = "1"  # Triton looks when it is imported, which nothing has done yet
    lines, begun = list[Line](), time.monotonic()
    for name, seconds, section in sections():
        if options.only not in name and section is not bandwidth:
            continue
        in_time = time.monotonic() - begun + seconds <= 60 * options.minutes
        for line in guarded(name, section if in_time else left_out, machine):
            lines.append(line)
            at = f"{time.monotonic() - begun:6.1f} s"
            console.print(f"{at}  {line.section}: {line.what} {_figure(line)} {line.note}", soft_wrap=True)
        if options.out:
            options.out.write_text(json.dumps(record(machine, lines), indent=1), encoding="utf-8")
    console.print(table(lines))
    return 0


def _size(options: argparse.Namespace) -> Size:
    return "interpreted" if options.interpret else "toy" if options.toy else "real"


def _impossible(toy: bool, interpret: bool) -> str | None:
    """Why there is nothing to measure, if so."""
    if not toy and not torch.cuda.is_available():
        return "there is no CUDA GPU here: use --toy for a test run"
    if interpret and not toy:
        return "kernels are interpreted on the CPU: use --interpret with --toy"
    if interpret and find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    return None


def sections() -> Iterator[tuple[str, float, Section]]:
    """Name, maximum seconds on an H200, and function of each section; the most important ones first."""
    yield "bandwidth", 0, bandwidth
    yield "equality", 30, equality
    yield "CodeGen-16B fp16", 40, ours("CodeGen-16B", int8=False)
    yield "CodeGen-16B int8", 40, ours("CodeGen-16B", int8=True)
    yield "products", 40, products
    yield "CodeGen-16B transformers", 60, theirs("CodeGen-16B")
    for name in ("StarCoder-15B", "StarCoder-1B"):
        yield f"{name} fp16", 40, ours(name, int8=False)
        yield f"{name} int8", 40, ours(name, int8=True)
        yield f"{name} transformers", 60, theirs(name)
    yield "sizes", 90, sizes


def guarded(name: str, section: Section, machine: Machine) -> Iterator[Line]:
    """A section's lines; if it fails, a line with the error. Frees its memory."""
    begun = time.monotonic()
    try:
        yield from section(machine)
    except Exception as error:
        message = str(error).strip().partition("\n")[0]
        yield Line(name, "FAILED", None, "", f"{type(error).__name__}: {message[:300]}")
    if machine.device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
    yield Line(name, SECTION, time.monotonic() - begun, "s")


def left_out(machine: Machine) -> Iterator[Line]:
    raise TimeoutError("there was no time left for it")


def bandwidth(machine: Machine) -> Iterator[Line]:
    """The higher bandwidth of copying, which reads and writes, and of reading alone."""
    timer = Timer(machine.device)
    source = torch.randn(2**31 if machine.size == "real" else 2**20, device=machine.device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    def add_up() -> None:
        source.sum()

    copied, read = 2 * source.nbytes / timer.seconds(copy), source.nbytes / timer.seconds(add_up)
    machine.bandwidth = max(copied, read)
    yield Line("bandwidth", "copying, read and written", copied / 1e9, "GB/s")
    yield Line("bandwidth", "reading", read / 1e9, "GB/s")


def ours(name: str, *, int8: bool) -> Section:
    title = f"{name} {'int8' if int8 else 'fp16'}"

    def run(machine: Machine) -> Iterator[Line]:
        facts, device = shape(name, machine.size), machine.device
        decoder = open_ours(facts, machine.dtype, device, "int8" if int8 else "float", machine.accelerated)
        prompt = [index % PERIOD for index in range(machine.prompt)]
        plain = speed(decoder, prompt, machine.count, machine.runs)
        yield from _lines(title, machine, decoder, plain)
        long = [index % PERIOD for index in range(min(4 * machine.prompt, decoder.config.context_length - 8))]
        yield Line(title, f"prefill of {len(long)}", 1e3 * speed(decoder, long, 2, machine.runs).first, "ms")
        drafted = speed(
            decoder,
            prompt,
            machine.count,
            machine.runs,
            lambda: NgramDrafter(prompt, cost=lambda width: 1 + 0.02 * width),
        )
        same = drafted.tokens == plain.tokens
        yield Line(
            title, f"{machine.count} tokens, drafted", drafted.total, "s", "" if same else "TOKENS DIFFER"
        )
        if machine.device.type == "cuda":
            yield Line(title, "most memory", torch.cuda.max_memory_allocated() / 1e9, "GB")
            torch.cuda.reset_peak_memory_stats()

    return run


def _lines(title: str, machine: Machine, decoder: Decoder, run: Speed) -> Iterator[Line]:
    read = step_bytes(decoder, machine.prompt + machine.count // 2)
    share, what = 100 * read / run.token / machine.bandwidth, f"{machine.count} tokens"
    note = f"for a prompt of {machine.prompt}"
    yield Line(title, what, run.total, "s", note, machine.target(title, what))
    yield Line(title, f"prefill of {machine.prompt}", 1e3 * run.first, "ms")
    yield Line(title, "a token", 1e3 * run.token, "ms", f"{read / 1e9:.2f} GB to be read")
    what = "share of bandwidth"
    yield Line(title, what, share, "%", "", machine.target(title, what))


def theirs(name: str) -> Section:
    title = f"{name} transformers"

    def run(machine: Machine) -> Iterator[Line]:
        model = open_theirs(shape(name, machine.size), machine.dtype, machine.device)
        prompt = [index % PERIOD for index in range(machine.prompt)]
        yield Line(title, f"{machine.count} tokens", theirs_speed(model, prompt, machine.count), "s")

    return run


def equality(machine: Machine) -> Iterator[Line]:
    """Greedy tokens in fp32 against transformers', and recorded graphs against eager steps."""
    from tests.model_runtime.factory import TINY, make_model, write_checkpoint

    tokens = torch.randint(5, 384, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    for family in TINY if machine.size == "real" else ("codegen", "gpt_bigcode"):
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder), ascii_only=False, family=family)
            decoder = load(Path(folder), device=str(machine.device), dtype="fp32").decoder
            theirs = make_model(family=family)
            expected = theirs.generate(torch.tensor([tokens]), max_new_tokens=48, do_sample=False)[0, 40:]
            found = list(generate(decoder, decoder.new_cache(), tokens, Sampler(), max_tokens=48))
            yield Line(
                "equality", f"{family}, fp32", 100.0 * (found == expected.tolist()), "%", "greedy tokens"
            )
    for int8 in (False, True):
        facts = {**shape("CodeGen-16B", machine.size), "n_layer": 2}
        kind: Kind = "int8" if int8 else "float"
        fast = open_ours(facts, machine.dtype, machine.device, kind, machine.accelerated)
        slow = open_ours(facts, machine.dtype, machine.device, kind, Acceleration())
        yield Line("equality", f"recorded against eager, {kind}", _difference(fast, slow), "", "relative")


def _difference(fast: Decoder, slow: Decoder) -> float:
    """The largest relative difference of logits over steps of several widths."""
    one, other, worst = fast.new_cache(512), slow.new_cache(512), 0.0
    for length in (100, 1, 2, 3, 8, 40, 200, 1, 5):
        tokens = [index % PERIOD for index in range(one.length, one.length + length)]
        found, expected = (
            fast.forward(tokens, one, "all").double(),
            slow.forward(tokens, other, "all").double(),
        )
        worst = max(worst, float((found - expected).norm() / expected.norm()))
    return worst


def products(machine: Machine) -> Iterator[Line]:
    for what, rate, error in product_lines(machine.device, machine.dtype, machine.size, machine.kernels):
        share = 100 * rate / machine.bandwidth
        yield Line("products", what, share, "% of bandwidth", f"{rate / 1e9:.0f} GB/s, off by {error:.1e}")


def sizes(machine: Machine) -> Iterator[Line]:
    if not machine.kernels:
        return
    for what, rate in size_lines(machine.device, machine.dtype, machine.size):
        yield Line("sizes", what, 100 * rate / machine.bandwidth, "% of bandwidth")


def table(lines: list[Line]) -> Table:
    """The results without those of single matrix products, which are in the JSON."""
    shown = Table("", "", "measured", "target", "", width=110)
    for line in lines:
        if (line.section in ("products", "sizes") and line.figure is not None) or line.what == SECTION:
            continue
        target = (
            "" if line.target is None else f"{'≥' if line.unit == '%' else '≤'} {line.target:g} {line.unit}"
        )
        met = {None: line.note, True: "met", False: "MISSED"}[line.met]
        shown.add_row(line.section, line.what, _figure(line), target, met)
    return shown


def _figure(line: Line) -> str:
    return "" if line.figure is None else f"{line.figure:.4g} {line.unit}"


def record(machine: Machine, lines: list[Line]) -> dict[str, Any]:
    cuda = machine.device.type == "cuda"
    return {
        "machine": torch.cuda.get_device_name(machine.device) if cuda else "a CPU, with toy sizes",
        "torch": torch.__version__,
        "commit": _commit(),
        "shapes": {name: dict(facts) for name, facts in SHAPES.items()},
        "lines": [{**asdict(line), "met": line.met} for line in lines],
    }


def _commit() -> str:
    """Empty if this is no checkout or git is missing."""
    with suppress(OSError):
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


if __name__ == "__main__":
    sys.exit(main())
