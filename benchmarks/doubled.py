"""Judges an accepted completion: does it double a word, a bracket or a line of the text around it?

It knows nothing of how completions are trimmed, and of languages only which characters are brackets. Words
that stand side by side with nothing between them count as doubled, too: a completion ends where the text
after the cursor can follow.
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

Fault = Literal["word", "bracket", "line"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

_CLOSERS: Final = {")": "(", "]": "[", "}": "{"}
_WORD: Final = re.compile(r"\w+")
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_BETWEEN_WORDS: Final = re.compile(r"[\s,]*")
_BETWEEN_PHRASES: Final = re.compile(r"[\s,;:()\[\]{}\"'`]*")
_MAX_WORDS: Final = 12
_MAX_LINES: Final = 10
_MAX_SCANNED: Final = 20_000
_MIN_LINE: Final = 4  # word characters; a shorter line may be meant twice
_MIN_TAIL: Final = 3


def faults(before: str, inserted: str, after: str, removed: str = "") -> set[Fault]:
    """The faults of `inserted`, which was put between two texts in place of `removed`."""
    found: set[Fault] = set()
    if _doubles_word(before, inserted, after, removed):
        found.add("word")
    if _doubles_bracket(before, inserted, after, removed):
        found.add("bracket")
    if _doubles_line(before, inserted, after, removed):
        found.add("line")
    return found


def _doubles_word(before: str, inserted: str, after: str, removed: str) -> bool:
    rest = after.partition("\n")[0]
    return (
        _is_glued(before, inserted, rest, after, removed)
        or _repeats_words(inserted, rest)
        or bool(
            len(rest.strip()) >= _MIN_TAIL and inserted.rstrip().endswith(rest.strip()) and _WORD.search(rest)
        )
    )


def _is_glued(before: str, inserted: str, rest: str, after: str, removed: str) -> bool:
    """Whether the last word or operand of `inserted` runs into the first word of `rest`."""
    follows = _WORD.match(rest)
    if follows is None or not inserted.strip():
        return False
    tail = follows[0]
    in_word = _ends_with_word(before) and _WORD.match(removed + rest) is not None
    last = _WORD.findall(inserted)[-1] if _ends_with_word(inserted) else ""
    if in_word:
        again = len(tail) > 1 and (last.endswith(tail) or _begins_with(inserted, tail))
        return last == tail or (
            again and not (_has_space(inserted) and _has_word(last + tail, before + rest))
        )
    if not last:
        return inserted[-1] in ")]}\"'`"
    return not _has_word(last + tail, before + "\n" + after)


def _repeats_words(inserted: str, rest: str) -> bool:
    """Whether the last words of `inserted` are the first ones of `rest`, with little between them."""
    own, next_ = list(_WORD.finditer(inserted)), list(_WORD.finditer(rest))
    for count in range(min(len(own), len(next_), _MAX_WORDS), 0, -1):
        ours, theirs = own[-count:], next_[:count]
        gap = inserted[ours[-1].end() :] + rest[: theirs[0].start()]
        if count == 1:
            word = ours[0][0]
            same = word == theirs[0][0] and len(word) > 1 and not word.isdigit()
            if same and _BETWEEN_WORDS.fullmatch(gap):
                return True
        else:
            one = inserted[ours[0].start() : ours[-1].end()]
            other = rest[theirs[0].start() : theirs[-1].end()]
            if one == other and _BETWEEN_PHRASES.fullmatch(gap):
                return True
    return False


def _doubles_bracket(before: str, inserted: str, after: str, removed: str) -> bool:
    """Whether a bracket that `inserted` closes or opens has no partner, while all had one without it."""
    before, after = before[-_MAX_SCANNED:], after[:_MAX_SCANNED]
    old, new = _unmatched(before + removed + after), _unmatched(before + inserted + after)
    own = _unmatched(inserted)
    if own[1] and new[1] > old[1]:
        return True
    first, last = after.lstrip(" \t")[:1], inserted.rstrip()[-1:]
    return bool(own[0]) and new[0] > old[0] and last in _CLOSERS.values() and first == last


def _unmatched(text: str) -> tuple[int, int]:
    """How many brackets are left open, and how many close nothing; strings of one line are left out."""
    opened: list[str] = []
    stray = 0
    for character in _STRING.sub("", text):
        if character in _CLOSERS.values():
            opened.append(character)
        elif character in _CLOSERS:
            if opened and opened[-1] == _CLOSERS[character]:
                opened.pop()
            else:
                stray += 1
    return len(opened), stray


def _doubles_line(before: str, inserted: str, after: str, removed: str) -> bool:
    """Whether the last lines of `inserted` are those that follow, which did not follow their copy before."""
    begin = before.rpartition("\n")[2]
    rest, _, below = after.partition("\n")
    following = [line.strip() for line in below.split("\n") if line.strip()][:_MAX_LINES]
    written = [line.strip() for line in (begin + inserted + rest).split("\n")]
    if "\n" not in inserted and (begin + removed + rest).strip() == written[0]:
        return False
    runs = [(written, following)]
    if "\n" in inserted:
        runs.append((written[:-1], [written[-1], *following] if written[-1] else following))
    return any(_follows_copy([line for line in one if line], other) for one, other in runs)


def _follows_copy(written: list[str], following: list[str]) -> bool:
    for count in range(1, min(len(written), len(following), _MAX_LINES) + 1):
        last = written[-count:]
        if last == following[:count] and sum(map(len, _WORD.findall(" ".join(last)))) >= _MIN_LINE:
            return True
    return False


def _ends_with_word(text: str) -> bool:
    return bool(text) and _WORD.fullmatch(text[-1]) is not None


def _begins_with(text: str, tail: str) -> bool:
    """Whether `text` continues the cursor's word by the rest of it, and does not stop there."""
    first = _WORD.match(text)
    return first is not None and first[0].startswith(tail)


def _has_space(text: str) -> bool:
    """Whether `text` is more than a part of one word."""
    return _WORD.fullmatch(text) is None


def _has_word(word: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None
