"""The interface between `lsp_server` and `model_runtime`: all types that pass between them, and their errors.

It needs the standard library alone, so that the language server starts without importing torch. A completion
is a stream; closing it with ``aclose()`` is the only way to cancel it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "fp32", "fp16", "bf16"]
Quantize = Literal["auto", "none", "int8", "int4"]
Suite = Literal[
    "single-line", "multi-line", "random-span", "line-start", "mid-line", "block", "left-to-right"
]
"""Kinds of evaluation tasks: the three benchmarks of HumanEval-infilling, three kinds of lines in held-out
packages, and HumanEval."""

Obstacle = Literal["memory", "speed"]
"""Why a model does not fit: it needs more memory than is free, or a token would take too long."""

FinishReason = Literal["stop", "length", "deadline"]
"""Why a completion ended: the model ended it or wrote bytes that are not text, it has `max_tokens`, or its
deadline was reached."""


@dataclass(frozen=True)
class Snippet:
    """A piece of another file, as context for the model."""

    path: str
    text: str


@dataclass(frozen=True)
class CompletionRequest:
    """A request for the text between `prefix` and `suffix`.

    The stream ends before `deadline`, in seconds of ``time.monotonic()``, with the text that there is by
    then. `temperature` 0 is greedy decoding, where `top_k`, `top_p` and `seed` have no effect; `top_k` 0 and
    `top_p` 1 switch their filters off. Requests of one `session`, such as a document, share the KV cache and
    are answered in order: close the stream of an older request before sending a newer one. Requests without
    a session are answered one after another.
    """

    prefix: str
    suffix: str = ""
    snippets: tuple[Snippet, ...] = ()
    language: str = ""
    max_tokens: int = 64
    deadline: float | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    session: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidRequest(f"max_tokens is {self.max_tokens}: ask for at least 1 token")
        if self.temperature < 0:
            raise InvalidRequest(f"temperature is {self.temperature}: use 0 (greedy) or more")
        if self.top_k < 0:
            raise InvalidRequest(f"top_k is {self.top_k}: use 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise InvalidRequest(f"top_p is {self.top_p}: use a value above 0, at most 1 (off)")


@dataclass(frozen=True)
class Usage:
    """The cost of a completion in tokens; `reused_tokens` of the prompt were in the KV cache."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    decoded_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.reused_tokens + other.reused_tokens,
            self.decoded_tokens + other.decoded_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.reused_tokens - other.reused_tokens,
            self.decoded_tokens - other.decoded_tokens,
        )


@dataclass(frozen=True)
class Chunk:
    """The next part of a completion's text; the last one has a `finish` reason.

    The text consists of whole characters. `usage` is the cost so far, or None if the backend does not count
    it.
    """

    text: str
    finish: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class ModelOptions:
    """Which model to open and how to run it; `model` is a folder or a name, or None for the default model.

    `quantize` says in how many bits matrices are kept at most; what the checkpoint has in fewer stays as it
    is. "auto" means int8 on a CPU with the native engine, unless a `dtype` is given, and on a CUDA GPU if the
    checkpoint stores int8. `memory_mb` limits the KV caches of a CPU's native engine, all together; None is a
    quarter of the memory that is free when the model is opened.
    """

    model: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantize: Quantize = "auto"
    memory_mb: int | None = None


@dataclass(frozen=True)
class MemoryUse:
    """The memory of an open model: bytes of the weights as they are held, and the most that KV caches take.

    The latter is in bytes and in tokens, those of all caches together.
    """

    weight_bytes: int
    cache_bytes: int
    cache_tokens: int


@dataclass(frozen=True)
class ModelInfo:
    """A description of an open model for people.

    `engine` is what computes: "torch", or "native" and its kernels, such as "native (avx2)".
    `native_problem` says in one line why a CPU has no native engine. `memory` is None where it is not known.
    """

    name: str
    family: str
    parameters: int
    context_length: int
    device: str
    dtype: str
    fill_in_the_middle: bool
    engine: str = "torch"
    native_problem: str | None = None
    memory: MemoryUse | None = None


@dataclass(frozen=True)
class ModelEntry:
    """A model with a name, known or on this machine; unknown attributes are None.

    `path` is None if it is not on this machine; `size` is that of its weights in bytes, on disk or else to
    download. It `fits` unless there is an `obstacle`: it needs `needs` bytes for weights and KV cache in the
    format that they have here, of `free` bytes, and a token takes about `token_ms` milliseconds.
    """

    name: str
    path: Path | None
    repository: str | None
    family: str | None
    parameters: int | None
    licence: str | None
    fill_in_the_middle: bool | None
    size: int | None
    fits: bool | None
    obstacle: Obstacle | None = None
    needs: int | None = None
    free: int | None = None
    token_ms: float | None = None


@dataclass(frozen=True)
class PartDifference:
    """The difference between fimble's decoder and transformers' model in one part.

    `layer` is the block's number, from 0, or None for parts outside of the blocks. `difference` is the
    largest absolute difference of an element, at `token`. The measure is `relative`: the norm of a token's
    difference relative to that of its activations, root mean square over tokens. Both are infinite if one
    side is NaN.
    """

    part: str
    layer: int | None
    token: int
    difference: float
    relative: float
    ok: bool


@dataclass(frozen=True)
class GreedyComparison:
    """How many of `steps` greedy tokens are equal before the first difference, which may be a `tie`."""

    equal: int
    steps: int
    tie: bool

    @property
    def ok(self) -> bool:
        return self.tie or self.equal == self.steps


@dataclass(frozen=True)
class Verification:
    """A comparison of fimble's decoder and transformers' model; `differences` are in order of computation."""

    model: str
    family: str
    device: str
    dtype: Dtype
    tokens: int
    tolerance: float
    differences: tuple[PartDifference, ...]
    greedy: GreedyComparison

    @property
    def first(self) -> PartDifference | None:
        """The first part beyond the tolerance, where the mistake is."""
        return next((difference for difference in self.differences if not difference.ok), None)

    @property
    def worst(self) -> tuple[PartDifference, ...]:
        """For each part, the block with the largest difference."""
        worst: dict[str, PartDifference] = {}
        for found in self.differences:
            if found.part not in worst or found.relative > worst[found.part].relative:
                worst[found.part] = found
        return tuple(worst.values())

    @property
    def ok(self) -> bool:
        return self.first is None and self.greedy.ok


@dataclass(frozen=True)
class Bandwidth:
    """Memory bandwidth when reading; `threads` is None on devices other than the CPU."""

    threads: int | None
    bytes_per_second: float


@dataclass(frozen=True)
class ContextSpeed:
    """At a context length of `tokens`: the times of prefill, and of decoding a token after it (p50)."""

    tokens: int
    prefill_ms: float
    decode_ms: float

    @property
    def prefill_tokens_per_second(self) -> float:
        return 1000 * self.tokens / self.prefill_ms


@dataclass(frozen=True)
class Speed:
    """The measured speed of a model on a machine.

    Attributes:
        model: the model.
        prefill_threads: the chosen number of threads for prefill.
        decode_threads: the chosen number of threads for decoding.
        bandwidth: with one thread, all cores and `decode_threads`; empty for a model on several devices.
        step_bytes: size of the weights that decoding a token reads; keys and values are small beside them.
        contexts: from short to long.
    """

    model: ModelInfo
    prefill_threads: int
    decode_threads: int
    bandwidth: tuple[Bandwidth, ...]
    step_bytes: int
    contexts: tuple[ContextSpeed, ...]

    def share_of_limit(self, context: ContextSpeed) -> float | None:
        """The speed of decoding relative to the limit of reading the weights once at the full bandwidth.

        It is above 1 if the weights fit into a processor's cache.
        """
        return None if self.limit_ms is None else self.limit_ms / context.decode_ms

    @property
    def limit_ms(self) -> float | None:
        """The least time per token if the weights are read from memory; None on several devices."""
        if not self.bandwidth:
            return None
        return 1000 * self.step_bytes / max(found.bytes_per_second for found in self.bandwidth)


LoadProgress = Callable[[float, str], None]
"""Called with the share done, from 0 to 1, and what is being done; from any thread."""

PullProgress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and in total."""


@dataclass(frozen=True)
class Score:
    """The shares of a suite's answers that are right.

    Attributes:
        first_line: the first line that is not empty equals the original's, apart from surrounding space.
        whole: the answer equals the original, apart from trailing space.
        passed: the completed program passes its tests; None if none were run.
    """

    first_line: float
    whole: float
    passed: float | None = None


@dataclass(frozen=True)
class SuiteScores:
    """The results of one suite of tasks.

    Attributes:
        suite: its name.
        tasks: how many were used.
        of: how many there are.
        scores: by name, of each model and two baselines: "floor" always gives the most frequent right answer,
            "copies" copies lines.
        floor: the answer of "floor".
    """

    suite: Suite
    tasks: int
    of: int
    scores: Mapping[str, Score]
    floor: str


@dataclass(frozen=True)
class Evaluation:
    """The scores of models on tasks with known answers, with greedy decoding and default settings."""

    models: tuple[ModelInfo, ...]
    seed: int
    suites: tuple[SuiteScores, ...]


class Backend(Protocol):
    """Completes code: the local runtime, or another engine."""

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        """Wait until the model is loaded. Idempotent; concurrent callers share one load.

        Raises:
            BackendError: the model cannot be used; the message says why and what to do.
        """
        ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream a completion, after loading the model if necessary.

        Closing the stream cancels it: the model is free within one step, and the KV cache keeps what was
        computed.

        Raises:
            BackendError: from ``anext``, if the model cannot be used.
        """
        ...

    async def close(self) -> None:
        """End all completions and free the model. Idempotent."""
        ...


OpenBackend = Callable[[ModelOptions], Backend]
"""Opens a model; returns at once, the model loads on first use."""


class BackendError(Exception):
    """An error that the user can fix; the message is one line that says what is wrong and what to do."""


class InvalidRequest(BackendError, ValueError):
    """A request makes no sense."""


class ModelNotFound(BackendError):
    """There is no such model or checkpoint."""


class UnsupportedModel(BackendError):
    """The checkpoint's family, or a feature of it, is not supported."""


class CorruptCheckpoint(BackendError):
    """A file of the checkpoint is damaged, incomplete or contradicts another one."""


class DeviceUnavailable(BackendError):
    """This machine does not have the requested device."""


class OutOfMemory(BackendError):
    """The device has not enough memory for the model or a request."""


class Busy(BackendError):
    """Too many requests at once."""


class BackendClosed(BackendError):
    """The backend was closed before or during a request."""
