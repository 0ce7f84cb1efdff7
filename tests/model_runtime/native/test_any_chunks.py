"""The native engine gives the same logits bit by bit however tokens are grouped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_runtime.checkpoints import AnyDecoder, load
from model_runtime.decoding import Logits, NgramDrafter, Sampler, as_logits, generate
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.factory import TINY, write_checkpoint
from tests.model_runtime.native.support import needs_native
from tests.model_runtime.torch_decoder.steps import cpu_cost

MODEL = Path(__file__).parents[3] / "model_runtime" / "default_model"
CODE = (Path(__file__).parents[3] / "model_runtime" / "prompting" / "prompt.py").read_text(encoding="utf-8")

pytestmark = needs_native


@pytest.fixture(scope="module")
def tokens() -> list[int]:
    """Enough of real code that attention's blocks of keys are more than one."""
    return Tokenizer(MODEL).encode(CODE)[:700]


@pytest.fixture(scope="module")
def decoder() -> AnyDecoder:
    return load(MODEL, device="cpu", dtype="fp32", matrices="int8").decoder


def logits(decoder: AnyDecoder, tokens: Sequence[int], widths: Sequence[int]) -> Logits:
    """All logits, (tokens, vocab), computed so many tokens at a time, in turns."""
    cache, found, turn = decoder.new_cache(), [], 0
    while cache.length < len(tokens):
        width = widths[turn % len(widths)]
        found.append(as_logits(decoder.forward(tokens[cache.length : cache.length + width], cache, "all")))
        turn += 1
    return np.concatenate(found)


@pytest.mark.parametrize("widths", [[64], [700], [3, 1, 7, 30], [16, 17]])
def test_logits_of_real_code_do_not_depend_on_the_chunks(
    decoder: AnyDecoder, tokens: list[int], widths: list[int]
) -> None:
    assert np.array_equal(logits(decoder, tokens, widths), logits(decoder, tokens, [1]))


@pytest.mark.parametrize("family", TINY)
def test_logits_of_any_family_do_not_depend_on_the_chunks(tmp_path: Path, family: str) -> None:
    write_checkpoint(tmp_path, family=family)
    decoder = load(tmp_path, device="cpu", dtype="fp32", matrices="int8").decoder
    made = [5 + index * 37 % 370 for index in range(200)]
    alone = logits(decoder, made, [1])
    for widths in ([200], [1, 2, 5, 8], [33]):
        assert np.array_equal(logits(decoder, made, widths), alone)


def test_what_was_rewound_leaves_no_trace(decoder: AnyDecoder, tokens: list[int]) -> None:
    cache = decoder.new_cache()
    decoder.forward(tokens[:300], cache)
    cache.rewind(120)
    after = as_logits(decoder.forward(tokens[120:150], cache, "all"))
    assert np.array_equal(after, logits(decoder, tokens[:150], [1])[120:])


def test_drafts_change_no_token(decoder: AnyDecoder, tokens: list[int]) -> None:
    for end in range(60, 660, 40):
        plain = list(generate(decoder, decoder.new_cache(), tokens[:end], Sampler(), max_tokens=32))
        drafter = NgramDrafter(tokens[:end], cpu_cost, previous=tokens[end : end + 20])
        drafted = generate(
            decoder, decoder.new_cache(), tokens[:end], Sampler(), max_tokens=32, drafter=drafter
        )
        assert list(drafted) == plain
