"""Prefill and decode as one generator of tokens: the loop that every completion runs in.

The caller decides how long it goes on, by asking for the next item or by closing. Between any two items
the cache holds exactly the tokens that were computed, so that nothing done is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import Literal, Protocol

from torch import Tensor

from model_runtime.decoding.cache import Cache
from model_runtime.decoding.speculate import WIDEST, Drafter

PIECE = 64
"""Tokens of a prompt computed at a time, which is what a cancellation waits for at most."""

Sample = Callable[[Tensor], int]
"""Logits (vocab,) in fp32, whatever the decoder computes in → token id."""


class Forward(Protocol):
    """What of a decoder is needed here; a caller may put something of its own around a pass."""

    def forward(
        self, tokens: Sequence[int], cache: Cache, logits: Literal["last", "all"] = "last", /
    ) -> Tensor:
        """See `Decoder.forward`."""
        ...


def generate(
    decoder: Forward,
    cache: Cache,
    tokens: Sequence[int],
    sample: Sample,
    *,
    stop: Collection[int] = (),
    max_tokens: int,
    piece: int | Callable[[], int] = PIECE,
    drafter: Drafter | None = None,
) -> Iterator[int | None]:
    """Continue `tokens`, reusing what `cache` has of them.

    Yields None after each piece of the prompt but the last, so that a close can come between, then token
    ids; the last one is of `stop`, or the `max_tokens`-th, or fills the context.

    Args:
        decoder: computes the logits; `forward` is called once for each pass.
        cache: of the decoder; rewound to what it shares with `tokens`.
        tokens: the prompt, at least one token and no more than fit into the cache.
        sample: chooses each token; called once for each, in order.
        stop: token ids after which nothing follows.
        max_tokens: how many tokens to make at most.
        piece: how many tokens of the prompt are computed between two chances to close; asked before each.
        drafter: guesses tokens, so that one pass yields several. They are the tokens that come without it.
    """
    assert 0 < len(tokens) <= cache.capacity, f"a prompt of {len(tokens)} tokens for {cache.capacity}"
    start = cache.reuse(tokens)
    while len(tokens) - start > (size := piece if isinstance(piece, int) else piece()):
        decoder.forward(tokens[start : start + size], cache)
        start += size
        yield None
    text = list(tokens)
    left = max_tokens
    while True:
        new = text[cache.length :]
        # What no longer may be asked for, or has no place, is not drafted.
        room = min(left - 1, cache.capacity - len(text), WIDEST - len(new))
        # Nothing follows a token of `stop`, and so it need not be computed either.
        proposed = drafter.propose(text, room)[:room] if drafter and room > 0 else ()
        draft = list(takewhile(lambda token: token not in stop, proposed))
        made = _advance(decoder, cache, new, draft, sample)
        if drafter and draft:
            drafter.learn(len(draft), len(made) - 1)
        text += made
        left -= len(made)
        yield from made
        if made[-1] in stop or left == 0 or cache.length == cache.capacity:
            return


def _advance(
    decoder: Forward, cache: Cache, new: Sequence[int], draft: Sequence[int], sample: Sample
) -> list[int]:
    """Compute `new` and, in the same pass, `draft`; returns the drafted tokens that stand, and one more.

    Every token is sampled from the model's own distribution after exactly those before it, and the draft
    merely says which logits to have at hand. So the outcome has that distribution whatever is drafted, and
    greedily, or with the same seed, it is the same tokens. For a drafter that is sure of each token this is
    the rejection rule of speculative sampling (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023,
    arXiv:2302.01318): a token x is accepted with probability p(x), and else drawn from p without x.
    """
    if not draft:
        return [sample(decoder.forward(new, cache).float())]
    rows = decoder.forward([*new, *draft], cache, "all")[len(new) - 1 :].float()  # (1 + drafted, vocab)
    made: list[int] = []
    for row, drafted in zip(rows, [*draft, None], strict=True):
        made.append(sample(row))
        if made[-1] != drafted:
            break
    cache.rewind(cache.length - len(draft) + len(made) - 1)
    return made
