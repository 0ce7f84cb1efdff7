"""A cursor inside a token: what is rolled back, and that it is written again byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime.api import Dtype
from model_runtime.checkpoints import load
from model_runtime.decoding import Logits, Sampler, generate
from model_runtime.models import resolve
from model_runtime.prompting.healing import Healer
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer
from tests.model_runtime.factory import train_tokenizer
from tests.model_runtime.tokenization.test_sentencepiece import train_pieces
from tests.model_runtime.tokenization.test_tokenizer import until_error

WORDS = 2000
"""A vocabulary so large that all words of the factory's corpus are tokens."""

TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": lambda: Tokenizer(json.loads(train_tokenizer(vocab_size=WORDS).to_str())),
    "sentencepiece": lambda: Tokenizer(train_pieces()),
    "sentencepiece with newlines": lambda: Tokenizer(train_pieces(newlines=True, prefixed=False)),
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return TOKENIZERS["byte-level"]()


@pytest.fixture(scope="module")
def healer(tokenizer: Tokenizer) -> Healer:
    return Healer(tokenizer)


@pytest.fixture(scope="module", params=TOKENIZERS)
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]()


def logits_for(tokenizer: Tokenizer, *texts: str) -> Logits:
    """Logits that prefer the first text, then the second, then any other token.

    Each has to be one token.
    """
    logits = np.zeros(tokenizer.size, np.float32)
    for rank, text in enumerate(texts):
        (token,) = tokenizer.encode(text)
        logits[token] = len(texts) - rank
    return logits


@pytest.mark.parametrize(
    ("prefix", "rolled_back"),
    [
        ("x = pri", " pri"),
        ("ind", "ind"),
        ("x = print", ""),  # there is no longer token
        ("(ind", "ind"),
        ("index_ind", "ind"),  # longer than any token: its last one
        ("x = ", " "),
        ("x =", ""),
        ("x = 1\n    ", " "),  # the last space belongs to the word that follows
        ("x = 1\n    pri", " pri"),
        ("x = 1\n", "\n"),  # more indentation may belong to it
        ("x = 1\r\n", "\n"),
        ("x = 1\n\n", "\n\n"),
        ("x = 1\n\n\n    ", " "),  # existing indentation is intended
        ("x = 1\r\nind", "ind"),
        ("x = 1\n\t", ""),
        ("x = 1\n\tind", "ind"),
        ("", ""),
        ("# naïve caf", " caf"),
        ("# naïve café —", ""),
        ("# 東", " 東"),
    ],
)
def test_the_beginning_of_a_longer_token_is_rolled_back(
    healer: Healer, prefix: str, rolled_back: str
) -> None:
    assert healer.roll_back(prefix) == (prefix[: len(prefix) - len(rolled_back)], rolled_back)


def test_a_word_of_several_tokens_is_rolled_back(healer: Healer, tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode(" continu")) > 1
    assert len(tokenizer.encode(" continue")) == 1
    assert healer.roll_back("    continu") == ("   ", " continu")


def test_the_prompt_stays_the_same_while_a_word_is_typed(healer: Healer) -> None:
    word = " continue"
    assert {healer.roll_back("for x in y:" + word[:end])[0] for end in range(1, len(word))} == {"for x in y:"}


def test_half_a_character_is_never_rolled_back(tokenizer: Tokenizer, healer: Healer) -> None:
    pieces = list(map(tokenizer.bytes_of, tokenizer.encode("# 🎈")))
    assert pieces[-1] == "🎈".encode()[-1:]  # 🎉, which is a token, begins alike
    assert healer.roll_back("# 🎈")[1] in ("", "🎈", " 🎈")


def test_a_lone_surrogate_that_an_editor_sends_is_left_where_it_is(healer: Healer) -> None:
    kept, rolled_back = healer.roll_back("x = '\ud83d")
    assert kept + rolled_back == "x = '\ud83d"


@cache
def texts_of(tokenizer: Tokenizer) -> list[bytes]:
    return [text for text, _ in tokenizer.vocabulary()]


TEXTS = st.text() | st.lists(
    st.sampled_from(
        ["pri", "nt(", " ", "    ", "\n", "\r\n", "\t", "valu", "retu", "self", "🎉", "東", "é", "("]
    )
).map("".join)


@settings(max_examples=100)
@given(prefix=TEXTS)
def test_what_is_kept_and_rolled_back_makes_the_prefix(
    healer: Healer, tokenizer: Tokenizer, prefix: str
) -> None:
    kept, rolled_back = healer.roll_back(prefix)
    assert kept + rolled_back == prefix
    assert not {"\n", "\r"} & set(rolled_back.rstrip())
    spelled = rolled_back.encode(errors="replace")
    assert not rolled_back or any(
        text.startswith(spelled) and text != spelled for text in texts_of(tokenizer)
    )


@settings(max_examples=40)
@given(prefix=TEXTS, seed=st.integers(0, 2**32))
def test_what_was_rolled_back_is_written_again_whatever_the_logits(
    any_tokenizer: Tokenizer, prefix: str, seed: int
) -> None:
    healer = Healer(any_tokenizer)
    rolled_back = healer.roll_back(prefix)[1] or prefix.replace("\n", "")
    random = np.random.default_rng(seed)
    sample = healer.sampler(Sampler(temperature=1.0, seed=seed), rolled_back)
    decoder, written, told = IncrementalDecoder(any_tokenizer, skip=rolled_back), b"", ""
    expected = rolled_back.encode(errors="replace")
    while len(written) < len(expected):
        token = sample(3 * random.standard_normal(any_tokenizer.size, np.float32))
        assert not any_tokenizer.is_control(token)
        written += any_tokenizer.bytes_of(token)
        told += decoder.feed(token)
    assert written.startswith(expected)
    assert told == until_error(written[len(expected) :])


def test_pri_becomes_print(healer: Healer, tokenizer: Tokenizer) -> None:
    kept, rolled_back = healer.roll_back("    pri")
    sample, decoder = healer.sampler(Sampler(), rolled_back), IncrementalDecoder(tokenizer, skip=rolled_back)
    likes = [logits_for(tokenizer, " value", " print", " pr"), logits_for(tokenizer, "(", " print")]
    assert kept == "   "
    assert "".join(decoder.feed(sample(logits)) for logits in likes) == "nt("


def test_a_word_that_was_whole_is_written_as_it_was(healer: Healer, tokenizer: Tokenizer) -> None:
    kept, rolled_back = healer.roll_back("for x in")  # it might become " int" or " index"
    assert (kept, rolled_back) == ("for x", " in")
    sample, decoder = healer.sampler(Sampler(), rolled_back), IncrementalDecoder(tokenizer, skip=rolled_back)
    likes = [logits_for(tokenizer, " value", " in", " index"), logits_for(tokenizer, " value", " index")]
    assert "".join(decoder.feed(sample(logits)) for logits in likes) == " value"


def test_no_control_token_comes_before_the_word_is_written(healer: Healer, tokenizer: Tokenizer) -> None:
    end = tokenizer.token_id("<|endoftext|>")
    assert end is not None
    logits = logits_for(tokenizer, " print")
    logits[end] = 9.0
    sample = healer.sampler(Sampler(), " pri")
    assert [sample(logits), sample(logits)] == [*tokenizer.encode(" print"), end]


def test_where_nothing_was_rolled_back_the_sampler_is_unchanged(healer: Healer) -> None:
    sample = Sampler()
    assert healer.sampler(sample, "") is sample


def test_logits_are_not_changed(healer: Healer, tokenizer: Tokenizer) -> None:
    logits = logits_for(tokenizer, " print")
    before = logits.copy()
    healer.sampler(Sampler(), " pri")(logits)
    assert np.array_equal(logits, before)


@pytest.fixture(scope="module")
def write(dtype: Dtype) -> Callable[[str], str]:
    """Writes what the default model does after a prefix."""
    folder = resolve(None)
    tokenizer = Tokenizer(folder)
    decoder = load(folder, device="cpu", dtype=dtype).decoder
    healer = Healer(tokenizer)

    def writing(prefix: str) -> str:
        kept, rolled_back = healer.roll_back(prefix)
        text = IncrementalDecoder(tokenizer, skip=rolled_back)
        sample = healer.sampler(Sampler(), rolled_back)
        steps = generate(decoder, decoder.new_cache(), tokenizer.encode(kept), sample, max_tokens=4)
        return "".join(text.feed(token) for token in steps if token is not None)

    return writing


def test_the_default_model_completes_a_word(write: Callable[[str], str]) -> None:
    told = []
    for word in ("import", "return", "raise", "class"):
        for end in range(2, len(word)):
            written = write("import os\nimport re\n\n\ndef run(self):\n    " + word[:end])
            told.append((word[:end], written, written.startswith(word[end:])))
    assert sum(right for _, _, right in told) > len(told) / 2, told


@pytest.mark.parametrize(
    ("prefix", "indentation"),
    [
        ("def run(self):\n", "    "),
        ("class Reader:\n    def __init__(self, path):\n", "        "),
        ("import os\nimport sys\n", ""),
    ],
)
def test_a_cursor_at_a_lines_first_column_gets_the_indentation_too(
    write: Callable[[str], str], prefix: str, indentation: str
) -> None:
    line = write(prefix).lstrip("\n")
    assert line[: len(line) - len(line.lstrip())] == indentation
