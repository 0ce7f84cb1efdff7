"""Documents and lines that are never shown to a model: secrets, and text that nobody wrote.

A model repeats what it reads, and what it repeats ends up in another file. So files with secrets are excluded
by name, and lines with secrets wherever they are. Very long lines are data or generated code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from lsp_server.uris import path_of, scheme_of

MAX_LINE_LENGTH: Final = 400
"""In characters; minified code and embedded data have longer lines."""

# URI schemes of windows that nobody edits: old revisions of a file, logs, terminals.
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

# Every secret below contains one of these, so a text without any of them need not be searched.
_HINTS: Final = (
    "pass", "secret", "token", "key", "credential", "://",
    "akia", "aiza", "eyj", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "sk-", "xox",
)  # fmt: skip
_SECRET: Final = re.compile(
    # A telling name with a literal value …
    r"""(passw(or)?d|passphrase|secret|token|(api|access|private)_?key|credentials?)\w*["']?\]?\s*"""
    r"""(:\s*\w+\s*)?(:|=>?)\s*["'`][^"'`\s]{8,}["'`]"""
    # … or a value of a telling form: keys of well-known services, key files, passwords in URLs.
    r"|-----(BEGIN|END) [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA[0-9A-Z]{16}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)"
    r"|://[^\s/:@'\"]+:[^\s/@'\"{}$<>%]+@",
    re.IGNORECASE,
)


def is_excluded(uri: str) -> bool:
    """Whether the document `uri` holds secrets, by its name, or is a window that nobody edits."""
    path = PurePosixPath(path_of(uri).replace("\\", "/"))
    return (
        scheme_of(uri) in _OTHER_WINDOWS
        or _SECRET_FILE.fullmatch(path.name) is not None
        or not _SECRET_FOLDERS.isdisjoint(path.parts)
    )


def allowed_lines(lines: Sequence[str]) -> list[str]:
    """`lines` without those that hold secrets or are longer than people write."""
    lines = [line for line in lines if len(line) <= MAX_LINE_LENGTH]
    text = "\n".join(lines).lower()
    if not any(hint in text for hint in _HINTS):
        return lines
    return [line for line in lines if not _SECRET.search(line)]
