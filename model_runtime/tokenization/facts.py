"""Reads a tokenizer.json: what its tokens mean, and a simplified version of it for the `tokenizers` library.

The simplified version has no control tokens and no lossy normalization, so that every text is encoded as
plain text. The library's `encode_special_tokens` does not suffice for that: merges and `ignore_merges` could
still make a control token of text, and sentinels that the file does not mark as special would still match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_runtime.api import UnsupportedModel

Json = dict[str, Any]

METASPACE = "▁"
"""How sentencepiece spells a space."""

BYTE_TOKENS: Mapping[str, int] = {f"<0x{byte:02X}>": byte for byte in range(256)}
"""sentencepiece's tokens for single bytes."""

LOSSLESS = frozenset({"Digits", "Split", "Punctuation", "UnicodeScripts"})
"""Pre-tokenizers that keep the whole text, besides those that spell spaces or bytes."""


@dataclass(frozen=True)
class Facts:
    """What is known of a tokenizer beside what the library is given.

    Attributes:
        controls: ids of the control tokens, which stand for no text, by their spelling.
        words: the spellings of added tokens that stand for themselves.
        byte_alphabet: the byte of each character that byte-level BPE spells bytes with; None for
            sentencepiece's BPE.
        metaspace: the byte tokens that spell the character `▁` itself; empty for byte-level BPE.
        leading_space: a space if every text in training began with one, or else nothing.
    """

    controls: Mapping[str, int]
    words: frozenset[str]
    byte_alphabet: Mapping[str, int] | None
    metaspace: tuple[int, ...]
    leading_space: str

    def bytes_of(self, spelling: str) -> bytes:
        """The bytes that a token stands for."""
        if self.byte_alphabet is None:
            is_byte = spelling in BYTE_TOKENS
            return bytes([BYTE_TOKENS[spelling]]) if is_byte else spelling.replace(METASPACE, " ").encode()
        if spelling in self.words:
            return spelling.encode()
        try:
            return bytes(map(self.byte_alphabet.__getitem__, spelling))
        except KeyError:  # in some checkpoints other tokens stand for themselves too
            return spelling.encode()


def read_facts(content: Mapping[str, Any]) -> tuple[Facts, Json]:
    """The facts of a tokenizer.json, and its simplified content for the library.

    Raises:
        UnsupportedModel: its tokens are no byte sequences, or it changes text.
        ValueError: a merge makes a token that the vocabulary lacks.
    """
    model = content["model"]
    normalizers = _flat(content.get("normalizer"), "normalizers")
    pre_tokenizers = _flat(content.get("pre_tokenizer"), "pretokenizers")
    sentencepiece = bool(model.get("byte_fallback"))
    _check_kind(content, sentencepiece, [*normalizers, *pre_tokenizers])
    added = content["added_tokens"]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    controls = _controls(model["vocab"], added, merges)
    words = [token for token in added if token["content"] not in controls.keys() | BYTE_TOKENS.keys()]
    # With added tokens in the vocabulary, their ids do not depend on how many the library counts.
    vocabulary = {word["content"]: word["id"] for word in words} | model["vocab"]
    for left, right in merges:
        if left + right not in vocabulary:  # the library would panic without saying so
            raise ValueError(f"the merge of {left!r} and {right!r} makes a token that the vocabulary lacks")
    not_merged = controls.keys() | (BYTE_TOKENS.keys() if sentencepiece else ())
    simplified = {
        "version": "1.0",
        # Without the options that let an added token absorb the whitespace around it.
        "added_tokens": [
            {**word, "special": False, "lstrip": False, "rstrip": False, "single_word": False}
            for word in words
        ],
        "normalizer": {"type": "Sequence", "normalizers": _lossless(normalizers)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _lossless(pre_tokenizers)},
        "model": {
            **model,
            "unk_token": None,
            "vocab": {spelling: id_ for spelling, id_ in vocabulary.items() if spelling not in controls},
            "merges": [pair for pair in merges if not_merged.isdisjoint((*pair, "".join(pair)))],
        },
    }
    facts = Facts(
        controls=controls,
        words=frozenset(word["content"] for word in words),
        byte_alphabet=None if sentencepiece else _byte_alphabet(),
        metaspace=tuple(vocabulary[f"<0x{byte:02X}>"] for byte in METASPACE.encode())
        if sentencepiece
        else (),
        leading_space=" " if any(map(_adds_space, [*normalizers, *pre_tokenizers])) else "",
    )
    return facts, simplified


def _check_kind(content: Mapping[str, Any], sentencepiece: bool, steps: list[Json]) -> None:
    """Refuse a tokenizer whose tokens do not stand for bytes."""
    kinds = {step["type"] for step in steps}
    decoders = {step["type"] for step in _flat(content.get("decoder"), "decoders")}
    byte_level = "ByteLevel" in kinds & decoders
    if content["model"].get("type", "BPE") != "BPE" or not (sentencepiece or byte_level):
        raise UnsupportedModel(
            "is neither byte-level BPE nor BPE with byte fallback: no other kind of tokenizer is supported"
        )
    if sentencepiece and not (
        content["model"]["vocab"].keys() >= BYTE_TOKENS.keys() and {"Replace", "Metaspace"} & kinds
    ):
        raise UnsupportedModel(
            "has no token for some bytes, or none for a space: not every text can be encoded"
        )


def _adds_space(step: Json) -> bool:
    """Whether a step puts a space before every text."""
    if step["type"] == "Prepend":
        return True
    scheme = "always" if step.get("add_prefix_space") else "never"  # older files have no scheme
    return bool(step.get("prepend_scheme", scheme) != "never")


def _lossless(steps: list[Json]) -> list[Json]:
    """Normalizers or pre-tokenizers, without those that add to a text or change it.

    NFC, which changes little and seldom, is left out, so that decoding returns what the user wrote.
    """
    return [_lossless_step(step) for step in steps if step["type"] not in ("NFC", "Prepend")]


def _lossless_step(step: Json) -> Json:
    kind = step["type"]
    if kind == "Metaspace":
        return {
            "type": kind,
            "replacement": METASPACE,
            "prepend_scheme": "never",
            "split": step.get("split", True),
        }
    if kind == "ByteLevel":
        return {**step, "add_prefix_space": False}
    spaces = kind == "Replace" and (step["pattern"], step["content"]) == ({"String": " "}, METASPACE)
    if not spaces and (kind not in LOSSLESS or step.get("behavior") == "Removed"):
        raise UnsupportedModel(f"changes text by {kind!r}: it would not come back as it was")
    return step


def _controls(vocabulary: Json, added: list[Json], merges: list[list[str]]) -> dict[str, int]:
    """Ids of the control tokens, which stand for no text, by their spelling.

    Some files do not mark sentinels as special, or list them among ordinary tokens. So a token in angle
    brackets that no merge makes is one too, unless it names a byte or is one of a pair of tags (CodeGemma has
    tokens for `<table>` and `</table>`).
    """
    added_ids = {token["content"]: token["id"] for token in added}
    ids = added_ids | vocabulary
    marked = {token["content"] for token in added if token["special"]} - BYTE_TOKENS.keys()
    bracketed = set(filter(_is_bracketed, ids)) - marked - BYTE_TOKENS.keys()
    if unlisted := bracketed - added_ids.keys():
        bracketed -= unlisted & {left + right for left, right in merges}
    tags = {name for name in bracketed if {f"</{name[1:]}", f"<{name[2:]}"} & (bracketed - {name})}
    return {name: ids[name] for name in marked | (bracketed - tags)}


def _is_bracketed(spelling: str) -> bool:
    return len(spelling) > 2 and spelling.endswith(">") and spelling.lstrip(METASPACE).startswith("<")


def template_bos(content: Mapping[str, Any]) -> int | None:
    """The id of the token that the post-processor puts before a text."""
    for step in _flat(content.get("post_processor"), "processors"):
        if step["type"] == "TemplateProcessing" and "SpecialToken" in step["single"][0]:
            ids: list[int] = step["special_tokens"][step["single"][0]["SpecialToken"]["id"]]["ids"]
            return ids[0]
    return None


def _flat(step: Json | None, key: str) -> list[Json]:
    """A step, or the steps under `key` of a sequence, as a list."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [part for item in step[key] for part in _flat(item, key)]


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte alphabet (Radford et al. 2019, encoder.py): a printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
