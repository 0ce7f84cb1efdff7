"""Recognizes a line with which a model answers a person, in code: a sentence, or a fence around the code."""

from __future__ import annotations

import re
from typing import Final

_FENCE: Final = "```"
_PROSE: Final = frozenset(
    {"", "markdown", "plaintext", "restructuredtext", "latex", "tex", "html", "git-commit", "diff", "typst"}
)
# Whatever follows a match cannot undo it, since lines are looked at while they grow.
_CHAT: Final = re.compile(
    r"(?:Sure|Certainly|Absolutely|Of course|Okay|Great)(?:!|[,.]? (?:[Hh]ere|I |I\W|[Ll]et |[Tt]his ))"
    r"|Here(?:['\u2019]s| is| are) (?:the|an?|your|how|my|some|what|one) "
    r"|I(?:['\u2019]m| am) (?:sorry|unable|an AI|happy to)"
    r"|I(?:['\u2019]ll| will| can| can['\u2019]t| cannot) (?:help|assist|complete|provide) "
    r"|As an AI "
    r"|The (?:completed|following|updated|corrected|missing|given|above) (?:code|function|line)"
    r"|(?:This|The) (?:code|function) (?:is|will|should|defines|completes|returns) "
)
_BEGINNINGS: Final = (
    "Sure",
    "Certainly",
    "Absolutely",
    "Of course",
    "Okay",
    "Great",
    "Here's ",
    "Here is ",
    "``",
)
_LONGEST: Final = max(map(len, _BEGINNINGS))


class ChatFilter:
    """Recognizes such lines in a document of `language`; a document with fences of its own may get more."""

    def __init__(self, prefix: str, suffix: str, language: str) -> None:
        self._is_prose = language in _PROSE
        self._has_fences = not self._is_prose and (_FENCE in prefix or _FENCE in suffix)

    def rejects(self, line: str) -> bool:
        """Whether a line that begins with `line` is not code."""
        if self._is_prose:
            return False
        body = line.lstrip()
        return _CHAT.match(body) is not None or (body.startswith(_FENCE) and not self._has_fences)

    def may_reject(self, line: str) -> bool:
        """Whether a line that begins with `line` may turn out not to be code."""
        body = line.lstrip()
        return (
            not self._is_prose
            and 0 < len(body) <= _LONGEST
            and any(beginning.startswith(body) for beginning in _BEGINNINGS)
        )
