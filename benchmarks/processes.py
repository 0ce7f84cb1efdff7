"""Runtimes in processes of their own, of which one at a time may run: the others are suspended.

Threads of an idle runtime often spin for a while; a suspended process takes nothing from the one that is
measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from benchmarks.llama_server import LlamaServer

ROOT = Path(__file__).parents[1]
LONGEST = 300.0
"""Seconds after which a runtime that does not answer is given up."""


@dataclass(frozen=True)
class Generated:
    """Some tokens, the seconds until the first one, and those from there to the last."""

    first: float
    rest: float
    tokens: list[int]


class Peer(Protocol):
    """A runtime in another process; seconds are those of the work alone."""

    def generate(self, tokens: Sequence[int], count: int) -> Generated:
        """A prompt from nothing, and the `count` tokens after it."""
        ...

    def passes(self, tokens: Sequence[int]) -> dict[str, float]:
        """The fields of `runtimes.Passes`; none for a runtime that makes no passes of a given width."""
        ...

    def typed(self, before: Sequence[int], after: Sequence[int]) -> float | None:
        """With `before` computed: the seconds until the token after `after`; None where it keeps nothing."""
        ...

    @property
    def process(self) -> psutil.Process:
        """The process, to be suspended while another one is measured."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class RuntimePeer:
    """A runtime of `runtimes`, with OpenMP held to `threads`.

    Raises:
        RuntimeError: it ends, or stays silent, instead of answering; the message has its last words.
    """

    def __init__(self, name: str, model: Path, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self._name = name
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runtimes", name, str(model), str(threads)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._words: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.process = psutil.Process(self._child.pid)
        self._read()

    def generate(self, tokens: Sequence[int], count: int) -> Generated:
        return Generated(**self._ask({"ask": "generate", "tokens": list(tokens), "count": count}))

    def passes(self, tokens: Sequence[int]) -> dict[str, float]:
        return self._ask({"ask": "passes", "tokens": list(tokens)})

    def typed(self, before: Sequence[int], after: Sequence[int]) -> float | None:
        found = self._ask({"ask": "typed", "before": list(before), "after": list(after)})
        seconds: float | None = found["seconds"]
        return seconds

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        alarm = threading.Timer(LONGEST, self._child.kill)
        alarm.start()
        try:
            line = self._child.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            self._child.wait()
            raise RuntimeError(f"{self._name} has ended: {' '.join(self._words[-1:]) or 'it said nothing'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _listen(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._words.append(line.strip())


class LlamaPeer:
    """llama.cpp's server; its own timings, which leave HTTP out."""

    def __init__(self, binary: Path, model: Path, threads: int) -> None:
        self._server = LlamaServer(binary, model, threads, options=("-np", "1"))
        self.process = self._server.process

    def generate(self, tokens: Sequence[int], count: int) -> Generated:
        answer = self._complete(tokens, count, cache=False)
        return Generated(*_seconds(answer), answer["tokens"])

    def passes(self, tokens: Sequence[int]) -> dict[str, float]:
        return {}

    def typed(self, before: Sequence[int], after: Sequence[int]) -> float | None:
        self._complete(before, 1, cache=True)
        return sum(_seconds(self._complete(after, 1, cache=True)))

    def close(self) -> None:
        self._server.close()

    def _complete(self, tokens: Sequence[int], count: int, *, cache: bool) -> dict[str, Any]:
        return self._server.post(
            "/completion",
            {
                "prompt": list(tokens),
                "n_predict": count,
                "temperature": 0,
                "samplers": ["top_k"],
                "top_k": 1,
                "ignore_eos": True,
                "cache_prompt": cache,
                "return_tokens": True,
                "id_slot": 0,
            },
        )


def _seconds(answer: dict[str, Any]) -> tuple[float, float]:
    """Until the first token, and from there on: the server counts the first one to the prompt."""
    timings = answer["timings"]
    return timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000


@contextmanager
def awake(peer: Peer) -> Iterator[Peer]:
    """Let `peer` run for a while; before and after it is suspended."""
    peer.process.resume()
    try:
        yield peer
    finally:
        with suppress(psutil.NoSuchProcess):
            peer.process.suspend()
