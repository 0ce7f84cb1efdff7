"""An open model that answers requests step by step, synchronously; the local backend runs it in a thread.

For each request it plans the prompt, acquires a KV cache slot, generates, and decodes tokens into chunks of
text. Slots outlive the request, so that the next one computes only what is new. While there is no request,
`work_in_background` computes what the next one will likely need.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from model_runtime.api import (
    Chunk,
    CompletionRequest,
    CorruptCheckpoint,
    LoadProgress,
    MemoryUse,
    ModelInfo,
    ModelOptions,
    OutOfMemory,
    Usage,
)
from model_runtime.checkpoints import AnyDecoder, LoadedModel, load, map_devices
from model_runtime.decoding import (
    AcceptanceStats,
    CachedSequence,
    NgramDrafter,
    Sampler,
    as_logits,
    generate,
)
from model_runtime.engine.last_completions import LastCompletions
from model_runtime.engine.planning import CHUNK_SECONDS, Plan, Planner
from model_runtime.engine.slots import (
    MEMORY_SHARE,
    Choice,
    Slots,
    capacity_and_count,
    layer_token_bytes,
    pooled_capacity,
)
from model_runtime.engine.timed_decoder import Clock, DeadlineReached, TimedDecoder
from model_runtime.hardware import (
    MIN_PREFILL_ROWS,
    PREFILL_TRIAL_ROWS,
    LatencyModel,
    ThreadTuner,
    cores,
    devices_name,
    free_memory,
    memory_errors,
    resolve_device,
    resolve_dtype,
    resolve_matrix_format,
)
from model_runtime.models import DEFAULT_NAME, resolve
from model_runtime.native import NativeDecoder, native_problem
from model_runtime.prompting import Healer, Prompt, Sentinels, find_sentinels, lay_out
from model_runtime.tokenization import IncrementalDecoder, Tokenizer

PROMPT_TOKENS = 2048
"""The longest prompt, even where the context length allows more: farther text seldom pays for its time."""

CACHE_TOKENS = 2 * PROMPT_TOKENS
"""The longest prompt and completion together: a cache of a long context length would take gigabytes."""

BACKGROUND_CHUNK_SECONDS = 0.012
"""Duration of a background prefill chunk, which is the longest that a new request waits for it."""

DELIVERY_SECONDS = 0.005
"""Time reserved before a deadline for the way of the last chunk to the caller."""

DRAFT_CONTEXT_TOKENS = 32
"""Tokens before the cursor that a draft must continue, where the prompt does not end with them."""

RETUNE_SECONDS, MAX_RETUNE_SECONDS = 5.0, 600.0
"""The number of threads is retuned in the background after this interval, which doubles each time."""

MAX_RETUNE_SLOWDOWN = 1.5
"""There is no retuning while passes take more than this many times as long as on an idle machine."""

CACHED_SNIPPETS = 64
"""The number of snippets whose tokens are cached, to draft from."""


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works; only `heal` changes its answers.

    Attributes:
        slots: the most KV cache slots.
        chunk: tokens in a prefill chunk; None to choose them by the duration of a pass.
        background: whether full prompts are computed while there is no request.
        draft: whether tokens are drafted (speculative decoding).
        heal: whether the token at the cursor is healed.
    """

    slots: int = 8
    chunk: int | None = None
    background: bool = True
    draft: bool = True
    heal: bool = True


class Engine:
    """An open model.

    Args:
        options: the model, the device and the precision.
        progress: called with the share of loading that is done.
        engine_options: how it works.
        clock: in seconds; deadlines are times on it.

    Raises:
        BackendError: the model cannot be opened; the message says why and what to do.
    """

    def __init__(
        self,
        options: ModelOptions,
        progress: LoadProgress,
        engine_options: EngineOptions | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._options, self._clock = engine_options or EngineOptions(), clock
        device = resolve_device(options.device)
        dtype = resolve_dtype(options.dtype, device)
        with memory_errors():
            path = resolve(options.model)
            # A model larger than one GPU is split between several, or between GPU and CPU.
            placement = partial(map_devices, cache_tokens=CACHE_TOKENS) if device == "cuda" else device
            matrices = resolve_matrix_format(options, device)
            model = load(path, device=placement, dtype=dtype, matrices=matrices, progress=progress)
            self._tokenizer = _open_tokenizer(model)
            self.decoder = model.decoder
            progress(1.0, "warming up")
            self._capacity, self._parallel = self._room(options)
            first_cache = self.decoder.new_cache(self._capacity)
            self.threads = _thread_tuner(self.decoder)
            self._latencies = _calibrate(self.decoder, first_cache, self.threads, clock)
        self._sentinels = find_sentinels(self._tokenizer, self.decoder.config.vocab_size)
        self._stop = _stop_tokens(model, self._tokenizer, self._sentinels)
        native = isinstance(self.decoder, NativeDecoder)
        self._slots = Slots(
            partial(self.decoder.new_cache, self._capacity),
            self._options.slots if native else self._parallel,
            first_cache,
            growing=native,
        )
        self._planner = Planner(self._lay_out, self._slots, self._latencies)
        self._healer = Healer(self._tokenizer) if self._options.heal else None
        self._acceptance, self._last_completions = AcceptanceStats(), LastCompletions()
        self._encode = lru_cache(CACHED_SNIPPETS)(self._tokenizer.encode)
        self._pending: dict[str, Prompt] = {}  # to compute in the background; by session, the newest last
        self._retuning: Iterator[None] | None = None
        self._retune_interval = RETUNE_SECONDS
        self._retune_at = clock() + self._retune_interval
        self.info = ModelInfo(
            name=model.name if options.model else DEFAULT_NAME,
            family=model.family,
            parameters=self.decoder.parameters,
            context_length=self.decoder.config.context_length,
            device=devices_name(list(map(str, self.decoder.devices))),
            dtype=model.quantized or dtype,
            fill_in_the_middle=self._sentinels is not None,
            engine=f"native ({self.decoder.kernels})" if isinstance(self.decoder, NativeDecoder) else "torch",
            native_problem=native_problem() if device == "cpu" else None,
            memory=self._memory_use(),
        )

    @property
    def parallel(self) -> int:
        """The most concurrent completions."""
        return min(self._parallel, self._slots.limit)

    def _room(self, options: ModelOptions) -> tuple[int, int]:
        """The capacity of a cache in tokens, and the number of full ones that there is memory for."""
        decoder = self.decoder
        if isinstance(decoder, NativeDecoder):
            share = int(MEMORY_SHARE * free_memory("cpu"))
            decoder.pool.set_budget(share if options.memory_mb is None else options.memory_mb << 20)
            return pooled_capacity(decoder.pool, decoder.config, CACHE_TOKENS, self._options.slots)
        return capacity_and_count(
            list(map(str, decoder.devices)),
            decoder.config,
            decoder.dtype.itemsize,
            free_memory,
            max_tokens=CACHE_TOKENS,
            max_slots=self._options.slots,
        )

    def _memory_use(self) -> MemoryUse:
        decoder, tokens = self.decoder, self._slots.limit * self._capacity
        if isinstance(decoder, NativeDecoder):
            tokens = min(tokens, decoder.pool.tokens)
            return MemoryUse(decoder.weight_bytes, decoder.pool.bytes_for(tokens), tokens)
        cache_bytes = (
            tokens * decoder.config.layers * layer_token_bytes(decoder.config, decoder.dtype.itemsize)
        )
        return MemoryUse(decoder.weight_bytes, cache_bytes, tokens)

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        """Answer a request step by step.

        Yields a chunk after each step, which is a prefill chunk or a token: the usage so far, and any new
        text. Only the last one has a `finish` reason. Closing the generator ends the work and keeps in the
        cache what was computed. A step that would end after the deadline is not started.

        Raises:
            Busy: there are `parallel` completions already.
            OutOfMemory: the device has no room for the request, even after evicting idle slots.
        """
        deadline = None if request.deadline is None else request.deadline - DELIVERY_SECONDS
        seconds = None if deadline is None else deadline - self._clock()
        kept, rolled_back = self._healer.roll_back(request.prefix) if self._healer else (request.prefix, "")
        plan = self._planner.plan(replace(request, prefix=kept), self._budget(request), seconds)
        self._schedule_background(request, plan)
        with memory_errors(), self._slots.acquire(request.session, plan.choice) as slot:
            decoder = self._timed_decoder(deadline)
            yield from self._answer(request, rolled_back, plan.choice, slot.cache, decoder)

    def work_in_background(self) -> bool:
        """Run one forward pass that no request waits for; False where there is nothing to do.

        That is prefill of the full prompt of each session's last request, in its preferred layout, as far
        as the completion did not compute it. After that, now and then, the number of threads is retuned.
        """
        while self._pending:
            session, prompt = next(reversed(self._pending.items()))
            choice = self._slots.choose(session, [prompt])
            if choice.uncached <= 1:  # a request computes the last token of its prompt itself
                del self._pending[session]
                continue
            try:
                with self._slots.acquire(session, choice) as slot:
                    rows = min(choice.uncached - 1, self._chunk_size(slot.cache, BACKGROUND_CHUNK_SECONDS))
                    chunk = prompt.tokens[choice.cached : choice.cached + rows]
                    self._timed_decoder().forward(chunk, slot.cache)
            except OutOfMemory:
                self._pending.clear()
            return True
        return self._options.background and self._retune()

    def _retune(self) -> bool:
        """Run one pass of retuning the number of threads; False where that is not due."""
        if self.threads is None:
            return False
        if self._retuning is None:
            if self._clock() < self._retune_at or self._latencies.slowdown > MAX_RETUNE_SLOWDOWN:
                return False
            self._retuning = self._retune_passes(self.threads)
        if next(self._retuning, self) is self:
            self._retuning = None
            self._retune_interval = min(2 * self._retune_interval, MAX_RETUNE_SECONDS)
            self._retune_at = self._clock() + self._retune_interval
        return True

    def _retune_passes(self, threads: ThreadTuner) -> Iterator[None]:
        cache, before = self.decoder.new_cache(min(PREFILL_TRIAL_ROWS, self._capacity)), threads.prefill

        def run(rows: int) -> None:
            cache.rewind(0)
            self.decoder.forward([0] * min(rows, cache.capacity), cache)

        yield from threads.retune_prefill(run)
        if threads.prefill != before:
            self._latencies.relearn(MIN_PREFILL_ROWS)

    def _answer(
        self,
        request: CompletionRequest,
        rolled_back: str,
        choice: Choice,
        cache: CachedSequence,
        decoder: TimedDecoder,
    ) -> Generator[Chunk, None, None]:
        """The chunks of a completion. It begins with `rolled_back`, which is neither yielded nor counted."""
        prompt, extra_tokens = choice.prompt.tokens, len(self._tokenizer.encode(rolled_back))
        text, said, token = IncrementalDecoder(self._tokenizer, skip=rolled_back), "", None
        usage = Usage(len(prompt), choice.cached, 0)
        sample = _sampler(request)
        steps = generate(
            decoder,
            cache,
            prompt,
            self._healer.sampler(sample, rolled_back) if self._healer else sample,
            stop=self._stop,
            max_tokens=request.max_tokens + extra_tokens,
            chunk=partial(self._chunk_size, cache, CHUNK_SECONDS),
            drafter=self._drafter(request, rolled_back, choice.prompt) if self._options.draft else None,
        )
        try:
            for token in steps:
                decoded = usage.decoded_tokens + (token is not None and not text.skips(token))
                usage = Usage(len(prompt), choice.cached, decoded)
                new = "" if token is None else text.feed(token)
                said += new
                yield Chunk(new, usage=usage)
                if decoded == request.max_tokens or text.broken:
                    break
            stopped = token in self._stop or text.broken
            yield Chunk("", "stop" if stopped else "length", usage)
        except DeadlineReached:
            yield Chunk("", "deadline", usage)
        finally:
            self._last_completions.record(request.session, request.prefix, said)

    def _drafter(self, request: CompletionRequest, rolled_back: str, prompt: Prompt) -> NgramDrafter:
        """Drafts from the prompt, from snippets of other files, and from the session's last completion."""
        before, length = None, len(prompt.tokens)
        if prompt.layout == "psm" and self._sentinels:
            cursor = prompt.tokens.index(self._sentinels.suffix[0])
            before = prompt.tokens[max(0, cursor - DRAFT_CONTEXT_TOKENS) : cursor]
        previous = rolled_back + self._last_completions.remaining(request.session, request.prefix)
        return NgramDrafter(
            prompt.tokens,
            before=before,
            previous=self._tokenizer.encode(previous),
            others=[self._encode(snippet.text) for snippet in request.snippets],
            excluded=self._stop,
            stats=self._acceptance,
            cost=partial(self._latencies.relative_cost, start=length),
        )

    def _schedule_background(self, request: CompletionRequest, plan: Plan) -> None:
        if self._options.background and request.session:
            self._pending.pop(request.session, None)
            self._pending[request.session] = plan.full
            while len(self._pending) > self._slots.limit:
                del self._pending[next(iter(self._pending))]

    def _budget(self, request: CompletionRequest) -> int:
        room = self._capacity - min(request.max_tokens, self._capacity // 2)
        return min(PROMPT_TOKENS, room)

    def _lay_out(self, request: CompletionRequest, budget: int) -> Iterator[Prompt]:
        for prompt in lay_out(request, self._tokenizer, self._sentinels, budget):
            # An empty prompt becomes an end of text: that is what stood before a text in training.
            yield prompt if prompt.tokens else Prompt([min(self._stop, default=0)], prompt.layout)

    def _timed_decoder(self, deadline: float | None = None) -> TimedDecoder:
        return TimedDecoder(
            self.decoder,
            self._latencies,
            self._slots.evict_idle,
            prepare=self._prepare_threads,
            deadline=deadline,
            clock=self._clock,
        )

    def _prepare_threads(self, rows: int) -> None:
        if self.threads is not None:
            self.threads.prepare(rows, self._latencies.slowdown)

    def _chunk_size(self, cache: CachedSequence, seconds: float) -> int:
        """The tokens in a prefill chunk of `seconds`, which concurrent completions share."""
        return self._options.chunk or self._latencies.chunk_size(
            cache.length, seconds / max(1, self._slots.busy)
        )


def _open_tokenizer(model: LoadedModel) -> Tokenizer:
    tokenizer = Tokenizer(model.tokenizer, model.tokenizer_settings)
    vocabulary = model.decoder.config.vocab_size
    if tokenizer.size > vocabulary:
        raise CorruptCheckpoint(
            f"the tokenizer of {model.name} has {tokenizer.size} tokens, the model {vocabulary}: "
            "it belongs to another checkpoint"
        )
    return tokenizer


def _stop_tokens(model: LoadedModel, tokenizer: Tokenizer, sentinels: Sentinels | None) -> frozenset[int]:
    """Tokens that end a completion: the end of text or of the middle, and every control token."""
    vocabulary = range(model.decoder.config.vocab_size)
    control = {token for token in vocabulary if tokenizer.is_control(token)}
    return model.stop_ids | control | (sentinels.stops if sentinels else frozenset())


def _sampler(request: CompletionRequest) -> Sampler:
    return Sampler(
        temperature=request.temperature, top_k=request.top_k, top_p=request.top_p, seed=request.seed
    )


def _thread_tuner(decoder: AnyDecoder) -> ThreadTuner | None:
    if isinstance(decoder, NativeDecoder):
        return ThreadTuner(decoder.set_threads, cores())
    if decoder.device.type != "cpu":
        return None
    import torch

    return ThreadTuner(torch.set_num_threads, cores())


def _calibrate(
    decoder: AnyDecoder, cache: CachedSequence, threads: ThreadTuner | None, clock: Clock
) -> LatencyModel:
    """Calibrate the latency model, and so load every weight into memory and start the threads."""

    def run(rows: int, start: int = 0) -> None:
        cache.rewind(0)
        cache.extend([0] * start)  # not computed: the duration of a pass does not depend on the values
        as_logits(decoder.forward([0] * min(rows, cache.capacity - start), cache))  # once it is computed

    def seconds(rows: int, start: int) -> float:
        if threads is not None:
            threads.prepare(rows, 1.0)
        else:
            run(rows, start)  # the first pass with these shapes captures the GPU's graph
        begun = clock()
        run(rows, start)
        return clock() - begun

    run(1)
    if threads is not None:
        threads.tune(run)
    latencies = LatencyModel()
    latencies.calibrate(seconds, min(cache.capacity, PROMPT_TOKENS))
    cache.rewind(0)
    return latencies
