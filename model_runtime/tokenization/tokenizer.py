"""Text to token ids and back, exactly: nothing is lost, no character is split, no control token is forged.

Between the prompt and the decoder. Three kinds of file are read: a tokenizer.json with byte-level BPE or
with sentencepiece's BPE (Llama's), and the vocab.json and merges.txt of older folders. Before the library
sees a tokenizer, all is taken out of it that would make text into something else: control tokens, and
normalising. So what a control token spells is text like any other.
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
from model_runtime.tokenization.facts import SPACE, line_ends, take_apart, template_start
from model_runtime.tokenization.files import read_tokenizer, source_name, spelling

REMEMBERED_LINES = 4096
"""So many are kept with their ids: of a file that is being edited all lines but one are as they were."""

REMEMBERED_LENGTH = 240
"""Lines of more characters are not kept: they are few, and would fill the memory."""

CUTS = (
    (re.compile(r"(?<=[!-~])(?=\n)"), re.compile(r"[!-~]\n")),
    (re.compile(r"(?<=\n)(?=[ \t]*[!-~])"), re.compile(r"\n[ \t]*([!-~]|[ \t]\Z)")),
)
"""Where text may be cut into lines, before the newline or after it; each with what a token spells that
reaches over such a cut. Splitting as GPT-2 does, newline and indentation are one token; as GPT-4 does,
a bracket and the newline after it."""


class Tokenizer:
    """A checkpoint's own tokenizer.

    Args:
        source: a folder, a tokenizer.json in it, or the content of one.
        settings: the content of tokenizer_config.json; read beside `source` where that is a path.

    Attributes:
        opening: what stood before every text in training: the space that sentencepiece puts there, or
            nothing. `encode` does not add it.
        bos: the token that every text began with in training, if any.

    Raises:
        ModelNotFound: there is no tokenizer.
        CorruptCheckpoint: a file is damaged.
        UnsupportedModel: its tokens are no byte sequences, or it changes text before it is encoded.
    """

    def __init__(self, source: Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        try:
            content, beside = read_tokenizer(source) if isinstance(source, Path) else (source, {})
            self._facts, plain = take_apart(content)
            self._library = tokenizers.Tokenizer.from_str(json.dumps(plain))
            self._control = frozenset(self._facts.controls.values())
            self._bytes: dict[int, bytes] = {}  # grows to the vocabulary's size at most
            self._cut = self._safe_cut()
            self.opening = self._facts.opening
            self.bos = self._begin(content, beside if settings is None else settings)
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
        self._recall: Callable[[str], tuple[int, ...]] = lru_cache(REMEMBERED_LINES)(self._encode_anew)

    @property
    def size(self) -> int:
        """One more than the highest id that text can become."""
        return max(self._library.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as plain text: whatever it spells, it yields no control token."""
        # A lone half of a surrogate pair, which an editor can send, has no UTF-8 form; it becomes "?".
        sound = text.encode("utf-8", errors="replace").decode("utf-8")
        lines = self._cut.split(sound) if self._cut else [sound]
        ids = (
            self._recall(line) if len(line) <= REMEMBERED_LENGTH else self._encode_anew(line)
            for line in lines
        )
        return list(chain.from_iterable(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; control tokens have none, and bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", errors="replace")

    def token_id(self, token: str) -> int | None:
        """The id of a token by its own spelling, control tokens included."""
        found: int | None = self._facts.controls.get(token, self._library.token_to_id(token))
        return found

    def is_control(self, token: int) -> bool:
        """Whether a token stands for no text: a sentinel, an end of text, or an id beyond the vocabulary."""
        return token in self._control or self._library.id_to_token(token) is None

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        if token not in self._bytes:
            spelling = None if token in self._control else self._library.id_to_token(token)
            self._bytes[token] = b"" if spelling is None else self._facts.spelled(spelling)
        return self._bytes[token]

    def vocabulary(self) -> list[tuple[bytes, int]]:
        """Every token that stands for text, after its bytes and in their order."""
        spellings = self._library.get_vocab(with_added_tokens=True).items()
        return sorted((self._facts.spelled(spelling), token) for spelling, token in spellings)

    def _encode_anew(self, line: str) -> tuple[int, ...]:
        parts = line.split(SPACE) if self._facts.underline else [line]
        first, *others = (self._library.encode(part, add_special_tokens=False).ids for part in parts)
        # As a character of its own `▁` would come back as a space; so it is spelled in bytes.
        return (*first, *(token for ids in others for token in (*self._facts.underline, *ids)))

    def _safe_cut(self) -> re.Pattern[str] | None:
        """Where lines can be encoded each on its own, if anywhere.

        That is where text is always split before BPE. sentencepiece's BPE splits nothing, and so no token
        may reach over the place; an added token may not in any case.
        """
        probe = line_ends()
        words: Iterable[str] = self._facts.words
        if self._facts.alphabet is None:
            words, starts = self._library.get_vocab(with_added_tokens=True).keys(), set(range(len(probe)))
        else:
            starts = {start for _, (start, _) in self._library.pre_tokenizer.pre_tokenize_str(probe)}
        texts = [word for word in words if "\n" in word]
        for cut, crossing in CUTS:
            if not any(map(crossing.search, texts)) and starts >= {at.start() for at in cut.finditer(probe)}:
                return cut
        return None

    def _begin(self, content: Mapping[str, Any], settings: Mapping[str, Any]) -> int | None:
        """tokenizer_config.json outranks tokenizer.json's post-processor, as in transformers."""
        template = template_start(content)
        if not settings.get("add_bos_token", template is not None):
            return None
        token = self.token_id(spelling(settings.get("bos_token")) or "")
        return next((id_ for id_ in (token, settings.get("bos_token_id"), template) if id_ is not None), None)


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
