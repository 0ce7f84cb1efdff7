"""What a request's text becomes: tokens in a layout that the model was trained on, within a budget.

Text is clipped first and laid out then. The prompt is laid out for the cache: while somebody types, only
its end may change. So the prefix's window begins at a line whose absolute number is a multiple of a block
and stays there until a whole block has to go, shares of the budget change in steps, and of the layouts
those that end with what is typed are preferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.prompting.fim import Sentinels, find_sentinels, psm, spm, typed_line
from model_runtime.tokenization import Tokenizer

__all__ = ["Layout", "Prompt", "Sentinels", "build_prompt", "candidates", "find_sentinels", "lay_out"]

Layout = Literal["psm", "spm", "typed", "prefix"]

PREFERRED: tuple[Layout, ...] = ("spm", "typed", "psm")
"""Layouts with sentinels: first those in which typing only appends."""

CHARACTERS_PER_TOKEN = 6
"""More than code has on average: text is clipped to this before it is worth tokenising."""

LINE_COMMENTS = {
    "python": "#",
    "ruby": "#",
    "shellscript": "#",
    "yaml": "#",
    "toml": "#",
    "r": "#",
    "lua": "--",
}
"""What begins a comment, by LSP language id; `//` elsewhere."""

BLOCKS = 48
"""A prompt of so many tokens moves its window by one line, of twice as many by two, and so on: about a
quarter of the window at a time."""


@dataclass(frozen=True)
class Prompt:
    """What the model is given; `layout` says in which order."""

    tokens: list[int]
    layout: Layout


def build_prompt(
    request: CompletionRequest, tokenizer: Tokenizer, sentinels: Sentinels | None, budget: int
) -> Prompt:
    """Lay out a request in at most `budget` tokens (at least 8), in the first of its `candidates`."""
    return next(lay_out(request, tokenizer, sentinels, budget))


def candidates(
    request: CompletionRequest, tokenizer: Tokenizer, sentinels: Sentinels | None, budget: int
) -> list[Prompt]:
    """Every layout of a request that the model was trained on, each in at most `budget` tokens (at least 8).

    They come as `PREFERRED` has them: SPM, PSM with the typed line after the middle sentinel, plain PSM. A
    model without sentinels sees the prefix alone.
    """
    return list(lay_out(request, tokenizer, sentinels, budget))


def lay_out(
    request: CompletionRequest, tokenizer: Tokenizer, sentinels: Sentinels | None, budget: int
) -> Iterator[Prompt]:
    """The `candidates` one by one: mostly only the first is asked for."""
    assert budget >= 8, f"a budget of {budget} tokens leaves no room for text"
    begin = [] if tokenizer.bos is None else [tokenizer.bos]
    budget -= len(begin)
    if sentinels is None:
        parts = _fit(tokenizer, request, "", budget)
        text = [*parts.context, *parts.prefix]
        # Nothing before the cursor is opened too, or the answer would begin with the opening.
        yield Prompt([*begin, *(text or tokenizer.encode(tokenizer.leading_space))], "prefix")
        return
    budget -= sentinels.count
    # Cut at a line's start a prefix can become more tokens. Where that layout comes first, it is to fit.
    spare = 0 if "spm" in sentinels.trained else budget // 64
    parts = _fit(tokenizer, request, request.suffix, budget - spare)
    for layout in PREFERRED:
        tokens = _lay_out(layout, parts, tokenizer, sentinels)
        if tokens is not None and len(tokens) <= budget + sentinels.count:
            yield Prompt([*begin, *tokens], layout)


@dataclass(frozen=True)
class _Parts:
    """What a prompt is made of; `text` is what `prefix` spells, or None where it was cut between tokens."""

    context: list[int]
    prefix: list[int]
    suffix: list[int]
    text: str | None


def _lay_out(layout: Layout, parts: _Parts, tokenizer: Tokenizer, sentinels: Sentinels) -> list[int] | None:
    """The parts in a layout; None where the model was not trained on it or it does not suit them."""
    before = [*parts.context, *parts.prefix]
    if layout == "psm" and "psm" in sentinels.trained:
        return psm(sentinels, before, parts.suffix)
    # An empty prefix has no opening: in SPM the model would write it, as if it were the middle's.
    if layout == "spm" and "spm" in sentinels.trained and (before or not tokenizer.leading_space):
        return spm(sentinels, before, parts.suffix)
    if layout == "typed" and "psm" in sentinels.trained and parts.text is not None:
        start = parts.text.rfind("\n") + 1
        head = tokenizer.encode(_opened(parts.text[:start], "" if parts.context else tokenizer.leading_space))
        typed = tokenizer.encode(parts.text[start:])
        return typed_line(sentinels, [*parts.context, *head], typed, parts.suffix) if typed else None
    return None


def _fit(tokenizer: Tokenizer, request: CompletionRequest, suffix: str, budget: int) -> _Parts:
    """Prefix and suffix in tokens, about 3 : 1 of `budget`; what one leaves over, the other may use."""
    window, first_line = _tail(request.prefix, budget * CHARACTERS_PER_TOKEN)
    before = tokenizer.encode(_opened(window, tokenizer.leading_space))
    # What is left for the suffix changes in steps, or each typed token would take one from it.
    spare = _floor(max(0, budget - len(before)), _step(budget))
    after = _clip_end(tokenizer, suffix, max(budget // 4, spare))
    text, prefix = _clip_start(tokenizer, window, before, first_line, budget - len(after))
    context = _snippets(request, tokenizer, budget, len(prefix) + len(after))
    if context and text and tokenizer.leading_space:  # which stands before the context then
        plain = tokenizer.encode(text)
        if len(context) + len(plain) + len(after) <= budget:
            return _Parts(context, plain, after, text)
        context = []
    return _Parts(context, prefix, after, text)


def _opened(text: str, opening: str) -> str:
    """A text as it stood in training where it comes first."""
    return opening + text if text else ""


def _tail(text: str, limit: int) -> tuple[str, int]:
    """The end of `text` in at most `limit` characters, from a line's start; also that line's number.

    A line that would leave little else is cut, at a place that moves in steps.
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
    """The end of a prefix in at most `limit` tokens, from a place that stays while text is appended.

    Args:
        tokenizer: encodes what is kept: a token can reach over a line's end, and is then split there.
        window: the end of the prefix, whose first line has the number `first_line`.
        tokens: the window's.
        limit: in tokens.

    Returns:
        The text, or None where it was cut between tokens; and the tokens.
    """
    over = max(0, len(tokens) - limit)
    if not over and not first_line:
        return window, tokens
    dropped = b"".join(map(tokenizer.bytes_of, tokens[:over])).count(b"\n")
    line = dropped + (1 if over else 0)  # of the window, the first that fits whole
    enough = max(1, min(limit, len(tokens)) // 4)
    for start in (_ceil(first_line + line, max(1, limit // BLOCKS)) - first_line, line):
        text = "".join(window.split("\n", start)[start:])
        kept = tokenizer.encode(_opened(text, tokenizer.leading_space))
        if enough <= len(kept) <= limit:
            return text, kept
    return None if over else window, tokens[_ceil(over, _step(limit)) :]


def _clip_end(tokenizer: Tokenizer, suffix: str, limit: int) -> list[int]:
    """The beginning of a suffix in at most `limit` tokens, up to a line's end where there is one."""
    window = suffix[: limit * CHARACTERS_PER_TOKEN]
    tokens = tokenizer.encode(window)
    if len(tokens) <= limit and len(window) == len(suffix):
        return tokens
    text, newline, _ = tokenizer.decode(tokens[:limit]).rpartition("\n")
    kept = tokenizer.encode(text + newline)
    return kept if 0 < len(kept) <= limit else tokens[:limit]


def _snippets(request: CompletionRequest, tokenizer: Tokenizer, budget: int, used: int) -> list[int]:
    """The first snippets that fit whole into what prefix and suffix leave over, each under its path.

    A small rest is left alone: it comes and goes as a clipped prefix moves its window.
    """
    room = _floor(budget - used, _step(budget))
    if room < budget // 4:
        return []
    tokens: list[int] = []
    for snippet in request.snippets:
        text = _headed(snippet, request.language)
        if len(text) > room * CHARACTERS_PER_TOKEN:
            break
        more = tokenizer.encode(text if tokens else _opened(text, tokenizer.leading_space))
        if len(tokens) + len(more) > room:
            break
        tokens += more
    return tokens


def _headed(snippet: Snippet, language: str) -> str:
    return f"{LINE_COMMENTS.get(language, '//')} {snippet.path}\n{snippet.text.rstrip()}\n\n"


def _step(size: int) -> int:
    """How far something of this size may move at a time."""
    return max(1, size // 8)


def _floor(value: int, step: int) -> int:
    return value // step * step


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step
