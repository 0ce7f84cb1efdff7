"""Prefill and decode as one generator of tokens: the loop that every completion runs in.

The caller decides how long it goes on, by asking for the next item or by closing. Between any two items
the cache holds exactly the tokens that were computed, so that nothing done is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from torch import Tensor

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.decoder import Decoder

PIECE = 64
"""Tokens of a prompt computed at a time, which is what a cancellation waits for at most."""


def generate(
    decoder: Decoder,
    cache: Cache,
    tokens: Sequence[int],
    sample: Callable[[Tensor], int],
    *,
    stop: Collection[int] = (),
    max_tokens: int,
    piece: int = PIECE,
) -> Iterator[int | None]:
    """Continue `tokens`, reusing what `cache` has of them.

    Yields None after each piece of the prompt but the last, so that a close can come between, then token
    ids; the last one is of `stop`, or the `max_tokens`-th, or fills the context.

    Args:
        decoder: computes the logits.
        cache: of the decoder; rewound to what it shares with `tokens`.
        tokens: the prompt, at least one token and no more than fit into the cache.
        sample: logits (vocab,) → token id.
        stop: token ids after which nothing follows.
        max_tokens: how many tokens to make at most.
        piece: how many tokens of the prompt are computed between two chances to close.
    """
    assert 0 < len(tokens) <= cache.capacity, f"a prompt of {len(tokens)} tokens for {cache.capacity}"
    start = cache.reuse(tokens)
    while len(tokens) - start > piece:
        decoder.forward(tokens[start : start + piece], cache)
        start += piece
        yield None
    logits = decoder.forward(tokens[start:], cache)
    for _ in range(max_tokens - 1):
        token = sample(logits)
        yield token
        if token in stop or cache.length == cache.capacity:
            return
        logits = decoder.forward([token], cache)
    yield sample(logits)
