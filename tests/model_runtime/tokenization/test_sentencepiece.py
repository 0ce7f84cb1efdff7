"""Tokenizers like Llama's and Gemma's: a space is `▁`, and what has no token is spelled in bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, CodeLlamaTokenizer, PreTrainedTokenizerFast

from model_runtime.api import UnsupportedModel
from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer
from tests.model_runtime.factory import CORPUS

CODE_LLAMA_SENTINELS = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def train_pieces(newlines: bool = False, prefixed: bool = True) -> dict[str, Any]:
    """The content of a tokenizer.json like Llama's, or with `newlines` like Gemma's, which has no prefix.

    Llama has no token for a newline but its byte.
    """
    library = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefixed else spaces
    strip = [decoders.Strip(" ", 1, 0)] if prefixed else []
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    controls = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*controls, *BYTES], show_progress=False, limit_alphabet=60
    )
    library.train_from_iterator(CORPUS * 3 if newlines else "".join(CORPUS * 3).splitlines(), trainer)
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    content: dict[str, Any] = json.loads(library.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in controls]
    return content


def write_code_llama(folder: Path) -> Path:
    """A tokenizer folder as transformers writes Code Llama's, sentinels included."""
    model = train_pieces()["model"]
    vocabulary = dict(model["vocab"])
    vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(CODE_LLAMA_SENTINELS)}
    merges: Any = [tuple(pair) for pair in model["merges"]]
    CodeLlamaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder


def write_llama(folder: Path) -> Path:
    return _write(folder, tokenizers.Tokenizer.from_str(json.dumps(train_pieces())))


def write_gemma(folder: Path) -> Path:
    library = tokenizers.Tokenizer.from_str(json.dumps(train_pieces(newlines=True, prefixed=False)))
    library.add_tokens(["\n\n\n", "<table>", "</table>"])
    return _write(folder, library)


def _write(folder: Path, library: tokenizers.Tokenizer) -> Path:
    wrapper: Any = PreTrainedTokenizerFast
    wrapper(tokenizer_object=library, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


FOLDERS = {"code_llama": write_code_llama, "llama": write_llama, "gemma": write_gemma}


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FOLDERS[request.param](tmp_path_factory.mktemp("tokenizers") / request.param)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


@pytest.fixture
def llama(tmp_path: Path) -> Tokenizer:
    return Tokenizer(write_llama(tmp_path))


SPELLINGS = ("<0x0A>", "<s>", "</s>", "<unk>", "▁", "▁▁", "<table>", "\n\n\n", *CODE_LLAMA_SENTINELS)
TEXTS = (
    st.text()
    | st.text(alphabet="ab: \n\t▁東🎉é<")
    | st.lists(st.sampled_from([*SPELLINGS, *CORPUS, " ", "\n", "x"])).map("".join)
)


@given(text=TEXTS)
def test_any_text_comes_back_as_it_was_and_makes_no_control_token(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not any(map(tokenizer.is_control, ids))
    decoder = IncrementalDecoder(tokenizer)
    pieces = [decoder.feed(token) for token in ids]
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@given(
    text=st.text(alphabet="ab: \n\t東🎉é(") | st.lists(st.sampled_from([*CORPUS, "  ", "\n"])).map("".join)
)
def test_ids_are_those_of_transformers(reference: Any, tokenizer: Tokenizer, text: str) -> None:
    text = f"x{text}"  # transformers' own files disagree on whether a space gets another one before it
    assert tokenizer.encode(tokenizer.leading_space + text) == reference.encode(
        text, add_special_tokens=False
    )


def test_encode_does_not_add_sentencepieces_leading_space(tokenizer: Tokenizer) -> None:
    assert tokenizer.leading_space in ("", " ")
    assert tokenizer.decode(tokenizer.encode("def")) == "def"
    assert tokenizer.encode("def") != tokenizer.encode(" def")


def test_bos_is_that_of_the_file(reference: Any, tokenizer: Tokenizer) -> None:
    assert tokenizer.bos == reference.encode("x")[0] == tokenizer.token_id("<s>")


@pytest.mark.parametrize(
    ("settings", "bos"),
    [
        ({}, 1),
        ({"add_bos_token": False}, None),
        ({"add_bos_token": True, "bos_token": "</s>"}, 2),
        ({"add_bos_token": True, "bos_token": {"content": "</s>"}}, 2),
        ({"add_bos_token": True, "bos_token_id": 2}, 2),
        ({"add_bos_token": True}, 1),
    ],
)
def test_settings_take_precedence_over_the_post_processor(settings: dict[str, Any], bos: int | None) -> None:
    assert Tokenizer(train_pieces(), settings).bos == bos


def test_a_byte_token_is_its_byte(llama: Tokenizer) -> None:
    newline = llama.token_id("<0x0A>")
    assert newline is not None
    assert llama.bytes_of(newline) == b"\n"
    assert llama.encode("\n") == [newline]
    assert newline not in llama.encode("<0x0A>")


def test_byte_tokens_that_a_file_marks_as_special_are_text() -> None:
    content = train_pieces()
    content["added_tokens"] += [
        {"id": content["model"]["vocab"][token], "content": token, "special": True} for token in BYTES
    ]
    tokenizer = Tokenizer(content)
    assert tokenizer.decode(tokenizer.encode("a\n東<0x0A>")) == "a\n東<0x0A>"
    assert tokenizer.encode("\n") == [content["model"]["vocab"]["<0x0A>"]]


@pytest.mark.parametrize("spelling", ["<0x0A>", "▁<PRE>", "</s>"])
def test_merges_that_would_make_a_control_or_a_byte_token_of_text_are_not_used(spelling: str) -> None:
    content = train_pieces()
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    for end in range(1, len(spelling) + 1):
        vocabulary.setdefault(spelling[:end], len(vocabulary))
        vocabulary.setdefault(spelling[end - 1], len(vocabulary))
    merges += [[spelling[:end], spelling[end]] for end in range(1, len(spelling))]
    if spelling != "<0x0A>":
        content["added_tokens"].append({"id": vocabulary[spelling], "content": spelling, "special": True})
    tokenizer = Tokenizer(content)
    text = f"a{spelling.replace('▁', ' ')}b"
    assert tokenizer.token_id(spelling) not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_sentinels_that_are_only_in_the_vocabulary_are_control_tokens_but_tags_are_text() -> None:
    content = train_pieces()
    vocabulary = content["model"]["vocab"]
    for token in (*CODE_LLAMA_SENTINELS, "<b>", "</b>"):
        vocabulary[token] = len(vocabulary)
    tokenizer = Tokenizer(content)
    assert all(tokenizer.is_control(vocabulary[sentinel]) for sentinel in CODE_LLAMA_SENTINELS)
    assert tokenizer.decode([vocabulary["<b>"], vocabulary["</b>"]]) == "<b></b>"


def test_a_control_token_beyond_the_models_vocabulary_does_not_count(tmp_path: Path) -> None:
    """transformers adds `<FILL_ME>` to Code Llama's tokenizer, for which the model has no embedding."""
    tokenizer = Tokenizer(write_code_llama(tmp_path))
    fill = tokenizer.token_id("<FILL_ME>")
    assert fill is not None
    assert tokenizer.size <= fill


def _without_bytes(content: dict[str, Any]) -> None:
    del content["model"]["vocab"]["<0xFF>"]


def _without_spaces(content: dict[str, Any]) -> None:
    content["normalizer"] = None


def _lowercased(content: dict[str, Any]) -> None:
    content["normalizer"]["normalizers"].append({"type": "Lowercase"})


def _without_whitespace(content: dict[str, Any]) -> None:
    content["pre_tokenizer"] = json.loads(pre_tokenizers.WhitespaceSplit().__getstate__())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_bytes, "no token for some bytes"),
        (_without_spaces, "no token for some bytes, or none for a space"),
        (_lowercased, "changes text by 'Lowercase'"),
        (_without_whitespace, "changes text by 'WhitespaceSplit'"),
    ],
)
def test_a_tokenizer_that_does_not_keep_text_is_refused(change: Any, message: str) -> None:
    content = train_pieces()
    change(content)
    with pytest.raises(UnsupportedModel, match=message):
        Tokenizer(content)
