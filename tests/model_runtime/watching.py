"""An engine's decoder, watched: what it computes for an answer, and whether rounding explains that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch

from model_runtime.api import Usage
from model_runtime.checkpoints import AnyDecoder
from model_runtime.decoding import CachedSequence, Logits, TensorLike
from model_runtime.engine import Engine
from tests.model_runtime.rounding import is_rounding


class Watched:
    """Passes on what it is asked, and is out of memory at the first `failures` passes.

    `caches` are those that were used, in the order of their last passes, and `passes` counts these.
    """

    def __init__(self, decoder: AnyDecoder, failures: int = 0) -> None:
        self.decoder, self.failures = decoder, failures
        self.caches: list[CachedSequence] = []
        self.passes = 0

    def forward(
        self, tokens: Sequence[int], cache: CachedSequence, logits: Literal["last", "all"] = "last"
    ) -> Logits | TensorLike:
        self.passes += 1
        self.caches = [other for other in self.caches if other is not cache] + [cache]
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.decoder.forward(tokens, cache, logits)

    def prompt(self, usage: Usage, cache: int = -1) -> tuple[int, ...]:
        """Of an answer that has just ended."""
        return self.caches[cache].tokens[: usage.prompt_tokens]

    def is_rounding(self, usage: Usage, cache: int = -1) -> bool:
        """Whether an answer that has just ended is what the model likes best in all but rounding.

        Its last token has not been computed on, and is not looked at.
        """
        made = self.caches[cache].tokens[usage.prompt_tokens :]
        return is_rounding(self.decoder, self.prompt(usage, cache), made)


def watch(engine: Engine, failures: int = 0) -> Watched:
    """Watch an engine from now on; what watched it before is let go."""
    decoder = engine.decoder.decoder if isinstance(engine.decoder, Watched) else engine.decoder
    watched = Watched(decoder, failures)
    engine.decoder = cast(AnyDecoder, watched)
    return watched
