"""The tokenizer of a GGUF file makes the ids that the original tokenizer makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from gguf import GGUFWriter, TokenType
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from model_runtime.api import CorruptCheckpoint, UnsupportedModel
from model_runtime.checkpoints.gguf.config import config_of
from model_runtime.checkpoints.gguf.files import GgufFile
from model_runtime.checkpoints.gguf.tokenizer import adds_bos, tokenizer_json
from model_runtime.tokenization.tokenizer import Tokenizer
from tests.model_runtime.checkpoints.gguf.gguf_writing import F32, add_metadata, describe, finish, make_model
from tests.model_runtime.factory import CORPUS, STARCODER_SENTINELS, train_tokenizer

TEXTS = (
    *CORPUS,
    "",
    " ",
    "a",
    " leading and trailing ",
    "\n\n\t\t  if x:\r\n\t    y = 1234567.89e-10\n",
    "don't I'VE we'll  x=='s'",
    "日本語のコメント 中文，한국어 ру́сский е\u0301 é\n",
    "\u200d👩‍👩‍👧‍👦 \x00\x7f\ufffd ﷽",
    "<fim_prefix>a<fim_suffix></s><unk>",
    "for(int i=0;i<100;++i){a[i]+=b[i]*c[i];}//!@#$%^&*()_+-=[]{}|;':\",./<>?`~",
)


def metadata_of(tokenizer: tokenizers.Tokenizer, pre: str | None, **more: Any) -> dict[str, Any]:
    """What llama.cpp's converter writes about a byte-level BPE tokenizer."""
    content = json.loads(tokenizer.to_str())
    by_id = {token: spelling for spelling, token in tokenizer.get_vocab().items()}
    special = {token["content"] for token in content["added_tokens"] if token["special"]}
    added = {token["content"] for token in content["added_tokens"]}
    kinds = {
        spelling: TokenType.CONTROL if spelling in special else TokenType.USER_DEFINED for spelling in added
    }
    found = {
        "model": "gpt2",
        "pre": pre,
        "tokens": [by_id[token] for token in range(len(by_id))],
        "token_type": [int(kinds.get(by_id[token], TokenType.NORMAL)) for token in range(len(by_id))],
        "merges": [" ".join(merge) for merge in content["model"]["merges"]],
        **more,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in found.items() if value is not None}


def rebuilt(metadata: dict[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(Path("model.gguf"), metadata)))


def ids(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


def train(pre_tokenizer: Any, normalizer: Any = None, ignore_merges: bool = False) -> tokenizers.Tokenizer:
    """A byte-level BPE tokenizer that splits text as given."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=list(STARCODER_SENTINELS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def split_by(*patterns: str, digits: bool = False) -> Any:
    steps: list[Any] = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    if digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
STARCODER = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
ORIGINALS: dict[str, tuple[Any, Any, bool]] = {
    "gpt-2": (GPT2, None, False),
    "starcoder": (STARCODER, None, False),
    "refact": (STARCODER, None, False),
    "smollm": (STARCODER, None, False),
    "llama-bpe": (
        split_by(WORDS + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        None,
        True,
    ),
    "qwen2": (
        split_by(WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        normalizers.NFC(),
        False,
    ),
    "deepseek-coder": (
        split_by(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", digits=True),
        None,
        False,
    ),
    "seed-coder": (
        split_by(WORDS + r"|\p{N}{1}| ?[^\s\p{L}\p{N}" + "\r\n" + r"]+|\s*[\r\n]+|\s+(?!\S)|\s+"),
        None,
        False,
    ),
}
"""The models' own splitting, from their tokenizer.json, by the names that llama.cpp gives."""


@pytest.mark.parametrize("pre", ORIGINALS)
def test_every_kind_of_splitting_makes_the_original_ids(pre: str) -> None:
    original = train(*ORIGINALS[pre])
    copy = rebuilt(metadata_of(original, pre))
    for text in TEXTS:
        assert ids(copy, text) == ids(original, text), text
        assert copy.decode(ids(copy, text)) == original.decode(ids(original, text))


ORIGINAL = train(*ORIGINALS["starcoder"])
COPY = rebuilt(metadata_of(ORIGINAL, "starcoder"))


@given(text=st.text() | st.text(alphabet=" \n\t\r1a<>_'é▁"))
@settings(max_examples=200, deadline=None)
def test_any_text_makes_the_original_ids(text: str) -> None:
    assert ids(COPY, text) == ids(ORIGINAL, text)


def test_a_file_without_a_pre_tokenizer_is_split_as_its_architecture_or_gpt_2() -> None:
    starcoder = metadata_of(ORIGINAL, None)
    text = "x = 12345"
    assert ids(rebuilt({**starcoder, "general.architecture": "starcoder"}), text) == ids(ORIGINAL, text)
    original = train(GPT2)
    for pre in (None, "default"):
        assert ids(rebuilt(metadata_of(original, pre)), text) == ids(original, text)


def test_an_unknown_splitting_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="pre-tokenizer 'viking' is not supported; supported: code"):
        rebuilt(metadata_of(ORIGINAL, "viking"))


def test_an_unknown_kind_of_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="tokenizer 'bert' is not supported"):
        rebuilt(metadata_of(ORIGINAL, "starcoder", model="bert"))


def special_of(metadata: dict[str, Any]) -> set[str]:
    content = tokenizer_json(Path("model.gguf"), metadata)
    return {token["content"] for token in content["added_tokens"] if token["special"]}


def test_control_tokens_are_special() -> None:
    assert special_of(metadata_of(ORIGINAL, "starcoder")) == set(STARCODER_SENTINELS)


def test_control_tokens_are_found_in_early_files_which_mark_none() -> None:
    metadata = metadata_of(ORIGINAL, "starcoder", bos_token_id=0, eos_token_id=0)
    metadata["tokenizer.ggml.token_type"] = [1] * len(metadata["tokenizer.ggml.tokens"])
    assert special_of(metadata) == set(STARCODER_SENTINELS)
    del metadata["tokenizer.ggml.token_type"]
    assert special_of(metadata) == set(STARCODER_SENTINELS)


def test_an_ordinary_token_that_metadata_names_stays_ordinary() -> None:
    letter = ORIGINAL.token_to_id("!")
    metadata = metadata_of(ORIGINAL, "starcoder", padding_token_id=letter, eos_token_id=letter)
    assert special_of(metadata) == set(STARCODER_SENTINELS)


def test_padding_of_the_embedding_is_left_out() -> None:
    metadata = metadata_of(ORIGINAL, "starcoder")
    metadata["tokenizer.ggml.tokens"] += ["[PAD500]", "[PAD501]"]
    metadata["tokenizer.ggml.token_type"] += [int(TokenType.UNUSED)] * 2
    assert rebuilt(metadata).get_vocab() == ORIGINAL.get_vocab()


def test_user_defined_tokens_are_matched_whole_and_are_text() -> None:
    original = train_tokenizer()
    original.add_tokens([tokenizers.AddedToken("=====", normalized=False), "  \t"])
    copy = rebuilt(metadata_of(original, "gpt-2"))
    for text in ("a ====== b", "x  \t\ty"):
        assert ids(copy, text) == ids(original, text)
    assert original.token_to_id("=====") in ids(copy, "a ====== b")
    assert "=====" not in special_of(metadata_of(original, "gpt-2"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": None}, "no sound tokenizer.ggml.tokens"),
        ({"tokens": [1, 2]}, "no sound tokenizer.ggml.tokens"),
        ({"merges": None}, "no sound tokenizer.ggml.merges"),
        ({"token_type": [1, 1]}, "500 tokens and a tokenizer.ggml.token_type for 2"),
        ({"tokens": ["a"] * 500}, "a token twice"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    assert ORIGINAL.get_vocab_size() == 500
    with pytest.raises(CorruptCheckpoint, match=message):
        rebuilt(metadata_of(ORIGINAL, "starcoder", **change))


def train_sentencepiece(prefixed: bool = True) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """A tokenizer like Llama's, and what a GGUF file keeps of it: scores instead of merges."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), replace] if prefixed else [replace]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if prefixed else []),
        ]
    )
    controls, bytewise = ["<unk>", "<s>", "</s>"], [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*controls, *bytewise], show_progress=False, limit_alphabet=60
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in controls]
    ranks = {"".join(merge): rank for rank, merge in enumerate(content["model"]["merges"])}
    spellings = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    kinds = {
        "<unk>": TokenType.UNKNOWN,
        "<s>": TokenType.CONTROL,
        "</s>": TokenType.CONTROL,
        **dict.fromkeys(bytewise, TokenType.BYTE),
    }
    found = {
        "model": "llama",
        "tokens": spellings,
        "scores": [-float(ranks.get(spelling, 1000)) for spelling in spellings],
        "token_type": [int(kinds.get(spelling, TokenType.NORMAL)) for spelling in spellings],
        **({} if prefixed else {"add_space_prefix": False}),
    }
    metadata = {f"tokenizer.ggml.{key}": value for key, value in found.items()}
    return tokenizers.Tokenizer.from_str(json.dumps(content)), metadata


@pytest.mark.parametrize("prefixed", [True, False])
def test_sentencepiece_scores_make_the_ids_of_the_original_merges(prefixed: bool) -> None:
    original, metadata = train_sentencepiece(prefixed)
    copy = rebuilt(metadata)
    for text in TEXTS:
        assert ids(copy, text) == ids(original, text), text
        assert copy.decode(ids(copy, text)) == original.decode(ids(original, text))
    assert copy.decode(ids(copy, CORPUS[0])) == CORPUS[0]


def test_without_scores_ids_give_the_order_of_merges() -> None:
    original, metadata = train_sentencepiece()
    metadata["tokenizer.ggml.scores"] = [-1000.0] * len(metadata["tokenizer.ggml.tokens"])
    assert all(ids(rebuilt(metadata), text) == ids(original, text) for text in TEXTS)


def test_code_llamas_sentinels_are_special_and_no_text_becomes_one() -> None:
    _, metadata = train_sentencepiece()
    for spelling, key in (("▁<PRE", None), ("▁<PRE>", "prefix"), ("▁<EOT>", "eot")):
        metadata["tokenizer.ggml.tokens"].append(spelling)
        metadata["tokenizer.ggml.scores"].append(10.0)
        metadata["tokenizer.ggml.token_type"].append(int(TokenType.NORMAL))
        if key:
            metadata[f"tokenizer.ggml.{key}_token_id"] = len(metadata["tokenizer.ggml.tokens"]) - 1
    assert special_of(metadata) == {"<unk>", "<s>", "</s>", "▁<PRE>", "▁<EOT>"}
    copy = rebuilt(metadata)
    copy.encode_special_tokens = True
    assert copy.token_to_id("▁<PRE>") not in ids(copy, "a <PRE> b <EOT>")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"model": "llama"}, True),
        ({"model": "llama", "add_bos_token": False}, False),
        ({"model": "gpt2", "pre": "starcoder"}, False),
        ({"model": "gpt2", "pre": "llama-bpe"}, True),
        ({"model": "gpt2", "pre": "deepseek-coder", "add_bos_token": True}, True),
    ],
)
def test_a_text_begins_with_the_bos_token_as_the_file_or_llama_cpp_has_it(
    metadata: dict[str, Any], expected: bool
) -> None:
    assert adds_bos({f"tokenizer.ggml.{key}": value for key, value in metadata.items()}) is expected


@pytest.fixture
def starcoder_file(tmp_path: Path) -> GgufFile:
    model = make_model("starcoder", vocab_size=512)
    writer = GGUFWriter(tmp_path / "model.gguf", "starcoder")
    described = describe("starcoder", model.config)
    add_metadata(writer, {**described, **metadata_of(ORIGINAL, "starcoder", eos_token_id=0, eot_token_id=4)})
    writer.add_tensor("token_embd.weight", model.transformer.wte.weight.detach().numpy(), raw_dtype=F32)
    finish(writer)
    return GgufFile(tmp_path / "model.gguf")


def test_the_runtimes_tokenizer_opens_what_a_file_gives(starcoder_file: GgufFile, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(starcoder_file.tokenizer), encoding="utf-8")
    tokenizer = Tokenizer(path)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.is_control(tokenizer.token_id("<fim_middle>") or 0)
    assert tokenizer.token_id("<fim_middle>") not in tokenizer.encode("<fim_middle>")


@pytest.mark.parametrize("none", [-1, 2**32 - 1])
def test_an_id_that_stands_for_no_token_is_ignored(none: int) -> None:
    named = {f"{name}_token_id": none for name in ("bos", "eos", "fim_pre")}
    metadata = {
        "general.architecture": "starcoder",
        **describe("starcoder", make_model("starcoder").config),
        **metadata_of(ORIGINAL, "starcoder", add_bos_token=True, **named),
    }
    config = config_of(Path("model.gguf"), metadata, {"token_embd.weight": (500, 64)})
    assert (config["bos_token_id"], config["eos_token_id"]) == (None, None)
    settings = {"add_bos_token": adds_bos(metadata), "bos_token_id": config["bos_token_id"]}
    tokenizer = Tokenizer(tokenizer_json(Path("model.gguf"), metadata), settings)
    assert tokenizer.bos is None


def test_a_file_tells_its_stop_tokens_and_its_bos_as_a_folder_does(starcoder_file: GgufFile) -> None:
    assert starcoder_file.config["eos_token_id"] == [0, 4]
    assert starcoder_file.config["vocab_size"] == 512
    assert starcoder_file.read_optional("tokenizer_config.json") == {"add_bos_token": False}
    assert starcoder_file.read_optional("generation_config.json") == {}
