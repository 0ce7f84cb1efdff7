"""Finds the names that a document defines, line by line with regular expressions, in any language.

A parser for each language would find more, but would have to run at every key. Here a line is matched once,
when it changes, and only the name that it defines is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lsp_server.languages import LANGUAGES

# The modifiers and keywords that a definition begins with.
_MODIFIERS: Final = (
    "abstract|async|const|data|declare|default|export|extern|final|inline|internal|local|open|override|partial"
    "|private|protected|pub|public|readonly|sealed|static|unsafe|virtual"
)
_KEYWORDS: Final = (
    "class|def|defmodule|defp|enum|fn|fun|func|function|interface|let|macro|module|namespace|object|protocol"
    "|record|struct|sub|trait|type|typedef|union|val|var"
)
_FIRST_WORDS: Final = frozenset(f"{_MODIFIERS}|{_KEYWORDS}".split("|"))
_FIRST_WORD: Final = re.compile(r"\s*(\w+)")
_KEYWORD_DEFINITION: Final = re.compile(
    rf"\s*(?:(?:{_MODIFIERS})(?:\([\w:\s]*\))?\s+)*(?:{_KEYWORDS})\b\*?\s+"
    r"(?:class\s+)?(?:\([^()]*\)\s*)?"  # C++'s enum class; Go's receiver
    r"(?:mut\s+)?(?:[\w$]+(?:\.|::?))*([^\W\d][\w$]*)"
)
_CONSTANT: Final = re.compile(
    rf"\s*(?:(?:{_MODIFIERS})\s+)*(?:const|static)\s+(?:mut\s+)?([^\W\d][\w$]*)\s*[:=]"
)
_ASSIGNMENT: Final = re.compile(
    r"([^\W\d]\w*)\s*(?::[^=]+)?(?:=(?![=~])|:=|<-)"
)  # without indentation, so global
_MACRO: Final = re.compile(r"\s*(?:#\s*define\s+|macro_rules!\s*)(\w+)")
# C-like: a type, a name, a bracket, and no semicolon, which would make it a call or a prototype.
_FUNCTION: Final = re.compile(r"\s*(?:[\w*&<>\[\],.:@?]+\s+)+[*&]*(?:\w+::)*~?([^\W\d]\w*)\s*\((?!.*;\s*$)")
_NOT_TYPES: Final = frozenset(
    ("and", "await", "case", "delete", "do", "elif", "else", "for", "goto", "if", "in", "is", "new", "not",
     "or", "return", "switch", "throw", "until", "when", "while", "with", "yield")
)  # fmt: skip
_TYPED_FUNCTIONS: Final = frozenset(one.id for one in LANGUAGES if one.typed_functions)
_WORD: Final = re.compile(r"[^\W\d]\w+")

_MAX_LINE_LENGTH: Final = 300
_MIN_NAME_LENGTH: Final = 3


def defined_name(line: str, language: str) -> str | None:
    """The name that a line defines, if it looks like a definition and other files may use it."""
    match = _match(line, language) if len(line) <= _MAX_LINE_LENGTH else None
    if match is None:
        return None
    name: str = match[1]
    return None if len(name) < _MIN_NAME_LENGTH or name.startswith("__") else name


def _match(line: str, language: str) -> re.Match[str] | None:
    first = _FIRST_WORD.match(line)
    if first is None:
        return _MACRO.match(line) if "#" in line else None
    word = first[1]
    if word in _FIRST_WORDS and (match := _KEYWORD_DEFINITION.match(line) or _CONSTANT.match(line)):
        return match
    if not line[0].isspace() and (match := _ASSIGNMENT.match(line)):
        return match
    if language in _TYPED_FUNCTIONS and "(" in line and word not in _NOT_TYPES:
        return _FUNCTION.match(line)
    return _MACRO.match(line) if word == "macro_rules" else None


def words(text: str) -> list[str]:
    """The words in `text`, in order: names, and keywords too."""
    return _WORD.findall(text)


def definition_length(lines: Sequence[str]) -> int:
    """How many of `lines` belong to the definition on the first of them."""
    depth = _indent(lines[0])
    end = 1
    for number, line in enumerate(lines[1:], 1):
        if line.strip():
            if _indent(line) <= depth and not line.lstrip().startswith((")", "]", "}")):
                break
            end = number + 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
