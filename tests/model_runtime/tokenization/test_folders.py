"""Byte-level BPE from old and new folders with all kinds of pre-tokenizers: ids are those of transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from model_runtime.api import CorruptCheckpoint, ModelNotFound
from model_runtime.checkpoints.gguf.splitting import SPLITTINGS
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.factory import CORPUS, STARCODER_SENTINELS, train_tokenizer

WORDS = train_tokenizer(("<|endoftext|>",)).get_vocab_size()

RUNS = {
    run: WORDS + i
    for i, run in enumerate([*(" " * n for n in range(31, 1, -1)), *("\t" * n for n in range(9, 1, -1))])
}
"""CodeGen's added tokens: the longer a run of spaces or tabs, the smaller its id."""

SANTACODER = ("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>")


def write_old_folder(folder: Path, sentinels: tuple[str, ...], **files: Mapping[str, Any]) -> Path:
    """vocab.json and merges.txt, and beside them `files`, as transformers wrote them until 2023."""
    folder.mkdir(exist_ok=True)
    model = json.loads(train_tokenizer(sentinels).to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_codegen(folder: Path) -> Path:
    end = "<|endoftext|>"
    return write_old_folder(
        folder,
        (end,),
        added_tokens=RUNS,
        special_tokens_map={"bos_token": end, "eos_token": end, "unk_token": end},
        tokenizer_config={"tokenizer_class": "CodeGenTokenizer", "add_prefix_space": False, "bos_token": end},
    )


def write_santacoder(folder: Path) -> Path:
    return write_old_folder(
        folder,
        SANTACODER,
        special_tokens_map={"additional_special_tokens": list(SANTACODER)},
        tokenizer_config={"tokenizer_class": "GPT2Tokenizer"},
    )


def write_declared(folder: Path) -> Path:
    """The same added tokens, declared as transformers has done it since 2023."""
    runs = {str(id_): {"content": run, "special": False} for run, id_ in RUNS.items()}
    declared = {"0": {"content": "<|endoftext|>", "special": True}, **runs}
    config = {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": declared}
    return write_old_folder(folder, ("<|endoftext|>",), tokenizer_config=config)


FOLDERS = {"codegen": write_codegen, "declared": write_declared, "santacoder": write_santacoder}


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FOLDERS[request.param](tmp_path_factory.mktemp("tokenizers") / request.param)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


INDENTED = st.lists(st.sampled_from(["\n", " ", "  ", " " * 40, "\t\t", "if", "(x):", "é", "7", *CORPUS]))
TEXTS = st.text() | st.text(alphabet="ab \n\t東🎉é:") | INDENTED.map("".join)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@given(text=TEXTS)
def test_ids_are_those_of_transformers(reference: Any, tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text) == reference.encode(text, add_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_runs_of_whitespace_are_single_tokens_and_special_tokens_are_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer(write_codegen(tmp_path))
    assert tokenizer.encode(" " * 8) == [RUNS[" " * 8]]
    assert tokenizer.bytes_of(RUNS["\t\t"]) == b"\t\t"
    assert tokenizer.token_id("<|endoftext|>") not in tokenizer.encode("<|endoftext|>")
    assert tokenizer.size == WORDS + len(RUNS)
    assert tokenizer.bos is None


def test_all_sentinels_of_an_old_folder_are_control_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer(write_santacoder(tmp_path))
    assert [tokenizer.is_control(tokenizer.token_id(token) or 0) for token in SANTACODER] == [True] * 5


def test_a_folder_a_file_and_its_content_open_alike(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    train_tokenizer().save(str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    before = json.dumps(content)
    for tokenizer in (Tokenizer(tmp_path), Tokenizer(path), Tokenizer(content)):
        assert tokenizer.encode(CORPUS[0]) == train_tokenizer().encode(CORPUS[0]).ids
    assert json.dumps(content) == before


def test_truncation_and_padding_in_a_file_are_ignored(tmp_path: Path) -> None:
    library = train_tokenizer()
    library.enable_truncation(4)
    library.enable_padding(length=8)
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path)
    assert tokenizer.decode(tokenizer.encode(CORPUS[0])) == CORPUS[0]
    assert len(tokenizer.encode("a")) == 1


def test_an_added_word_stands_for_itself_even_where_its_spelling_is_a_byte() -> None:
    """DeepSeek-Coder's `ü` is an added token; in GPT-2's alphabet the same letter is a byte."""
    content = json.loads(train_tokenizer().to_str())
    del content["model"]["vocab"]["ü"]
    word = {"id": 384, "content": "ü", "single_word": True, "lstrip": True, "rstrip": True, "special": False}
    content["added_tokens"].append({**word, "normalized": True})
    tokenizer = Tokenizer(content)
    assert tokenizer.encode("ü") == [384]
    assert tokenizer.decode(tokenizer.encode("x ü y\n")) == "x ü y\n"


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}", encoding="utf-8")
    for source in (tmp_path, tmp_path / "tokenizer.json"):
        with pytest.raises(ModelNotFound, match=r"nor vocab\.json and merges\.txt"):
            Tokenizer(source)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "\ud83d", '{"a": "b"}', "a b c\n"])
def test_damage_to_any_file_of_an_old_folder_is_harmless_or_refused(
    tmp_path: Path, name: str, content: str
) -> None:
    folder = write_codegen(tmp_path / "model")
    (folder / name).write_text(content, encoding="utf-8", errors="surrogatepass")
    with suppress(CorruptCheckpoint):
        Tokenizer(folder).encode(CORPUS[0])


@pytest.fixture(scope="module", params=["gpt-2", "starcoder", "llama-bpe", "qwen2", "deepseek-coder"])
def library(request: pytest.FixtureRequest) -> tokenizers.Tokenizer:
    """A tokenizer that splits text as one family does, trained so that tokens reach over newlines."""
    splitting = SPLITTINGS[request.param]
    empty = json.loads(tokenizers.Tokenizer(models.BPE(ignore_merges=splitting.whole_words)).to_str())
    empty |= {"pre_tokenizer": splitting.pre_tokenizer, "normalizer": splitting.normalizer}
    library = tokenizers.Tokenizer.from_str(json.dumps(empty))
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(STARCODER_SENTINELS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    library.train_from_iterator([*CORPUS * 4, "f(\n    x,\n)\n\n\n\t\tif y:\r\n  \n" * 4], trainer)
    return library


@given(text=st.text() | st.text(alphabet="ab(: \n\r\t7") | INDENTED.map("".join))
def test_line_by_line_the_ids_are_those_of_the_whole_text(library: tokenizers.Tokenizer, text: str) -> None:
    tokenizer = Tokenizer(json.loads(library.to_str()))
    text = normalize("NFC", text)
    assert tokenizer.encode(text) == library.encode(text).ids


def test_all_but_long_lines_are_cached(library: tokenizers.Tokenizer) -> None:
    encoded: list[str] = []

    class Counted(Tokenizer):
        def _encode_line(self, line: str) -> tuple[int, ...]:
            encoded.append(line)
            return super()._encode_line(line)

    tokenizer = Counted(json.loads(library.to_str()))
    text = "".join(f"def f{line}(x) {{\n    return {line};\n}}\n" for line in range(50))
    long = "\nx" + "7" * 1000
    tokenizer.encode(text + long)
    encoded.clear()
    tokenizer.encode(text + "more" + long)
    assert 1000 < sum(map(len, encoded)) < 1020


@given(text=st.text())
def test_a_text_that_is_not_normalized_comes_back_as_it_was(text: str) -> None:
    content = json.loads(train_tokenizer().to_str()) | {"normalizer": {"type": "NFC"}}
    tokenizer = Tokenizer(content)
    assert tokenizer.decode(tokenizer.encode(f"e\u0301{text}")) == f"e\u0301{text}"
