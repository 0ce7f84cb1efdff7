"""What a request's text becomes: tokens in a layout that the model was trained on, within a budget.

The prompt is laid out for the cache. While somebody types, only its end may change: so the prefix's window
begins at a line whose absolute number is a multiple of a block and stays there until a whole block has to
go, shares of the budget change in steps, and of the layouts the one that ends with the prefix is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_runtime.api import CompletionRequest, Snippet
from model_runtime.tokenizer import Tokenizer

Layout = Literal["psm", "spm", "prefix"]

SENTINELS = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite, tiny_starcoder
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
)
"""How families spell prefix, suffix and middle; all of these were trained on both of our layouts."""

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
class Sentinels:
    """The ids of the tokens that mark a fill-in-the-middle prompt's parts."""

    prefix: int
    suffix: int
    middle: int


@dataclass(frozen=True)
class Prompt:
    """What the model is given; `layout` says in which order."""

    tokens: list[int]
    layout: Layout


def find_sentinels(tokenizer: Tokenizer) -> Sentinels | None:
    """The fill-in-the-middle sentinels of a checkpoint's own tokenizer, or None where it has none."""
    for spellings in SENTINELS:
        prefix, suffix, middle = map(tokenizer.token_id, spellings)
        if prefix is not None and suffix is not None and middle is not None:
            return Sentinels(prefix, suffix, middle)
    return None


def build_prompt(
    request: CompletionRequest, tokenizer: Tokenizer, sentinels: Sentinels | None, budget: int
) -> Prompt:
    """Lay out a request in at most `budget` tokens (at least 8).

    With a suffix: SPM, `<PRE><SUF>suffix<MID>prefix`, where typing only appends (the variant that StarCoder
    was trained on; Bavarian et al., arXiv:2207.14255). Without: PSM, `<PRE>prefix<SUF><MID>`. A model
    without sentinels sees the prefix alone.
    """
    assert budget >= 8, f"a budget of {budget} tokens leaves no room for text"
    if sentinels is None:
        prefix, _ = _fit(tokenizer, request.prefix, "", budget)
        return Prompt(_snippets(request, tokenizer, budget, len(prefix)) + prefix, "prefix")
    budget -= 3  # the sentinels
    prefix, suffix = _fit(tokenizer, request.prefix, request.suffix, budget)
    prefix = _snippets(request, tokenizer, budget, len(prefix) + len(suffix)) + prefix
    if suffix:
        return Prompt([sentinels.prefix, sentinels.suffix, *suffix, sentinels.middle, *prefix], "spm")
    return Prompt([sentinels.prefix, *prefix, sentinels.suffix, sentinels.middle], "psm")


def _fit(tokenizer: Tokenizer, prefix: str, suffix: str, budget: int) -> tuple[list[int], list[int]]:
    """Prefix and suffix in tokens, about 3 : 1 of `budget`; what one leaves over, the other may use."""
    window, first_line = _tail(prefix, budget * CHARACTERS_PER_TOKEN)
    before = tokenizer.encode(window)
    # What is left for the suffix changes in steps, or each typed token would take one from it.
    spare = _floor(max(0, budget - len(before)), _step(budget))
    after = _clip_end(tokenizer, suffix, max(budget // 4, spare))
    return _clip_start(tokenizer, window, before, first_line, budget - len(after)), after


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
) -> list[int]:
    """The end of a prefix in at most `limit` tokens, from a place that stays while text is appended.

    Args:
        tokenizer: encodes what is kept: a token can reach over a line's end, and is then split there.
        window: the end of the prefix, whose first line has the number `first_line`.
        tokens: the window's.
        limit: in tokens.
    """
    over = max(0, len(tokens) - limit)
    if not over and not first_line:
        return tokens
    dropped = sum(tokenizer.bytes_of(token).count(b"\n") for token in tokens[:over])
    line = dropped + (1 if over else 0)  # of the window, the first that fits whole
    enough = min(limit, len(tokens)) // 4
    for start in (_ceil(first_line + line, max(1, limit // BLOCKS)) - first_line, line):
        lines = window.split("\n", start)
        kept = tokenizer.encode(lines[-1]) if len(lines) > start else []
        if enough <= len(kept) <= limit:
            return kept
    return tokens[_ceil(over, _step(limit)) :]


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
        more = tokenizer.encode(text)
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
