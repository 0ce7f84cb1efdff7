"""The synchronous runtime: an open model that answers requests step by step. `local` gives it a thread.

request ▶ plan ▶ slot ▶ generate ▶ incremental decoding ▶ chunks. The slots outlive the request, so that the
next one computes only what is new; when nobody waits, `work_ahead` computes what the next one is likely to
need. Several completions may be under way at once, each in its own slot.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch

from model_runtime.api import (
    Chunk,
    CompletionRequest,
    CorruptCheckpoint,
    LoadProgress,
    ModelInfo,
    ModelOptions,
    OutOfMemory,
    Usage,
)
from model_runtime.checkpoints import LoadedModel, load, map_devices
from model_runtime.decoding import AcceptanceStats, Cache, Decoder, NgramDrafter, Sampler, generate
from model_runtime.engine.last_completions import Offers
from model_runtime.engine.planning import PIECE_SECONDS, Plan, Planner
from model_runtime.engine.slots import Choice, Slots, capacity_and_number
from model_runtime.engine.timed_decoder import Clock, OutOfTime, Passes
from model_runtime.hardware import (
    MIN_PREFILL_ROWS,
    PREFILL_TRIAL_ROWS,
    LatencyModel,
    ThreadTuner,
    cores,
    devices_name,
    dtype_name,
    free_memory,
    memory_errors,
    resolve_device,
    resolve_dtype,
    resolve_matrix_format,
    synchronize,
)
from model_runtime.models import DEFAULT_NAME, resolve
from model_runtime.prompting import Healer, Prompt, Sentinels, find_sentinels, lay_out
from model_runtime.tokenization import IncrementalDecoder, Tokenizer

PROMPT_TOKENS = 2048
"""The longest prompt, whatever the context has room for: what is farther off seldom pays for its time."""

CACHE_TOKENS = 2 * PROMPT_TOKENS
"""The longest prompt and completion together: a long context's whole cache would take gigabytes."""

AHEAD_SECONDS = 0.012
"""What a piece of work takes that nobody waits for: so long a request waits for it at most."""

DELIVERY_SECONDS = 0.005
"""From the last step of a completion until whoever waits has it: its deadline comes so much earlier here."""

BEFORE_TOKENS = 32
"""So many before the cursor are looked at to guess what comes, where a prompt does not end with them."""

CHOOSE_AGAIN_SECONDS, CHOOSE_AGAIN_MOST = 5.0, 600.0
"""The number of threads is chosen again when nobody waits: after so long, then twice as long, and so on."""

QUIET = 1.5
"""But not while passes take so many times as long as on a quiet machine."""

REMEMBERED_SNIPPETS = 64
"""So many are kept in tokens, to be drafted from."""


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works; nothing here but `heal` changes what it answers.

    `slots` is how many there are at most. `piece` fixes the tokens of a prompt that are computed at once,
    which else go by what they cost. `ahead` is whether prompts are computed that nobody waits for, `draft`
    whether tokens are guessed before they are computed, and `heal` whether a word that the cursor is in is
    written anew.
    """

    slots: int = 8
    piece: int | None = None
    ahead: bool = True
    draft: bool = True
    heal: bool = True


class Engine:
    """An open model.

    Args:
        options: which model, where, in which precision.
        progress: is told how far the loading is.
        how: how it works.
        clock: in seconds, the one that deadlines are read from.

    Raises:
        BackendError: it cannot be opened; the message says why and what to do.
    """

    def __init__(
        self,
        options: ModelOptions,
        progress: LoadProgress,
        how: EngineOptions | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._how, self._clock = how or EngineOptions(), clock
        device = resolve_device(options.device)
        dtype = resolve_dtype(options.dtype, device)
        with memory_errors():
            path = resolve(options.model)
            # A model may be larger than one GPU: then it goes to several, or in part to the CPU.
            place = partial(map_devices, cache_tokens=CACHE_TOKENS) if device.type == "cuda" else device
            matrices = resolve_matrix_format(options, device)
            model = load(path, device=place, dtype=dtype, matrices=matrices, progress=progress)
            self._tokenizer = _open_tokenizer(model)
            self.decoder = model.decoder
            progress(1.0, "warming up")
            self._capacity, number = capacity_and_number(
                self.decoder.devices,
                self.decoder.config,
                self.decoder.dtype,
                free_memory,
                most_tokens=CACHE_TOKENS,
                most_slots=self._how.slots,
            )
            first = self.decoder.new_cache(self._capacity)
            self.threads = ThreadTuner(torch.set_num_threads, cores()) if device.type == "cpu" else None
            self._latencies = _measured(self.decoder, first, self.threads, clock)
        self._sentinels = find_sentinels(self._tokenizer, self.decoder.config.vocab_size)
        self._stop = _stop_tokens(model, self._tokenizer, self._sentinels)
        self._slots = Slots(partial(self.decoder.new_cache, self._capacity), number, first)
        self._planner = Planner(self._lay_out, self._slots, self._latencies)
        self._healer = Healer(self._tokenizer) if self._how.heal else None
        self._acceptance, self._offers = AcceptanceStats(), Offers()
        self._encode = lru_cache(REMEMBERED_SNIPPETS)(self._tokenizer.encode)
        self._ahead: dict[str, Prompt] = {}  # by session, the newest last
        self._choosing: Iterator[None] | None = None
        self._choose_after = CHOOSE_AGAIN_SECONDS
        self._choose_at = clock() + self._choose_after
        self.info = ModelInfo(
            name=model.name if options.model else DEFAULT_NAME,
            family=model.family,
            parameters=self.decoder.parameters,
            context_length=self.decoder.config.context_length,
            device=devices_name(self.decoder.devices),
            dtype="int8" if model.int8 else dtype_name(dtype),
            fill_in_the_middle=self._sentinels is not None,
        )

    @property
    def parallel(self) -> int:
        """How many completions may be under way at once."""
        return self._slots.limit

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        """Answer a request step by step.

        After each step, a piece of the prompt or a token, comes a chunk with what it cost so far, and with
        text where the step brought any; only the last one has a `finish` reason. Closing between two
        chunks ends the work and leaves the cache with what was computed. A step that would end after the
        deadline is not begun.

        Raises:
            Busy: `parallel` completions are under way.
            OutOfMemory: the device has no room for the request, though other slots were given up for it.
        """
        deadline = None if request.deadline is None else request.deadline - DELIVERY_SECONDS
        seconds = None if deadline is None else deadline - self._clock()
        kept, given_back = self._healer.cut(request.prefix) if self._healer else (request.prefix, "")
        planned = self._planner.plan(replace(request, prefix=kept), self._budget(request), seconds)
        self._look_ahead(request, planned)
        with memory_errors(), self._slots.taken(request.session, planned.choice) as slot:
            yield from self._answer(request, given_back, planned.choice, slot.cache, self._passes(deadline))

    def work_ahead(self) -> bool:
        """Compute a piece of what nobody waits for; False where nothing is left to do.

        That is the whole context of each session's last request, in its preferred layout, as far as its
        completion did not compute it; and then, now and again, whether other threads are better by now.
        """
        while self._ahead:
            session, prompt = next(reversed(self._ahead.items()))
            choice = self._slots.best(session, [prompt])
            if choice.left <= 1:  # a prompt's last token is left to the request
                del self._ahead[session]
                continue
            try:
                with self._slots.taken(session, choice) as slot:
                    rows = min(choice.left - 1, self._piece(slot.cache, AHEAD_SECONDS))
                    piece = prompt.tokens[choice.shared : choice.shared + rows]
                    self._passes().forward(piece, slot.cache)
            except OutOfMemory:
                self._ahead.clear()
            return True
        return self._how.ahead and self._choose_again()

    def _choose_again(self) -> bool:
        """Make one of the passes that show how many threads are best by now; False where it is not time."""
        if self.threads is None:
            return False
        if self._choosing is None:
            if self._clock() < self._choose_at or self._latencies.slowdown > QUIET:
                return False
            self._choosing = self._choices(self.threads)
        if next(self._choosing, self) is self:
            self._choosing = None
            self._choose_after = min(2 * self._choose_after, CHOOSE_AGAIN_MOST)
            self._choose_at = self._clock() + self._choose_after
        return True

    def _choices(self, threads: ThreadTuner) -> Iterator[None]:
        cache, before = self.decoder.new_cache(min(PREFILL_TRIAL_ROWS, self._capacity)), threads.prefill

        def run(rows: int) -> None:
            cache.rewind(0)
            self.decoder.forward([0] * min(rows, cache.capacity), cache)

        yield from threads.retune_prefill(run)
        if threads.prefill != before:
            self._latencies.relearn(MIN_PREFILL_ROWS)

    def _answer(
        self, request: CompletionRequest, given_back: str, choice: Choice, cache: Cache, passes: Passes
    ) -> Generator[Chunk, None, None]:
        """The chunks of a completion that begins with `given_back`, which is not said again, nor counted."""
        prompt, again = choice.prompt.tokens, self._tokenizer.encode(given_back)
        text, said, token = IncrementalDecoder(self._tokenizer, skip=given_back), "", None
        usage = Usage(len(prompt), choice.shared, 0)
        sample = _sampler(request)
        steps = generate(
            passes,
            cache,
            prompt,
            self._healer.sampler(sample, given_back) if self._healer else sample,
            stop=self._stop,
            max_tokens=request.max_tokens + len(again),
            chunk=partial(self._piece, cache, PIECE_SECONDS),
            drafter=self._drafter(request, given_back, choice.prompt) if self._how.draft else None,
        )
        try:
            for token in steps:
                decoded = usage.decoded_tokens + (token is not None and not text.skips(token))
                usage = Usage(len(prompt), choice.shared, decoded)
                new = "" if token is None else text.feed(token)
                said += new
                yield Chunk(new, usage=usage)
                if decoded == request.max_tokens or text.broken:
                    break
            stopped = token in self._stop or text.broken
            yield Chunk("", "stop" if stopped else "length", usage)
        except OutOfTime:
            yield Chunk("", "deadline", usage)
        finally:
            self._offers.put(request.session, request.prefix, said)

    def _drafter(self, request: CompletionRequest, given_back: str, prompt: Prompt) -> NgramDrafter:
        """Guesses from the prompt, from the files beside it, and from what was offered here before."""
        before, length = None, len(prompt.tokens)
        if prompt.layout == "psm" and self._sentinels:
            cursor = prompt.tokens.index(self._sentinels.suffix[0])
            before = prompt.tokens[max(0, cursor - BEFORE_TOKENS) : cursor]
        stale = given_back + self._offers.rest(request.session, request.prefix)
        return NgramDrafter(
            prompt.tokens,
            before=before,
            previous=self._tokenizer.encode(stale),
            others=[self._encode(snippet.text) for snippet in request.snippets],
            excluded=self._stop,
            stats=self._acceptance,
            cost=partial(self._latencies.relative_cost, start=length),
        )

    def _look_ahead(self, request: CompletionRequest, planned: Plan) -> None:
        if self._how.ahead and request.session:
            self._ahead.pop(request.session, None)
            self._ahead[request.session] = planned.ahead
            while len(self._ahead) > self._slots.limit:
                del self._ahead[next(iter(self._ahead))]

    def _budget(self, request: CompletionRequest) -> int:
        room = self._capacity - min(request.max_tokens, self._capacity // 2)
        return min(PROMPT_TOKENS, room)

    def _lay_out(self, request: CompletionRequest, budget: int) -> Iterator[Prompt]:
        for prompt in lay_out(request, self._tokenizer, self._sentinels, budget):
            # Nothing at all before the cursor is where a text begins, which is where the last one ended.
            yield prompt if prompt.tokens else Prompt([min(self._stop, default=0)], prompt.layout)

    def _passes(self, deadline: float | None = None) -> Passes:
        return Passes(
            self.decoder,
            self._latencies,
            self._slots.drop_idle,
            prepare=self._prepare,
            deadline=deadline,
            clock=self._clock,
        )

    def _prepare(self, rows: int) -> None:
        if self.threads is not None:
            self.threads.prepare(rows, self._latencies.slowdown)

    def _piece(self, cache: Cache, seconds: float) -> int:
        """The tokens that are computed at once; of time, each completion under way gets its share."""
        return self._how.piece or self._latencies.chunk_size(cache.length, seconds / max(1, self._slots.busy))


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
    """What ends a completion: the end of text or of the middle, and any token that stands for no text."""
    vocabulary = range(model.decoder.config.vocab_size)
    control = {token for token in vocabulary if tokenizer.is_control(token)}
    return model.stop_ids | control | (sentinels.stops if sentinels else frozenset())


def _sampler(request: CompletionRequest) -> Sampler:
    return Sampler(
        temperature=request.temperature, top_k=request.top_k, top_p=request.top_p, seed=request.seed
    )


def _measured(decoder: Decoder, cache: Cache, threads: ThreadTuner | None, clock: Clock) -> LatencyModel:
    """What passes cost here. Touches every weight and starts torch's threads: no request waits for that."""

    def run(rows: int, start: int = 0) -> None:
        cache.rewind(0)
        cache.extend([0] * start)  # never computed: how long a pass takes does not depend on what it reads
        synchronize(decoder.forward([0] * min(rows, cache.capacity - start), cache).device)

    def seconds(rows: int, start: int) -> float:
        if threads is not None:
            threads.prepare(rows, 1.0)
        else:
            run(rows, start)  # a GPU's first pass of a kind makes its graph
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
