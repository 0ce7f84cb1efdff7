"""The synchronous runtime: an open model that answers one request at a time. `local` gives it a thread.

request ▶ prompt ▶ generate ▶ incremental decoding ▶ chunks. The cache outlives the request, so that the
next one computes only what is new.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from model_runtime.api import (
    Chunk,
    CompletionRequest,
    CorruptCheckpoint,
    LoadProgress,
    ModelInfo,
    ModelOptions,
    Usage,
)
from model_runtime.checkpoints import DEFAULT_NAME, LoadedModel, default_models_folder, load, plan, resolve
from model_runtime.decoding import Sampler, generate
from model_runtime.device import devices_name, dtype_name, memory_errors, resolve_device, resolve_dtype
from model_runtime.prompt import build_prompt
from model_runtime.sentinels import Sentinels, find_sentinels
from model_runtime.tokenizer import IncrementalDecoder, Tokenizer

PROMPT_TOKENS = 2048
"""The longest prompt, whatever the context has room for: what is farther off seldom pays for its time."""

CACHE_TOKENS = 2 * PROMPT_TOKENS
"""The longest prompt and completion together: a long context's whole cache would take gigabytes."""

PIECE_TOKENS = {"cpu": 64}
"""Tokens of a prompt computed between two chances to cancel: a fraction of a second each on a CPU."""

GPU_PIECE_TOKENS = 512
"""The same elsewhere: a GPU needs many rows at once to be quick."""


class Engine:
    """An open model.

    Args:
        options: which model, where, in which precision.
        progress: is told how far the loading is.

    Raises:
        BackendError: it cannot be opened; the message says why and what to do.
    """

    def __init__(self, options: ModelOptions, progress: LoadProgress) -> None:
        device = resolve_device(options.device)
        dtype = resolve_dtype(options.dtype, device)
        with memory_errors():
            path = resolve(options.model, default_models_folder())
            # A model may be larger than one GPU: then it goes to several, or in part to the CPU.
            place = partial(plan, cache_tokens=CACHE_TOKENS) if device.type == "cuda" else device
            model = load(path, device=place, dtype=dtype, progress=progress)
            self._tokenizer = _open_tokenizer(model)
            self._decoder = model.decoder
            context = self._decoder.config.context_length
            self._cache = self._decoder.new_cache(min(context, CACHE_TOKENS))
            progress(1.0, "warming up")
            self._warm_up()
        self._sentinels = find_sentinels(self._tokenizer, self._decoder.config.vocab_size)
        self._stop = _stop_tokens(model, self._tokenizer, self._sentinels)
        self._piece = min(PIECE_TOKENS.get(each.type, GPU_PIECE_TOKENS) for each in self._decoder.devices)
        self.info = ModelInfo(
            name=model.name if options.model else DEFAULT_NAME,
            family=model.family,
            parameters=self._decoder.parameters,
            context_length=self._decoder.config.context_length,
            device=devices_name(self._decoder.devices),
            dtype=dtype_name(dtype),
            fill_in_the_middle=self._sentinels is not None,
        )

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        """Answer a request step by step.

        After each step, a piece of the prompt or a token, comes a chunk with what it cost so far, and with
        text where the step brought any; only the last one has a `finish` reason. Closing between two
        chunks ends the work and leaves the cache with what was computed. Deadlines are the caller's to keep.

        Raises:
            OutOfMemory: the device has no room for the request.
        """
        tokens = self._prompt(request)
        reused, decoded = self._cache.reuse(tokens), 0
        text = IncrementalDecoder(self._tokenizer)
        token: int | None = None
        with memory_errors():
            for token in generate(
                self._decoder,
                self._cache,
                tokens,
                _sampler(request),
                stop=self._stop,
                max_tokens=request.max_tokens,
                piece=self._piece,
            ):
                decoded += token is not None
                usage = Usage(len(tokens), reused, decoded)
                yield Chunk("" if token is None else text.feed(token), usage=usage)
        yield Chunk(text.flush(), "stop" if token in self._stop else "length", usage)

    def _prompt(self, request: CompletionRequest) -> list[int]:
        context = self._cache.capacity
        room = context - min(request.max_tokens, context // 2)
        prompt = build_prompt(request, self._tokenizer, self._sentinels, min(PROMPT_TOKENS, room))
        # Nothing at all before the cursor is where a text begins, which is where the last one ended.
        return prompt.tokens or [min(self._stop, default=0)]

    def _warm_up(self) -> None:
        """Touch every weight and start torch's threads, so that the first request does not wait for it."""
        self._decoder.forward([0], self._cache)
        self._cache.rewind(0)


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
