"""The time of a token while another program keeps one core busy, beside that on a quiet machine.

    python -m benchmarks.busy_core [--model MODEL] [--tokens 300] [--busy 1]

The engine decodes as for an editor, and so chooses its threads anew while the machine is busy. The target:
95 of 100 tokens take at most twice the quiet median.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.quantization_quality import files_of
from lsp_server.bench.machine import this_machine
from model_runtime.api import CompletionRequest, ModelOptions
from model_runtime.engine.engine import Engine, EngineOptions

CHARACTERS, MAX_TOKENS = 1500, 64
"""Of a prompt, and of a completion."""

MAX_RATIO = 2.0
"""The 95th percentile on a busy machine, relative to the quiet median."""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never wait."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def token_seconds(engine: Engine, texts: Sequence[str], count: int) -> list[float]:
    """The seconds of `count` tokens after the first of a completion each, sorted."""
    times: list[float] = []
    for text in texts:
        decoded, before = 0, 0.0
        for chunk in engine.complete(CompletionRequest(text, max_tokens=MAX_TOKENS)):
            now = time.perf_counter()
            if chunk.usage is not None and chunk.usage.decoded_tokens > decoded:
                times += [now - before] if decoded else []
                decoded = chunk.usage.decoded_tokens
            before = now
        if len(times) >= count:
            break
    return sorted(times[:count])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", help="a folder, a GGUF file or a name; the default model where not given")
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--busy", type=int, default=1, help="other processes that never wait")
    options = parser.parse_args()
    engine = Engine(
        ModelOptions(options.model, device="cpu"),
        lambda share, what: None,
        EngineOptions(background=False, draft=False, heal=False),
    )
    texts = [file.text[:CHARACTERS] for file in files_of(None) if len(file.text) > CHARACTERS]
    quiet = token_seconds(engine, texts, options.tokens)
    with busy(options.busy):
        disturbed = token_seconds(engine, texts, options.tokens)
    median = quiet[len(quiet) // 2]
    for name, times in (("quiet", quiet), ("busy", disturbed)):
        middle, most = (1000 * times[int(share * len(times))] for share in (0.5, 0.95))
        sys.stdout.write(f"{name:<6} p50 {middle:.2f} ms, p95 {most:.2f} ms a token\n")
    ratio = disturbed[int(0.95 * len(disturbed))] / median
    verdict = "hit" if ratio <= MAX_RATIO else "missed"
    sys.stdout.write(
        f"p95 while busy is {ratio:.2f} of the quiet median (target ≤ {MAX_RATIO:g}): {verdict}\n"
    )
    sys.stdout.write(f"{options.busy} busy of {this_machine()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
