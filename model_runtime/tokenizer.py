"""Text to token ids and back, without letting text forge a control token or splitting a character."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import tokenizers

from model_runtime.api import CorruptCheckpoint, UnsupportedModel


class Tokenizer:
    """A byte-level BPE tokenizer out of a `tokenizer.json`.

    Raises:
        CorruptCheckpoint: the file is damaged.
        UnsupportedModel: its tokens are no byte sequences.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._control = _mark_control_tokens(content)
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the library raises bare Exception
            raise CorruptCheckpoint(f"{path} is no sound tokenizer file ({error}): copy it again") from error
        if (content.get("decoder") or {}).get("type") != "ByteLevel":
            raise UnsupportedModel(f"{path} is not byte-level BPE: no other kind of tokenizer is supported")
        self._tokenizer.encode_special_tokens = True  # sentinels in text are text
        self._byte_values = _byte_values()
        self._bytes: dict[int, bytes] = {}  # grows to the vocabulary's size at most

    @property
    def size(self) -> int:
        """One more than the highest token id."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as plain text: whatever it spells, it yields no control token."""
        # A lone half of a surrogate pair, which an editor can send, has no UTF-8 form; it becomes "?".
        sound = text.encode("utf-8", errors="replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(sound, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`; control tokens have none, and bytes that are no UTF-8 become U+FFFD."""
        decoder = IncrementalDecoder(self)
        return "".join([*map(decoder.feed, ids), decoder.flush()])

    def token_id(self, token: str) -> int | None:
        """The id of a token by its own spelling, control tokens included."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def is_control(self, token: int) -> bool:
        """Whether a token stands for no text: a sentinel, an end of text, or an id beyond the vocabulary."""
        return token in self._control or self._tokenizer.id_to_token(token) is None

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        if token not in self._bytes:
            self._bytes[token] = b"" if self.is_control(token) else self._spelled(token)
        return self._bytes[token]

    def _spelled(self, token: int) -> bytes:
        spelling = self._tokenizer.id_to_token(token) or ""
        try:
            return bytes(self._byte_values[character] for character in spelling)
        except KeyError:  # a token that was added later is spelled as it is
            return spelling.encode("utf-8")


class IncrementalDecoder:
    """Decodes tokens as they come; holds bytes back until they make whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """What can be said for certain after `token`, and was not said before."""
        return self._decoder.decode(self._tokenizer.bytes_of(token))

    def flush(self) -> str:
        """What was held back: U+FFFD for the beginning of a character that never ended."""
        return self._decoder.decode(b"", final=True)


def _mark_control_tokens(content: dict[str, Any]) -> frozenset[int]:
    """Mark every control token of a tokenizer.json as special, in place; returns their ids.

    Some checkpoints leave sentinels unmarked; an added token in angle brackets is taken for one.
    """
    control = set()
    for token in content["added_tokens"]:
        if token["special"] or (token["content"].startswith("<") and token["content"].endswith(">")):
            token["special"] = True
            control.add(token["id"])
    return frozenset(control)


def _byte_values() -> dict[str, int]:
    """GPT-2's byte alphabet (Radford et al. 2019, encoder.py): a printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
