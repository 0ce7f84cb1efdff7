"""Text to token ids and back, losslessly; no text can forge a control token.

Reads byte-level BPE or sentencepiece's BPE (Llama's) from a tokenizer.json, and the vocab.json and merges.txt
of older folders. The `tokenizers` library is given a version without control tokens and normalization, so
that the spelling of a control token is encoded like any other text.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import tokenizers

from model_runtime.api import BackendError, CorruptCheckpoint, UnsupportedModel
from model_runtime.tokenization.facts import METASPACE, read_facts, template_bos
from model_runtime.tokenization.files import read_tokenizer, source_name, spelling

CACHED_LINES = 4096
"""Maximum number of lines whose ids are cached: after an edit most lines of a file are unchanged."""

MAX_CACHED_LENGTH = 240
"""Lines of more characters are not cached: they are few, and would fill the memory."""

LINE_SPLITS = (
    (re.compile(r"(?<=[!-~])(?=\n)"), re.compile(r"[!-~]\n")),
    (re.compile(r"(?<=\n)(?=[ \t]*[!-~])"), re.compile(r"\n[ \t]*([!-~]|[ \t]\Z)")),
)
"""Where text may be split into lines, before the newline or after it; each with a pattern of the tokens that
span such a place. In GPT-2's tokenizer newline and indentation can be one token; in GPT-4's, a bracket and
the newline after it."""


class Tokenizer:
    """A checkpoint's own tokenizer.

    Args:
        source: a folder, a tokenizer.json in it, or the content of one.
        settings: the content of tokenizer_config.json; read beside `source` where that is a path.

    Attributes:
        leading_space: the space that sentencepiece put before every text in training, or an empty string;
            `encode` does not add it.
        bos: the token that every text began with in training, or None.

    Raises:
        ModelNotFound: there is no tokenizer.
        CorruptCheckpoint: a file is damaged.
        UnsupportedModel: its tokens are no byte sequences, or it changes text before encoding.
    """

    def __init__(self, source: Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        try:
            content, beside = read_tokenizer(source) if isinstance(source, Path) else (source, {})
            self._facts, simplified = read_facts(content)
            self._library = tokenizers.Tokenizer.from_str(json.dumps(simplified))
            self._control = frozenset(self._facts.controls.values())
            self._bytes: dict[int, bytes] = {}  # grows to the vocabulary's size at most
            self._line_split = self._safe_line_split()
            self.leading_space = self._facts.leading_space
            self.bos = self._find_bos(content, beside if settings is None else settings)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{source_name(source)} {error}") from error
        except BackendError:
            raise
        except BaseException as error:  # the library raises bare Exception, and panics beyond it
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise CorruptCheckpoint(
                f"{source_name(source)} is no sound tokenizer file ({error}): copy it again"
            ) from error
        self._encode_cached: Callable[[str], tuple[int, ...]] = lru_cache(CACHED_LINES)(self._encode_line)

    @property
    def size(self) -> int:
        """One more than the highest id that text can become."""
        return max(self._library.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as plain text, without control tokens whatever it spells."""
        # A lone surrogate, which an editor can send, has no UTF-8 form; it becomes "?".
        sound = text.encode("utf-8", errors="replace").decode("utf-8")
        lines = self._line_split.split(sound) if self._line_split else [sound]
        ids = (
            self._encode_cached(line) if len(line) <= MAX_CACHED_LENGTH else self._encode_line(line)
            for line in lines
        )
        return list(chain.from_iterable(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; control tokens have none, and invalid UTF-8 becomes U+FFFD."""
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", errors="replace")

    def token_id(self, token: str) -> int | None:
        """The id of a token by its spelling, control tokens included; None if there is no such token."""
        found: int | None = self._facts.controls.get(token, self._library.token_to_id(token))
        return found

    def is_control(self, token: int) -> bool:
        """Whether a token stands for no text: a sentinel, an end of text, or an id beyond the vocabulary."""
        return token in self._control or self._library.id_to_token(token) is None

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        if token not in self._bytes:
            spelling = None if token in self._control else self._library.id_to_token(token)
            self._bytes[token] = b"" if spelling is None else self._facts.bytes_of(spelling)
        return self._bytes[token]

    def vocabulary(self) -> list[tuple[bytes, int]]:
        """(bytes, id) of every token that stands for text, sorted."""
        spellings = self._library.get_vocab(with_added_tokens=True).items()
        return sorted((self._facts.bytes_of(spelling), token) for spelling, token in spellings)

    def _encode_line(self, line: str) -> tuple[int, ...]:
        parts = line.split(METASPACE) if self._facts.metaspace else [line]
        first, *others = (self._library.encode(part, add_special_tokens=False).ids for part in parts)
        # The library would decode the character `▁` as a space, so it is encoded as bytes.
        return (*first, *(token for ids in others for token in (*self._facts.metaspace, *ids)))

    def _safe_line_split(self) -> re.Pattern[str] | None:
        """Where text can be split into lines without changing their ids, if anywhere.

        That is where the pre-tokenizer always splits. sentencepiece's BPE has none, so there no token may
        span the place; an added token may not span it in any case.
        """
        probe = _line_break_probe()
        words: Iterable[str] = self._facts.words
        if self._facts.byte_alphabet is None:
            words, starts = self._library.get_vocab(with_added_tokens=True).keys(), set(range(len(probe)))
        else:
            starts = {start for _, (start, _) in self._library.pre_tokenizer.pre_tokenize_str(probe)}
        texts = [word for word in words if "\n" in word]
        for split, spanning in LINE_SPLITS:
            places = {match.start() for match in split.finditer(probe)}
            if not any(map(spanning.search, texts)) and starts >= places:
                return split
        return None

    def _find_bos(self, content: Mapping[str, Any], settings: Mapping[str, Any]) -> int | None:
        """The settings take precedence over tokenizer.json's post-processor, as in transformers."""
        template = template_bos(content)
        if not settings.get("add_bos_token", template is not None):
            return None
        token = self.token_id(spelling(settings.get("bos_token")) or "")
        return next((id_ for id_ in (token, settings.get("bos_token_id"), template) if id_ is not None), None)


def _line_break_probe() -> str:
    """Line breaks and indentation between all kinds of neighbours."""
    kinds = [*"x7_)'", "x "]
    gaps = [
        newline + indent for newline in ("\n", "\n\n", "\r\n", "\n \n") for indent in ("", " ", "    ", "\t")
    ]
    return "".join(before + gap + after for before in kinds for gap in gaps for after in kinds)


class IncrementalDecoder:
    """Decodes tokens as they come; holds bytes back until they make whole characters.

    A model that writes bytes of which no characters can be made has failed: the text ends before them.

    Args:
        tokenizer: knows the tokens' bytes.
        skip: text that comes first and is not told.

    Attributes:
        broken: whether the text has ended, because its bytes are no UTF-8.
    """

    def __init__(self, tokenizer: Tokenizer, skip: str = "") -> None:
        self.broken = False
        self._tokenizer = tokenizer
        self._skip = len(skip.encode("utf-8", errors="replace"))  # bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def skips(self, token: int) -> bool:
        """Whether nothing of `token` would be told, since all of it is skipped."""
        return 0 < len(self._tokenizer.bytes_of(token)) <= self._skip

    def feed(self, token: int) -> str:
        """What can be said for certain after `token`, and was not said before."""
        text = self._tokenizer.bytes_of(token)
        told = text[self._skip :]
        self._skip = max(0, self._skip - len(text))
        if self.broken:
            return ""
        try:
            return self._decoder.decode(told)
        except UnicodeDecodeError as error:
            self.broken = True
            # The error counts from the bytes that were held back before.
            return error.object[: error.start].decode()
