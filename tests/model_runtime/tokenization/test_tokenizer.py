"""Tokenizers opened from files: lossless encoding, control tokens, incremental decoding, damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer
from tests.model_runtime.factory import STARCODER_SENTINELS, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(checkpoint_folder: Path) -> Tokenizer:
    return Tokenizer(checkpoint_folder / "tokenizer.json")


TEXTS = (
    st.text() | st.text(alphabet="ab \n\t東🎉é") | st.lists(st.sampled_from(STARCODER_SENTINELS)).map("".join)
)


@given(text=TEXTS)
def test_any_text_comes_back_as_it_was(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXTS)
def test_decoding_token_by_token_gives_whole_characters_only(tokenizer: Tokenizer, text: str) -> None:
    decoder = IncrementalDecoder(tokenizer)
    pieces = [decoder.feed(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert not decoder.broken


@given(ids=st.lists(st.integers(0, 400)))
def test_any_tokens_decode_alike_one_by_one_and_all_at_once(tokenizer: Tokenizer, ids: list[int]) -> None:
    data = b"".join(map(tokenizer.bytes_of, ids))
    assert tokenizer.decode(ids) == data.decode("utf-8", errors="replace")
    decoder = IncrementalDecoder(tokenizer)
    assert "".join(map(decoder.feed, ids)) == until_error(data)


def until_error(data: bytes) -> str:
    """The text of `data` up to bytes that are no UTF-8, or not yet."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode()


def told(tokenizer: Tokenizer, data: bytes) -> tuple[list[str], bool]:
    """What is told of each byte, fed as a token of its own, and whether the text has ended."""
    single = {text: token for text, token in tokenizer.vocabulary() if len(text) == 1}
    decoder = IncrementalDecoder(tokenizer)
    return [decoder.feed(single[bytes([byte])]) for byte in data], decoder.broken


@pytest.mark.parametrize(
    ("data", "text", "broken"),
    [
        ("日本".encode(), "日本", False),
        ("日本".encode()[:-1], "日", False),  # the rest may come yet
        ("日".encode()[:-1] + b"xy", "", True),
        (b"x\xff\xffyz", "x", True),
        (b"x\x80y", "x", True),
        (b"x\xed\xa0\xbd\xed\xb8\x80", "x", True),  # surrogates are no UTF-8, nor are pairs of them
        ("x\ufffdy".encode(), "x\ufffdy", False),  # a character like any other where it is spelt
    ],
)
def test_a_text_ends_before_bytes_that_are_none(
    tokenizer: Tokenizer, data: bytes, text: str, broken: bool
) -> None:
    pieces, ended = told(tokenizer, data)
    assert ("".join(pieces), ended) == (text, broken)


@given(before=st.text(max_size=5), sentinel=st.sampled_from(STARCODER_SENTINELS), after=st.text(max_size=5))
def test_text_cannot_forge_a_sentinel(tokenizer: Tokenizer, before: str, sentinel: str, after: str) -> None:
    ids = tokenizer.encode(before + sentinel + after)
    assert not any(map(tokenizer.is_control, ids))
    assert tokenizer.decode(ids) == before + sentinel + after


def test_a_sentinel_that_the_file_does_not_mark_cannot_be_forged_either(tmp_path: Path) -> None:
    content = json.loads(train_tokenizer().to_str())
    for token in content["added_tokens"]:
        token["special"] = False
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer(path)
    assert tokenizer.decode(tokenizer.encode("a<fim_middle>b")) == "a<fim_middle>b"
    assert tokenizer.token_id("<fim_middle>") not in tokenizer.encode("a<fim_middle>b")


def test_an_added_word_is_text(tmp_path: Path) -> None:
    trained = train_tokenizer()
    trained.add_tokens(["東京タワー"])
    trained.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.token_id("東京タワー") in tokenizer.encode("の東京タワー!")
    assert tokenizer.decode(tokenizer.encode("の東京タワー!")) == "の東京タワー!"


def test_control_tokens_and_ids_beyond_the_vocabulary_have_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([0, 1, 2, 3, 4, tokenizer.size, 10**6]) == ""


def test_half_of_a_surrogate_pair_does_not_stop_the_encoder(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83cb")) == "a?b"


def test_token_ids_are_found_by_spelling(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_id(sentinel) for sentinel in STARCODER_SENTINELS] == [0, 1, 2, 3, 4]
    assert tokenizer.token_id("<fim-prefix>") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"added_tokens": []}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(CorruptCheckpoint, match=r"tokenizer\.json"):
        Tokenizer(path)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    content = json.loads(train_tokenizer().to_str())
    content["decoder"] = None
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UnsupportedModel, match="byte-level"):
        Tokenizer(path)


def test_a_merge_into_a_token_that_is_not_there_is_told(checkpoint_folder: Path) -> None:
    content = json.loads((checkpoint_folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"].append(["q", "z"])
    with pytest.raises(CorruptCheckpoint, match="merge of 'q' and 'z'"):
        Tokenizer(content)
