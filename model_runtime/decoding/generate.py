"""Prefill and decode as one generator of tokens: the loop of every completion.

The caller ends it by closing the generator. Between any two items the cache holds exactly the tokens that
were computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import Literal, Protocol

from model_runtime.decoding.logits import Logits, TensorLike, as_logits
from model_runtime.decoding.sequence import CachedSequence
from model_runtime.decoding.speculate import MAX_DRAFT_ROWS, Drafter

CHUNK_TOKENS = 64
"""Tokens in a prefill chunk, which is the most that a cancellation has to wait for."""

Sample = Callable[[Logits], int]
"""Logits (vocab,), in fp32 whatever the decoder computes in, to a token id."""


class Forward(Protocol):
    """The part of a decoder that is used here; the engine wraps it to time passes."""

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last", /
    ) -> Logits | TensorLike:
        """Compute `tokens` as the continuation of the sequence in `cache`, and add them to it."""
        ...


def generate(
    decoder: Forward,
    cache: CachedSequence,
    tokens: Sequence[int],
    sample: Sample,
    *,
    stop: Collection[int] = (),
    max_tokens: int,
    chunk: int | Callable[[], int] = CHUNK_TOKENS,
    drafter: Drafter | None = None,
) -> Iterator[int | None]:
    """Continue `tokens`, reusing the prefix of them that is in `cache`.

    Yields None after each prefill chunk but the last, so that the caller can close in between, then token
    ids; the last one is of `stop`, or the `max_tokens`-th, or fills the cache.

    Args:
        decoder: computes the logits; `forward` is called once for each pass.
        cache: of the decoder; rewound to the prefix that it shares with `tokens`.
        tokens: the prompt, at least one token and no more than fit into the cache.
        sample: chooses each token; called once for each, in order.
        stop: token ids that end the generation.
        max_tokens: the most tokens to generate.
        chunk: tokens of a prefill chunk, or a function that is called before each chunk.
        drafter: proposes tokens, so that one pass yields several. It does not change which tokens come out.
    """
    assert 0 < len(tokens) <= cache.capacity, f"a prompt of {len(tokens)} tokens for {cache.capacity}"
    start = cache.reuse(tokens)
    while len(tokens) - start > (size := chunk if isinstance(chunk, int) else chunk()):
        decoder.forward(tokens[start : start + size], cache)
        start += size
        yield None
    text = list(tokens)
    left = max_tokens
    while True:
        new = text[cache.length :]
        # No more tokens are drafted than may still be generated, and fit into the cache.
        room = min(left - 1, cache.capacity - len(text), MAX_DRAFT_ROWS - len(new))
        # Nothing follows a token of `stop`, so it need not be computed either.
        proposed = drafter.propose(text, room)[:room] if drafter and room > 0 else ()
        draft = list(takewhile(lambda token: token not in stop, proposed))
        generated = _decode_step(decoder, cache, new, draft, sample)
        if drafter and draft:
            drafter.record(len(draft), len(generated) - 1)
        text += generated
        left -= len(generated)
        yield from generated
        if generated[-1] in stop or left == 0 or cache.length == cache.capacity:
            return


def _decode_step(
    decoder: Forward, cache: CachedSequence, new: Sequence[int], draft: Sequence[int], sample: Sample
) -> list[int]:
    """Compute `new` and, in the same pass, `draft`; return the accepted part of the draft and one more token.

    Every token is sampled from the model's own distribution after exactly those before it; the draft only
    decides which logits are available. So the draft does not change the distribution, nor, greedily or with
    the same seed, the tokens. For a drafter that is certain of each token this is the rejection rule of
    speculative sampling (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318): a
    token x is accepted with probability p(x), and otherwise drawn from p without x.
    """
    if not draft:
        return [sample(as_logits(decoder.forward(new, cache)))]
    rows = as_logits(decoder.forward([*new, *draft], cache, "all")[len(new) - 1 :])  # (1 + drafted, vocab)
    generated: list[int] = []
    for row, drafted in zip(rows, [*draft, None], strict=True):
        generated.append(sample(row))
        if generated[-1] != drafted:
            break
    cache.rewind(cache.length - len(draft) + len(generated) - 1)
    return generated
