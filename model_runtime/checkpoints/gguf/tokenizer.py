"""Turns the vocabulary in a GGUF file's metadata into the tokenizer.json that the model came with.

There are two kinds: byte-level BPE (`gpt2`), with merges, and sentencepiece's BPE (`llama`), whose merges
follow from the tokens' scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import TokenType

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.gguf.splitting import GPT2, SPLITTINGS, STARCODER, Splitting
from model_runtime.checkpoints.gguf.vocabulary import Vocabulary, listed, special_id

Json = dict[str, Any]
Metadata = Mapping[str, Any]
Merges = list[list[str]]


def tokenizer_json(path: Path, metadata: Metadata) -> Json:
    """The content of the tokenizer.json for the vocabulary in the metadata of the file `path`.

    Raises:
        CorruptCheckpoint: the vocabulary is incomplete or contradicts itself.
        UnsupportedModel: an unknown kind of vocabulary, or of pre-tokenizer.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        splitting = _splitting(path, metadata)
        merges = [_pair(merge) for merge in listed(path, metadata, "merges", str)]
        return _byte_level(Vocabulary.read(path, metadata), merges, splitting)
    if kind == "llama":
        vocabulary = Vocabulary.read(path, metadata)
        scores = listed(path, metadata, "scores", (int, float), len(vocabulary.types))
        return _sentencepiece(vocabulary, scores, metadata)
    raise UnsupportedModel(f"{path}: tokenizer {kind!r} is not supported; supported: 'gpt2', 'llama'")


def adds_bos(metadata: Metadata) -> bool:
    """Whether texts begin with the beginning-of-text token; by default as in llama.cpp."""
    splitting = SPLITTINGS.get(str(metadata.get("tokenizer.ggml.pre")), GPT2)
    default = metadata.get("tokenizer.ggml.model") == "llama" or splitting.adds_bos
    return bool(metadata.get("tokenizer.ggml.add_bos_token", default))


def _splitting(path: Path, metadata: Metadata) -> Splitting:
    """The file's pre-tokenizer.

    Files from before May 2024 do not name it: StarCoder's follows from the architecture, all others are taken
    as GPT-2's, from which they descend.
    """
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name == "default":
        return STARCODER if metadata.get("general.architecture") in ("starcoder", "starcoder2") else GPT2
    if name not in SPLITTINGS:
        raise UnsupportedModel(
            f"{path}: pre-tokenizer {name!r} is not supported; supported: {', '.join(sorted(SPLITTINGS))}"
        )
    return SPLITTINGS[name]


def _byte_level(vocabulary: Vocabulary, merges: Merges, splitting: Splitting) -> Json:
    return {
        "version": "1.0",
        "added_tokens": vocabulary.added(_unspellable(vocabulary, merges)),
        "normalizer": splitting.normalizer,
        "pre_tokenizer": splitting.pre_tokenizer,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "ignore_merges": splitting.whole_words,
            "vocab": vocabulary.ids,
            "merges": merges,
        },
    }


def _pair(merge: str) -> list[str]:
    """The two sides of a merge."""
    left, _, right = merge.partition(" ")
    return [left, right]


def _unspellable(vocabulary: Vocabulary, merges: Merges) -> set[int]:
    """The control tokens.

    Early files do not mark them. There they are tokens that no merge yields, so that no text becomes them,
    and that metadata refers to or that are in angle brackets.
    """
    spelled = {left + right for left, right in merges}

    def is_control(token: int, spelling: str) -> bool:
        if vocabulary.types[token] != TokenType.NORMAL:
            return vocabulary.types[token] == TokenType.CONTROL
        if len(spelling) == 1 or spelling in spelled:
            return False
        return token in vocabulary.named or (spelling.startswith("<") and spelling.endswith(">"))

    return {token for token, spelling in vocabulary.tokens.items() if is_control(token, spelling)}


def _sentencepiece(vocabulary: Vocabulary, scores: list[float], metadata: Metadata) -> Json:
    """As written by transformers' converter: spaces are `▁`, and text without a token is spelled in bytes."""
    kinds = (TokenType.CONTROL, TokenType.UNKNOWN)
    special = vocabulary.named.union(token for token in vocabulary.tokens if vocabulary.types[token] in kinds)
    prefixed = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    return {
        "version": "1.0",
        "added_tokens": vocabulary.added(special),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [*([{"type": "Prepend", "prepend": "▁"}] if prefixed else []), _replace(" ", "▁")],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                _replace("▁", " "),
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefixed else []),
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": vocabulary.tokens.get(special_id(metadata, "unknown") or 0),
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocabulary.ids,
            "merges": _merges_by_score(vocabulary, scores, special),
        },
    }


def _replace(pattern: str, content: str) -> Json:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def _merges_by_score(vocabulary: Vocabulary, scores: list[float], special: frozenset[int]) -> Merges:
    """All merges of two tokens into one, by descending score, in the order of transformers' converter.

    Special tokens are left out: sentencepiece does not make them from text either.
    """
    ids = {
        spelling: token
        for spelling, token in vocabulary.ids.items()
        if token not in special and vocabulary.types[token] == TokenType.NORMAL
    }
    if len(set(scores)) == 1:  # the converter had none; ids are in the order of merging, too
        scores = [-token for token in range(len(scores))]
    found: list[tuple[tuple[float, int, int], list[str]]] = []
    for spelling, token in ids.items():
        cuts = ([spelling[:cut], spelling[cut:]] for cut in range(1, len(spelling)))
        pairs = [pair for pair in cuts if pair[0] in ids and pair[1] in ids]
        pairs.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found += [((scores[token], len(left), len(right)), [left, right]) for left, right in pairs]
    found.sort(key=lambda merge: merge[0], reverse=True)
    return [pair for _, pair in found]
