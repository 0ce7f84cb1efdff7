"""The tokenizer: lossless, one token for a line break with its indentation, no sentinels in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from recipes.default_model.vocabulary import CONTROL_TOKENS, train_tokenizer
from tests.model_runtime.training.source_code import module

NESTED = "\n".join(f"{' ' * 4 * depth}if x{depth}:" for depth in range(9)) + "\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = train_tokenizer([module(seed) for seed in range(8)] + [NESTED] * 40, 700)
    made.encode_special_tokens = True
    return made


@given(text=st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_decoded_to_itself(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@given(data=st.binary())
def test_any_decodable_bytes_are_decoded_to_themselves(tokenizer: Tokenizer, data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("depth", range(9))
def test_a_line_break_and_its_indentation_are_one_token(tokenizer: Tokenizer, depth: int) -> None:
    assert len(tokenizer.encode("\n" + " " * 4 * depth).ids) == 1


def test_control_tokens_are_the_first_ids_and_their_names_are_plain_text(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(name) for name in CONTROL_TOKENS] == list(range(len(CONTROL_TOKENS)))
    for name in CONTROL_TOKENS:
        assert min(tokenizer.encode(name).ids) >= len(CONTROL_TOKENS)
