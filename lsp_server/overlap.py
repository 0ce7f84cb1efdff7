"""What a completion's end has in common with the rest of the cursor's line.

trim ▶ **overlap**. Editors close brackets and quotes as they are opened, and models close them again; some
models also write the rest of the line once more. That is dropped, but only where the text is better
without it: in ``foo(bar(|)`` a completion ``x)`` closes a bracket that nothing else closes.
"""

from __future__ import annotations

from typing import Final

_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_QUOTES: Final = "\"'`"


def without_overlap(text: str, before: str, rest: str) -> str:
    """`text`, a whole completion between `before` and `rest`, without what doubles the start of `rest`."""
    following = rest.strip()
    if not following:
        return text.rstrip()
    cut = doubled(text, before, rest)
    if cut:
        text = text.rstrip()[:-cut]
    if rest[0].isspace() or following[0] in _PAIRS:
        return text.rstrip(" \t")
    return text


def possible_overlap(text: str, rest: str) -> str:
    """`text`, of which more may come, without what `without_overlap` might drop from it if no more came."""
    text = text.rstrip()
    following = rest.strip()
    for start in range(max(0, len(text) - len(following)), len(text)):
        if following.startswith(text[start:]):
            return text[:start].rstrip()
    return text


def doubled(text: str, before: str, rest: str) -> int:
    """How many characters at the end of `text`, not counting white space, `rest` makes superfluous."""
    text, following = text.rstrip(), rest.strip()
    if not following:
        return 0
    closing = len(following) - len(following.lstrip("".join(_PAIRS)))
    if text.endswith(following) and not _only_punctuation(following) and _at_word_start(text, following):
        return len(following)
    if closing:
        tail = _common(text, following[:closing])
        surplus = _unopened(before + text + following) - _unopened(before + following)
        return min(tail, max(surplus, 0))
    quote = following[0]
    if quote in _QUOTES and text.endswith(quote) and (before + text).count(quote) % 2 == 0:
        return 1
    return 0


def _common(text: str, start: str) -> int:
    """The length of the longest end of `text` that `start` begins with."""
    return next((n for n in range(min(len(text), len(start)), 0, -1) if text.endswith(start[:n])), 0)


def _only_punctuation(following: str) -> bool:
    """Whether `following` is brackets or one quote, whose doubling is a matter of counting."""
    return not following.strip("".join(_PAIRS)) or following in _QUOTES


def _at_word_start(text: str, following: str) -> bool:
    before = text[: len(text) - len(following)]
    return not (before and _is_word(before[-1]) and _is_word(following[0]))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _unopened(text: str) -> int:
    """How many closing brackets of `text` nothing in it opens."""
    stack: list[str] = []
    unopened = 0
    for character in text:
        if character in "([{":
            stack.append(character)
        elif character in _PAIRS:
            if stack and stack[-1] == _PAIRS[character]:
                stack.pop()
            else:
                unopened += 1
    return unopened
