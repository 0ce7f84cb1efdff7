"""URIs of documents: one spelling for each, and the paths in them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

_PARTS: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//[^/?#]*)?([^?#]*)(.*)", re.DOTALL)
_DRIVE: Final = re.compile(r"/([A-Za-z])[:|](?=/|$)")

_UNQUOTED: Final = "/:@!$&'()*+,;=~"
"""What may stand in a path as it is (RFC 3986, section 3.3)."""


def canonical_uri(uri: str) -> str:
    """The same URI in the spelling that all others of it have, too: `file:///c%3A/x` becomes `file:///c:/x`.

    Editors differ in what they escape, and in the case of escapes and of Windows' drives. What is no URI
    comes back as some text that is the same for the same text.
    """
    scheme, authority, path, rest = _split(uri)
    path = quote(unquote(path, errors="surrogateescape"), safe=_UNQUOTED, errors="surrogateescape")
    if scheme == "file":
        path = _DRIVE.sub(lambda match: f"/{match[1].lower()}:", path, count=1)
    return f"{scheme}:{authority}{path}{rest}" if scheme else f"{authority}{path}{rest}"


def scheme_of(uri: str) -> str:
    """The scheme, in lower case; empty if there is none."""
    return _split(uri)[0]


def path_of(uri: str) -> str:
    """The path, without escapes."""
    return unquote(_split(uri)[2])


def _split(uri: str) -> tuple[str, str, str, str]:
    """Scheme, authority with its slashes, path, and the rest; unlike `urlsplit`, this never fails."""
    match = _PARTS.fullmatch(uri)
    assert match is not None, "every part may be empty"
    scheme, authority, path, rest = match.groups()
    return (scheme or "").lower(), authority or "", path, rest
