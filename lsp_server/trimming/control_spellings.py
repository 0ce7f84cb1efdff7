"""Ends a completion before a control token of some model, written as text.

Models have read such spellings in their training data, and a model with other control tokens than the
spelling's writes it where it means to stop, or to mark the cursor. In a document that has the spelling
itself, it is text like any other.
"""

from __future__ import annotations

import re
from typing import Final

_FIXED: Final = (
    *("</s>", "<file_sep>", "<repo_name>", "<reponame>", "<gh_stars>", "<empty_output>", "<EOT>", "<PRE>"),
    *("<SUF>", "<MID>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>"),
    *("<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<commit_before>"),
    *("<commit_msg>", "<commit_after>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"),
    *("[INST]", "[/INST]", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
)
_MARKS: Final = "|\N{FULLWIDTH VERTICAL LINE}"
_NAME: Final = "[\\w\N{LOWER ONE EIGHTH BLOCK}-]"
_SPELLING: Final = re.compile(
    rf"<[{_MARKS}]{_NAME}{{1,40}}[{_MARKS}]>|<fim[_-]\w{{1,20}}>|" + "|".join(map(re.escape, _FIXED))
)
_BEGUN: Final = re.compile(rf"<[{_MARKS}](?:{_NAME}{{0,40}}|{_NAME}{{1,40}}[{_MARKS}])|<fim[_-]\w{{0,20}}")
_LONGEST: Final = 44
_TAGS: Final = frozenset({"</s>"})  # of HTML, too
_MARKUP: Final = frozenset(
    {
        "html",
        "xml",
        "vue",
        "svelte",
        "handlebars",
        "javascriptreact",
        "typescriptreact",
        "markdown",
        "php",
        "razor",
    }
)


class ControlSpellings:
    """Takes a model's text and returns what is before the first such spelling; `found` says that one came.

    What may become one is held back.
    """

    def __init__(self, prefix: str, suffix: str, language: str) -> None:
        self.found = False
        self._prefix, self._suffix = prefix, suffix
        self._allowed = _TAGS if language in _MARKUP else frozenset()
        self._held = ""

    def feed(self, text: str) -> str:
        """Take more text; returns as much more as is certain."""
        text = self._held + text
        self._held = ""
        if "<" not in text and "[" not in text:
            return text
        for match in _SPELLING.finditer(text):
            if not self._is_text(match[0]):
                self.found = True
                return text[: match.start()]
        start = next((at for at in _openers(text) if _may_begin(text[at:])), len(text))
        self._held = text[start:]
        return text[:start]

    def finish(self) -> str:
        """The text has ended; returns what was held back."""
        held, self._held = self._held, ""
        return held

    def _is_text(self, spelling: str) -> bool:
        return spelling in self._allowed or spelling in self._prefix or spelling in self._suffix


def _openers(text: str) -> list[int]:
    start = max(0, len(text) - _LONGEST)
    return [at for at in range(start, len(text)) if text[at] in "<["]


def _may_begin(tail: str) -> bool:
    """Whether `tail` may be the beginning of a spelling."""
    return _BEGUN.fullmatch(tail) is not None or any(one.startswith(tail) for one in (*_FIXED, "<fim_"))
