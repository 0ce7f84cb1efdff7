"""The runtimes that are compared, behind one interface; run as a child process of `peers`.

The process loads a runtime and answers requests: one JSON object a line on standard input, one answer a line
on standard output. llama.cpp has a server of its own; see `llama_server`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from model_runtime.api import ModelOptions, Quantize
from model_runtime.backend.openmp import limit_openmp_spinning
from model_runtime.hardware import cores

PIECE = 128
"""Tokens in a prefill chunk of ours; for an editor, chunks are sized to take 40 ms."""

PASSES = 21
"""Passes of the same number of rows."""

Call = Callable[[], None]


class Runtime(Protocol):
    """Something that continues tokens greedily."""

    def generate(self, tokens: Sequence[int], count: int, first: Call) -> list[int]:
        """The `count` tokens that follow, end of text included; the KV cache is empty at the start.

        `first` is called at the first token.
        """
        ...

    def passes(self, tokens: Sequence[int]) -> Passes | None:
        """Passes of a few rows after `tokens`; None if the runtime has no such thing."""
        ...

    def typed(self, before: Sequence[int], after: Sequence[int]) -> Callable[[], list[int]] | None:
        """Compute `before`; returns a function that computes the token after `after`, reusing the KV cache.

        None if the runtime does not keep the KV cache between prompts.
        """
        ...


@dataclass(frozen=True)
class Passes:
    """Seconds of a pass of 1 and of 4 rows, medians; the bytes that it reads, and memory's bytes a second."""

    one: float
    four: float
    step_bytes: int
    bandwidth: float


class Ours:
    """fimble's decoder as the engine opens it, without speculative decoding.

    Uses at most as many threads as the environment variable OMP_NUM_THREADS allows.
    """

    def __init__(self, model: Path, *, quantize: Quantize) -> None:
        limit_openmp_spinning(os.environ)  # as the backend does before torch is imported
        from model_runtime.decoding import generate
        from model_runtime.engine.engine import Engine
        from model_runtime.engine.measuring import TunedDecoder

        options = ModelOptions(model=str(model), device="cpu", quantize=quantize)
        self._decoder = TunedDecoder(Engine(options, lambda share, what: None))
        self._cache = self._decoder.decoder.new_cache(min(4096, self._decoder.decoder.config.context_length))
        self._generate = generate

    def generate(self, tokens: Sequence[int], count: int, first: Call) -> list[int]:
        self._cache.rewind(0)
        return self._continue(tokens, count, first)

    def typed(self, before: Sequence[int], after: Sequence[int]) -> Callable[[], list[int]] | None:
        self.generate(before, 1, _nothing)
        return lambda: self._continue(after, 1, _nothing)

    def passes(self, tokens: Sequence[int]) -> Passes | None:
        from model_runtime.engine.measuring import read_bandwidth

        def seconds(rows: int) -> float:
            self._cache.rewind(len(tokens))
            begun = time.perf_counter()
            self._decoder.forward([0] * rows, self._cache, "all")
            return time.perf_counter() - begun

        self.generate(tokens, 1, _nothing)
        self._cache.rewind(0)
        self._decoder.forward(tokens, self._cache)
        one, four = (median(seconds(rows) for _ in range(PASSES)) for rows in (1, 4))
        bandwidth = read_bandwidth("cpu", rounds=3, threads=cores())
        return Passes(one, four, self._decoder.decoder.step_bytes, bandwidth)

    def _continue(self, tokens: Sequence[int], count: int, first: Call) -> list[int]:
        made = self._generate(
            self._decoder,
            self._cache,
            tokens,
            lambda logits: int(logits.argmax()),
            max_tokens=count,
            chunk=PIECE,
        )
        found: list[int] = []
        for token in made:
            if token is not None:
                found.append(token)
                if len(found) == 1:
                    first()
        return found


class Transformers:
    """transformers' own model and its `generate`, in fp32 with eager attention."""

    def __init__(self, model: Path, threads: int) -> None:
        import torch

        transformers: Any = import_module("transformers")  # not fully typed
        torch.set_num_threads(threads)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch = torch
        self._new_cache = transformers.DynamicCache
        load = transformers.AutoModelForCausalLM.from_pretrained
        self._model: Any = load(model, dtype=torch.float32, attn_implementation="eager")

    def passes(self, tokens: Sequence[int]) -> Passes | None:
        return None

    def generate(self, tokens: Sequence[int], count: int, first: Call, cache: Any = None) -> list[int]:
        ids = self._torch.tensor([list(tokens)])
        with self._torch.inference_mode():
            made = self._model.generate(
                ids,
                attention_mask=self._torch.ones_like(ids),
                past_key_values=cache,
                streamer=_Listener(first),
                do_sample=False,
                max_new_tokens=count,
                min_new_tokens=count,
                pad_token_id=0,
            )
        made_ids: list[int] = made[0, len(tokens) :].tolist()
        return made_ids

    def typed(self, before: Sequence[int], after: Sequence[int]) -> Callable[[], list[int]] | None:
        cache = self._new_cache()
        self.generate(before, 1, _nothing, cache)
        beyond = cache.get_seq_length() - _common(before, after)
        if beyond > 0:
            cache.crop(-beyond)
        return lambda: self.generate(after, 1, _nothing, cache)


class _Listener:
    """A transformers streamer, which gets the prompt first and then each token."""

    def __init__(self, first: Call) -> None:
        self._first, self._received = first, 0

    def put(self, value: object) -> None:
        self._received += 1
        if self._received == 2:
            self._first()

    def end(self) -> None:
        pass


class CTranslate2:
    """CTranslate2's generator in int8."""

    def __init__(self, model: Path, threads: int) -> None:
        ctranslate2 = import_module("ctranslate2")
        self._spellings = json.loads((model / "vocabulary.json").read_text(encoding="utf-8"))
        self._ids = {spelling: token for token, spelling in enumerate(self._spellings)}
        self._generator = ctranslate2.Generator(
            str(model), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )

    def passes(self, tokens: Sequence[int]) -> Passes | None:
        return None

    def generate(self, tokens: Sequence[int], count: int, first: Call) -> list[int]:
        def listen(step: Any) -> bool:
            if step.step == 0:
                first()
            return False  # go on

        [result] = self._generator.generate_batch(
            [[self._spellings[token] for token in tokens]],
            max_length=count,
            min_length=count,
            sampling_topk=1,
            include_prompt_in_result=False,
            callback=listen,
        )
        return [self._ids[spelling] for spelling in result.sequences[0]]

    def typed(self, before: Sequence[int], after: Sequence[int]) -> Callable[[], list[int]] | None:
        return None


RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    "fimble-int8": lambda model, threads: Ours(model, quantize="int8"),
    "fimble-int4": lambda model, threads: Ours(model, quantize="int4"),
    "fimble-fp32": lambda model, threads: Ours(model, quantize="none"),
    "transformers": Transformers,
    "ctranslate2": CTranslate2,
}


def answer(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """The seconds that a request took, and the resulting tokens; null if the runtime cannot do it."""
    if request["ask"] == "generate":
        times: list[float] = []
        begun = time.perf_counter()
        tokens = runtime.generate(
            request["tokens"], request["count"], lambda: times.append(time.perf_counter())
        )
        return {"first": times[0] - begun, "rest": time.perf_counter() - times[0], "tokens": tokens}
    if request["ask"] == "passes":
        passes = runtime.passes(request["tokens"])
        return {} if passes is None else asdict(passes)
    complete = runtime.typed(request["before"], request["after"])
    if complete is None:
        return {"seconds": None, "tokens": []}
    begun = time.perf_counter()
    tokens = complete()
    return {"seconds": time.perf_counter() - begun, "tokens": tokens}


def _nothing() -> None:
    """Used where the time of the first token does not matter."""


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the common prefix, without the last token of `other`, which must be computed."""
    same = 0
    while same < min(len(one), len(other) - 1) and one[same] == other[same]:
        same += 1
    return same


def main() -> None:
    """Load a runtime and answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model", type=Path)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    answers = sys.stdout
    sys.stdout = sys.stderr  # keep a library's output out of the answers
    runtime = RUNTIMES[arguments.runtime](arguments.model, arguments.threads)
    answers.write('{"ready": true}\n')
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(answer(runtime, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
