"""What a tokenizer.json says: the facts that its tokens follow, and what of it the library is given.

tokenizer ▶ **tokenizer_facts**. All that would make text into something else is taken out: control tokens,
and normalising.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_runtime.api import UnsupportedModel

Json = dict[str, Any]

SPACE = "▁"
"""How sentencepiece spells a space."""

BYTES: Mapping[str, int] = {f"<0x{byte:02X}>": byte for byte in range(256)}
"""sentencepiece's tokens for bytes."""

LOSSLESS = frozenset({"Digits", "Split", "Punctuation", "UnicodeScripts"})
"""Ways to split text that keep all of it, besides those that spell spaces or bytes."""


@dataclass(frozen=True)
class Facts:
    """What is known of a tokenizer beside what the library is given.

    Attributes:
        controls: the tokens that stand for no text, by their spelling.
        words: the added tokens that are text, which are spelled as they are.
        alphabet: GPT-2's, by which byte-level BPE spells bytes; None for sentencepiece's BPE.
        underline: the ids of the bytes of `▁`; none for byte-level BPE, which does not need them.
        opening: a space where one was put before every text in training.
    """

    controls: Mapping[str, int]
    words: frozenset[str]
    alphabet: Mapping[str, int] | None
    underline: tuple[int, ...]
    opening: str

    def spelled(self, token: str) -> bytes:
        """The bytes that a token stands for."""
        if self.alphabet is None:
            return bytes([BYTES[token]]) if token in BYTES else token.replace(SPACE, " ").encode()
        try:
            return token.encode() if token in self.words else bytes(map(self.alphabet.__getitem__, token))
        except KeyError:  # some checkpoints have tokens that are spelled as they are
            return token.encode()


def take_apart(content: Mapping[str, Any]) -> tuple[Facts, Json]:
    """The facts of a tokenizer.json, and what is left of it for the library."""
    model = content["model"]
    normalizers = _flat(content.get("normalizer"), "normalizers")
    splitters = _flat(content.get("pre_tokenizer"), "pretokenizers")
    sentencepiece = bool(model.get("byte_fallback"))
    _check_kind(content, sentencepiece, [*normalizers, *splitters])
    merges = [_pair(merge) for merge in model["merges"]]
    controls = _controls(model["vocab"], content["added_tokens"], merges)
    words = [
        word for word in content["added_tokens"] if word["content"] not in controls.keys() | BYTES.keys()
    ]
    # With its id in the vocabulary, an added token's id does not depend on how many the library counted.
    vocabulary = {word["content"]: word["id"] for word in words} | model["vocab"]
    for left, right in merges:
        if left + right not in vocabulary:  # the library would not say so, but panic
            raise ValueError(f"the merge of {left!r} and {right!r} makes a token that the vocabulary lacks")
    unmade = controls.keys() | (BYTES.keys() if sentencepiece else ())
    plain = {
        "version": "1.0",
        "added_tokens": [_matched_as_it_is(word) for word in words],
        "normalizer": {"type": "Sequence", "normalizers": _keeping(normalizers)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _keeping(splitters)},
        "model": {
            **model,
            "unk_token": None,
            "vocab": {token: id_ for token, id_ in vocabulary.items() if token not in controls},
            "merges": [pair for pair in merges if unmade.isdisjoint((*pair, "".join(pair)))],
        },
    }
    facts = Facts(
        controls=controls,
        words=frozenset(word["content"] for word in words),
        alphabet=None if sentencepiece else _byte_alphabet(),
        underline=tuple(vocabulary[f"<0x{byte:02X}>"] for byte in SPACE.encode()) if sentencepiece else (),
        opening=" " if any(map(_opens, [*normalizers, *splitters])) else "",
    )
    return facts, plain


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
        content["model"]["vocab"].keys() >= BYTES.keys() and {"Replace", "Metaspace"} & kinds
    ):
        raise UnsupportedModel(
            "has no token for some bytes, or none for a space: not every text can be encoded"
        )


def _opens(step: Json) -> bool:
    """Whether a step puts a space before every text."""
    if step["type"] == "Prepend":
        return True
    # How it was said before there were schemes.
    before = "always" if step.get("add_prefix_space") else "never"
    return bool(step.get("prepend_scheme", before) != "never")


def _keeping(steps: list[Json]) -> list[Json]:
    """The steps before BPE, without what adds to a text or changes it.

    NFC, which changes little and seldom, is left out: what the user wrote is to come back as it was.
    """
    return [_unopened(step) for step in steps if step["type"] not in ("NFC", "Prepend")]


def _unopened(step: Json) -> Json:
    kind = step["type"]
    if kind == "Metaspace":
        return {
            "type": kind,
            "replacement": SPACE,
            "prepend_scheme": "never",
            "split": step.get("split", True),
        }
    if kind == "ByteLevel":
        return {**step, "add_prefix_space": False}
    spaces = kind == "Replace" and (step["pattern"], step["content"]) == ({"String": " "}, SPACE)
    if not spaces and (kind not in LOSSLESS or step.get("behavior") == "Removed"):
        raise UnsupportedModel(f"changes text by {kind!r}: it would not come back as it was")
    return step


def _controls(vocabulary: Json, added: list[Json], merges: list[list[str]]) -> dict[str, int]:
    """The tokens that stand for no text, by their spelling.

    Some files leave sentinels unmarked, or list them among ordinary tokens. So what stands in angle
    brackets and no merge yields is one, unless it names a byte or is a tag that opens and closes
    (CodeGemma has tokens for `<table>` and `</table>`).
    """
    added_ids = {token["content"]: token["id"] for token in added}
    marked = {token["content"] for token in added if token["special"]} - BYTES.keys()
    bracketed = {name for name in added_ids | vocabulary if _is_bracketed(name)} - marked - BYTES.keys()
    if bracketed - added_ids.keys():
        bracketed -= {left + right for left, right in merges} - added_ids.keys()
    tags = {name for name in bracketed if {f"</{name[1:]}", f"<{name[2:]}"} & (bracketed - {name})}
    return {name: (added_ids | vocabulary)[name] for name in marked | (bracketed - tags)}


def _is_bracketed(name: str) -> bool:
    return len(name) > 2 and name.endswith(">") and name.lstrip(SPACE).startswith("<")


def line_ends() -> str:
    """Ends of lines between all kinds of neighbours."""
    kinds = [*"x7_)'", "x "]
    gaps = [
        newline + indent for newline in ("\n", "\n\n", "\r\n", "\n \n") for indent in ("", " ", "    ", "\t")
    ]
    return "".join(before + gap + after for before in kinds for gap in gaps for after in kinds)


def _matched_as_it_is(word: Json) -> Json:
    """An added token without the options that would let it swallow whitespace around it."""
    return {**word, "special": False, "lstrip": False, "rstrip": False, "single_word": False}


def template_start(content: Mapping[str, Any]) -> int | None:
    """The id of the token that the post-processor puts before a text."""
    for step in _flat(content.get("post_processor"), "processors"):
        if step["type"] == "TemplateProcessing" and "SpecialToken" in step["single"][0]:
            ids: list[int] = step["special_tokens"][step["single"][0]["SpecialToken"]["id"]]["ids"]
            return ids[0]
    return None


def _flat(step: Json | None, inner: str) -> list[Json]:
    """The steps of a sequence, or the only one."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [part for item in step[inner] for part in _flat(item, inner)]


def _pair(merge: str | list[str]) -> list[str]:
    """A merge's two sides; older files have them in one string."""
    return merge.split(" ") if isinstance(merge, str) else merge


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte alphabet (Radford et al. 2019, encoder.py): a printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
