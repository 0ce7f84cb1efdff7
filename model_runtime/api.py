"""The seam between editors and models.

`lsp_server` knows text, positions and people; `model_runtime` knows tokens, tensors and checkpoints.
Everything that passes between them is defined here, with the standard library alone, so that the
language server starts without importing torch.

A completion is a stream that is closed: whoever has read enough calls ``aclose()`` on it, and that is
the only cancellation there is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "fp32", "fp16", "bf16"]
Quantize = Literal["auto", "none", "int8"]
Suite = Literal[
    "single-line", "multi-line", "random-span", "line-start", "mid-line", "block", "left-to-right"
]
"""What shows what a model knows: HumanEval-infilling's three benchmarks, three kinds of lines of held-out
packages, HumanEval."""

FinishReason = Literal["stop", "length", "deadline", "superseded"]
"""Why a completion ended: the model said so, or wrote bytes that are no text; it has `max_tokens`; its time
was up; or a newer request of the session took its place."""


@dataclass(frozen=True)
class Snippet:
    """A piece of another file that is worth showing to the model."""

    path: str
    text: str


@dataclass(frozen=True)
class CompletionRequest:
    """What a model is asked to write: the text that belongs between `prefix` and `suffix`.

    `deadline` is a reading of ``time.monotonic()`` in seconds; by that moment the stream ends with what
    there is. `temperature` 0 is greedy decoding, where `top_k`, `top_p` and `seed` have no effect;
    `top_k` 0 and `top_p` 1 switch their filters off. Requests of one `session` (a document being edited,
    say) follow one another and share what was computed for the earlier ones: the newest one ends those that
    are not answered yet. Those of no session are answered one after another.
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
    """What a completion cost, in tokens; `reused_tokens` of the prompt were in the cache already."""

    prompt_tokens: int
    reused_tokens: int
    decoded_tokens: int


@dataclass(frozen=True)
class Chunk:
    """The next piece of a completion's text, with what it cost so far; the last one has a `finish` reason.

    Its text is of whole characters: half of one at a completion's end is left out. A backend that cannot
    count gives no `usage`.
    """

    text: str
    finish: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class ModelOptions:
    """Which model to open and where it runs; `model` is a folder or a name, or None for the default model.

    `quantize` is whether its matrices are int8: "auto" has them so on a CPU whose products on int8 are
    quicker, unless a `dtype` is asked for, and elsewhere where the checkpoint has them so.
    """

    model: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantize: Quantize = "auto"


@dataclass(frozen=True)
class ModelInfo:
    """What was opened, in words and figures that a person understands."""

    name: str
    family: str
    parameters: int
    context_length: int
    device: str
    dtype: str
    fill_in_the_middle: bool


@dataclass(frozen=True)
class ModelEntry:
    """A model that has a name: what is known of it, and where it is. None is what nobody knows.

    `path` is None where it is not on this machine; `size` is that of its weights in bytes, here or else to
    download; `fits` says whether this machine can hold them as they are stored, and a cache beside them.
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


@dataclass(frozen=True)
class PartDifference:
    """How far our decoder is from transformers' own in one part.

    `layer` is the block's number, from 0, or None for what there is once. `difference` is the largest
    absolute one of all elements, at `token`. What counts is `relative`: the length of a token's difference as
    a share of the length of its activations, root mean square over tokens. Both are infinite where one side
    is not a number.
    """

    part: str
    layer: int | None
    token: int
    difference: float
    relative: float
    ok: bool


@dataclass(frozen=True)
class GreedyComparison:
    """How many greedy tokens, of `steps`, are equal before one is not; a `tie` may be decided either way."""

    equal: int
    steps: int
    tie: bool

    @property
    def ok(self) -> bool:
        return self.tie or self.equal == self.steps


@dataclass(frozen=True)
class Verification:
    """Our decoder compared with transformers' own; `differences` are in the order of computation."""

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
        """The first part that is beyond the tolerance: where to look for the mistake."""
        return next((difference for difference in self.differences if not difference.ok), None)

    @property
    def worst(self) -> tuple[PartDifference, ...]:
        """Of each part, the block where it is farthest off."""
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
    """How many bytes a second are read from memory; `threads` is None where the device decides that."""

    threads: int | None
    bytes_per_second: float


@dataclass(frozen=True)
class ContextSpeed:
    """At a context length of `tokens`: computing them all, and then a token more (p50), in milliseconds."""

    tokens: int
    prefill_ms: float
    decode_ms: float

    @property
    def prefill_tokens_per_second(self) -> float:
        return 1000 * self.tokens / self.prefill_ms


@dataclass(frozen=True)
class Speed:
    """What a machine does with a model, measured.

    Prompts are computed with `prefill_threads`, tokens with `decode_threads`, chosen by measuring.
    `bandwidth` is with one thread, with all cores and with those; it is empty for a model on several
    devices. `step_bytes` is what its weights take that a token reads, each once; its keys and values, which
    it reads too, are little beside them. `contexts` go from short to long.
    """

    model: ModelInfo
    prefill_threads: int
    decode_threads: int
    bandwidth: tuple[Bandwidth, ...]
    step_bytes: int
    contexts: tuple[ContextSpeed, ...]

    def share_of_limit(self, context: ContextSpeed) -> float | None:
        """How near decoding comes to the limit: the time that it takes to read the weights once.

        At the bandwidth of all cores. Above 1 where the weights fit into a processor's cache, which is
        quicker than memory.
        """
        return None if self.limit_ms is None else self.limit_ms / context.decode_ms

    @property
    def limit_ms(self) -> float | None:
        """What a token takes at least, if its weights come from memory; None on several devices."""
        if not self.bandwidth:
            return None
        return 1000 * self.step_bytes / max(found.bytes_per_second for found in self.bandwidth)


LoadProgress = Callable[[float, str], None]
"""Called with the share done, from 0 to 1, and what is being done; from any thread."""

PullProgress = Callable[[int, int], None]
"""Called with the bytes that are here, and how many there will be."""


@dataclass(frozen=True)
class Score:
    """How many of a suite's answers are right, in shares of 1.

    Attributes:
        first_line: whose first line that is not empty is the true one's, but for space around it.
        whole: that are the true ones, but for space at the end.
        passed: with which the program passes its tests; None where none were run.
    """

    first_line: float
    whole: float
    passed: float | None = None


@dataclass(frozen=True)
class SuiteScores:
    """What came of one suite of tasks.

    Attributes:
        suite: its name.
        tasks: how many were asked.
        of: how many there are.
        scores: of each that answered, by name: the model, those it stands against, and two that are none.
            "floor" always gives the one answer that is right most often, "copies" copies lines.
        floor: that answer.
    """

    suite: Suite
    tasks: int
    of: int
    scores: Mapping[str, Score]
    floor: str


@dataclass(frozen=True)
class Evaluation:
    """What models reach on tasks with known answers; greedy, as shipped."""

    models: tuple[ModelInfo, ...]
    seed: int
    suites: tuple[SuiteScores, ...]


class Backend(Protocol):
    """Something that completes code: the local runtime, or an engine elsewhere."""

    async def load(self, progress: LoadProgress | None = None) -> ModelInfo:
        """Wait until the model is ready. Idempotent; concurrent callers share one load.

        Raises:
            BackendError: the model cannot be used; the message says why and what to do.
        """
        ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream a completion; loads the model first if need be.

        Closing the stream cancels: the model is free again within one step, and keeps what it computed.

        Raises:
            BackendError: on the first ``anext``, where the model cannot be used.
        """
        ...

    async def close(self) -> None:
        """End running completions and free the model. Idempotent."""
        ...


class BackendError(Exception):
    """Something the user can mend; the message is one line that says what is wrong and what to do."""


class InvalidRequest(BackendError, ValueError):
    """A request asks for something that makes no sense."""


class ModelNotFound(BackendError):
    """There is no checkpoint at the place given."""


class UnsupportedModel(BackendError):
    """The checkpoint is of a family, or uses a feature, that the runtime does not have."""


class CorruptCheckpoint(BackendError):
    """A file of the checkpoint is damaged, incomplete or contradicts another one."""


class DeviceUnavailable(BackendError):
    """The device asked for is not on this machine."""


class OutOfMemory(BackendError):
    """The model, or a request, does not fit into the device's memory."""


class Busy(BackendError):
    """More is asked at once than the backend takes."""


class BackendClosed(BackendError):
    """The backend was closed while, or before, it was asked."""
