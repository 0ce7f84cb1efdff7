"""Lays out a request's text as tokens, in the layouts that the model was trained on, within a token budget.

Text is clipped first. The prompt suits the KV cache: while the user types, only its end changes. So the
prefix starts at a line number that is a multiple of a block of lines, and stays there until a whole block is
dropped; shares of the budget change in steps; and layouts that end with the typed text come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.prompting.fim import Sentinels, psm, psm_typed_line, spm
from model_runtime.tokenization import Tokenizer

Layout = Literal["psm", "spm", "psm-typed-line", "prefix"]
"""`psm-typed-line`: see `psm_typed_line`; `prefix`: the prefix alone, without sentinels."""

PREFERRED_LAYOUTS: tuple[Layout, ...] = ("spm", "psm-typed-line", "psm")
"""Layouts with sentinels; first those in which typing only appends tokens."""

CHARACTERS_PER_TOKEN = 6
"""More than the average of code; text is clipped to this length before it is tokenized."""

LINE_COMMENTS = {
    "python": "#",
    "ruby": "#",
    "shellscript": "#",
    "yaml": "#",
    "toml": "#",
    "r": "#",
    "lua": "--",
}
"""The start of a line comment, by LSP language id; `//` in other languages."""

TOKENS_PER_BLOCK_LINE = 48
"""The start of a long prefix moves by blocks of one line for each 48 tokens of its budget: about a quarter of
the text at a time."""


@dataclass(frozen=True)
class Prompt:
    """The model's input, and the order of its parts."""

    tokens: list[int]
    layout: Layout


def lay_out(
    request: CompletionRequest, tokenizer: Tokenizer, sentinels: Sentinels | None, budget: int
) -> Iterator[Prompt]:
    """The prompt of a request in each layout that the model was trained on, the preferred one first.

    Lazy, since callers mostly use only the first.

    Args:
        request: the text around the cursor, and snippets of other files.
        tokenizer: the checkpoint's own.
        sentinels: see `find_sentinels`; without any there is one prompt, of the prefix alone.
        budget: the most tokens in each prompt, at least 8.
    """
    assert budget >= 8, f"a budget of {budget} tokens leaves no room for text"
    bos = [] if tokenizer.bos is None else [tokenizer.bos]
    budget -= len(bos)
    if sentinels is None:
        parts = _fit(tokenizer, request, "", budget)
        text = [*parts.context, *parts.prefix]
        # An empty prompt gets the leading space too, or the model would write it.
        yield Prompt([*bos, *(text or tokenizer.encode(tokenizer.leading_space))], "prefix")
        return
    budget -= sentinels.count
    # Splitting the prefix at a line start can add tokens. Where that layout comes first, leave room for them.
    spare = 0 if "spm" in sentinels.layouts else budget // 64
    parts = _fit(tokenizer, request, request.suffix, budget - spare)
    for layout in PREFERRED_LAYOUTS:
        tokens = _lay_out(layout, parts, tokenizer, sentinels)
        if tokens is not None and len(tokens) <= budget + sentinels.count:
            yield Prompt([*bos, *tokens], layout)


@dataclass(frozen=True)
class _Parts:
    """The parts of a prompt; `text` is that of `prefix`, or None where it was cut between tokens."""

    context: list[int]
    prefix: list[int]
    suffix: list[int]
    text: str | None


def _lay_out(layout: Layout, parts: _Parts, tokenizer: Tokenizer, sentinels: Sentinels) -> list[int] | None:
    """The parts in a layout; None where the model was not trained on it or the parts do not suit it."""
    before = [*parts.context, *parts.prefix]
    if layout == "psm" and "psm" in sentinels.layouts:
        return psm(sentinels, before, parts.suffix)
    # An empty prefix has no leading space: in SPM the model would write it, as the start of the middle.
    if layout == "spm" and "spm" in sentinels.layouts and (before or not tokenizer.leading_space):
        return spm(sentinels, before, parts.suffix)
    if layout == "psm-typed-line" and "psm" in sentinels.layouts and parts.text is not None:
        start = parts.text.rfind("\n") + 1
        lines = _encode_first(tokenizer, parts.text[:start], first=not parts.context)
        typed = tokenizer.encode(parts.text[start:])
        return psm_typed_line(sentinels, [*parts.context, *lines], typed, parts.suffix) if typed else None
    return None


def _fit(tokenizer: Tokenizer, request: CompletionRequest, suffix: str, budget: int) -> _Parts:
    """Clip prefix and suffix to about 3 : 1 of `budget` tokens; each may use what the other leaves."""
    window, first_line = _end(request.prefix, budget * CHARACTERS_PER_TOKEN)
    before = _encode_first(tokenizer, window)
    # The suffix's share changes in steps, or each typed token would take one token from it.
    spare = _floor(max(0, budget - len(before)), _step(budget))
    after = _clip_end(tokenizer, suffix, max(budget // 4, spare))
    text, prefix = _clip_start(tokenizer, window, before, first_line, budget - len(after))
    context = _snippets(request, tokenizer, budget, len(prefix) + len(after))
    if context and text and tokenizer.leading_space:  # it now precedes the context instead
        plain = tokenizer.encode(text)
        if len(context) + len(plain) + len(after) <= budget:
            return _Parts(context, plain, after, text)
        context = []
    return _Parts(context, prefix, after, text)


def _encode_first(tokenizer: Tokenizer, text: str, first: bool = True) -> list[int]:
    """Encode a text with the leading space that the `first` text of a prompt had in training, if any."""
    return tokenizer.encode(tokenizer.leading_space + text if first and text else text)


def _end(text: str, limit: int) -> tuple[str, int]:
    """The end of `text` in at most `limit` characters, from the start of a line; also that line's number.

    A line so long that little else would remain is cut, at a position that moves in steps.
    """
    if len(text) <= limit:
        return text, 0
    start = text.find("\n", len(text) - limit - 1) + 1
    if start == 0 or len(text) - start < limit // 4:
        start = _ceil(len(text) - limit, _step(limit))
    return text[start:], text.count("\n", 0, start)


def _clip_start(
    tokenizer: Tokenizer, window: str, tokens: list[int], first_line: int, limit: int
) -> tuple[str | None, list[int]]:
    """The end of a prefix in at most `limit` tokens, from a position that stays while text is appended.

    Args:
        tokenizer: encodes the rest anew, since a token across the line break has to be split.
        window: the end of the prefix.
        tokens: those of the window.
        first_line: the number of the window's first line in the file.
        limit: in tokens.

    Returns:
        The text, or None where it was cut between tokens, and its tokens.
    """
    over = max(0, len(tokens) - limit)
    if not over and not first_line:
        return window, tokens
    dropped = b"".join(map(tokenizer.bytes_of, tokens[:over])).count(b"\n")
    line = dropped + (1 if over else 0)  # the first line of the window that fits whole
    enough = max(1, min(limit, len(tokens)) // 4)
    for start in (_ceil(first_line + line, max(1, limit // TOKENS_PER_BLOCK_LINE)) - first_line, line):
        text = "".join(window.split("\n", start)[start:])
        kept = _encode_first(tokenizer, text)
        if enough <= len(kept) <= limit:
            return text, kept
    return None if over else window, tokens[_ceil(over, _step(limit)) :]


def _clip_end(tokenizer: Tokenizer, suffix: str, limit: int) -> list[int]:
    """The start of a suffix in at most `limit` tokens, up to the end of a line where possible."""
    window = suffix[: limit * CHARACTERS_PER_TOKEN]
    tokens = tokenizer.encode(window)
    if len(tokens) <= limit and len(window) == len(suffix):
        return tokens
    text, newline, _ = tokenizer.decode(tokens[:limit]).rpartition("\n")
    kept = tokenizer.encode(text + newline)
    return kept if 0 < len(kept) <= limit else tokens[:limit]


def _snippets(request: CompletionRequest, tokenizer: Tokenizer, budget: int, used: int) -> list[int]:
    """The first snippets that fit whole into the rest of the budget, each under a comment with its path.

    A small rest is not used, since it comes and goes as the start of a clipped prefix moves.
    """
    room = _floor(budget - used, _step(budget))
    if room < budget // 4:
        return []
    tokens: list[int] = []
    for snippet in request.snippets:
        text = _with_path(snippet, request.language)
        if len(text) > room * CHARACTERS_PER_TOKEN:
            break
        more = _encode_first(tokenizer, text, first=not tokens)
        if len(tokens) + len(more) > room:
            break
        tokens += more
    return tokens


def _with_path(snippet: Snippet, language: str) -> str:
    return f"{LINE_COMMENTS.get(language, '//')} {snippet.path}\n{snippet.text.rstrip()}\n\n"


def _step(size: int) -> int:
    """The step in which a clipped size or position moves."""
    return max(1, size // 8)


def _floor(value: int, step: int) -> int:
    return value // step * step


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step
