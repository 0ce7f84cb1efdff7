"""What of the open documents is never shown to a model.

context ▶ {**exclusions**, definitions, ring}. A model repeats what it reads, and what it repeats ends in
another file. So files that hold secrets are left out whole, by name, and lines that hold one are left out
wherever they stand. Very long lines are data, or code that no person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

LONGEST_LINE: Final = 400
"""Characters; minified code and embedded data have longer ones."""

# An editor's other windows: old revisions of a file, logs, terminals. Their text is not being worked on.
_OTHER_WINDOWS: Final = frozenset(
    ("comment", "debug", "diff", "fugitive", "git", "gitsigns", "output", "term")
)
_SECRET_FILE: Final = re.compile(
    r"\.env(\..*|rc)?|.*\.(env|pem|key|p12|pfx|jks|keystore|kdbx?|gpg|asc|ovpn|tfvars|tfstate)"
    r"|id_(rsa|dsa|ecdsa|ed25519).*|\.(netrc|npmrc|pypirc|pgpass|htpasswd|git-credentials|dockercfg)|_netrc"
    r"|(credentials|secrets?|passwords?|kubeconfig)(\.(json|ya?ml|toml|ini|txt|cfg|conf|properties))?",
    re.IGNORECASE,
)
_SECRET_FOLDERS: Final = frozenset((".aws", ".gnupg", ".kube", ".ssh"))

# Each secret below contains one of these; a text without any need not be searched for them.
_HINTS: Final = (
    "pass", "secret", "token", "key", "credential", "://",
    "akia", "aiza", "eyj", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "sk-", "xox",
)  # fmt: skip
_SECRET: Final = re.compile(
    # A name that says so, given a literal value …
    r"""(passw(or)?d|passphrase|secret|token|(api|access|private)_?key|credentials?)\w*["']?\]?\s*"""
    r"""(:\s*\w+\s*)?(:|=>?)\s*["'`][^"'`\s]{8,}["'`]"""
    # … or a value that says it by its form: keys of well-known services, key files, passwords in addresses.
    r"|-----(BEGIN|END) [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA[0-9A-Z]{16}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)"
    r"|://[^\s/:@'\"]+:[^\s/@'\"{}$<>%]+@",
    re.IGNORECASE,
)


def may_show_document(uri: str) -> bool:
    """Whether the document is one that a person works on, and not one that holds secrets."""
    parts = urlsplit(uri)
    path = PurePosixPath(unquote(parts.path).replace("\\", "/"))
    return not (
        parts.scheme in _OTHER_WINDOWS
        or _SECRET_FILE.fullmatch(path.name)
        or _SECRET_FOLDERS.intersection(path.parts)
    )


def showable(lines: Sequence[str]) -> list[str]:
    """Those of `lines` that are neither secrets nor longer than what people write."""
    lines = [line for line in lines if len(line) <= LONGEST_LINE]
    text = "\n".join(lines).lower()
    if not any(hint in text for hint in _HINTS):
        return lines
    return [line for line in lines if not _SECRET.search(line)]
