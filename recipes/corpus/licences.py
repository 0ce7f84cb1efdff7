"""Licences that the corpus admits, read from a package's own metadata and never guessed.

A package is admitted when every licence that it names is permissive. The first of these that is filled
in decides, as in the core metadata specification (PEP 639 and its predecessors):
``License-Expression``, then the ``License ::`` classifiers, then the free-text ``License``.
"""

from __future__ import annotations

import re
from email.message import Message

PERMISSIVE = re.compile(
    r"\b(MIT(-0|-CMU)?|[0-3]?-?(clause )?BSD|BSD|Apache|ISCL?|PSF|Python Software Foundation"
    r"|0BSD|Unlicense|CC0|Zlib)\b",
    re.IGNORECASE,
)
RESTRICTED = re.compile(
    r"GPL|GNU|MPL|Mozilla|EPL|CDDL|Proprietary|Commercial|Artistic|LicenseRef|Other", re.IGNORECASE
)
MAX_NAME = 60  # characters; a longer free-text field is the licence's text, not its name


def licence_of(metadata: Message) -> str:
    """The licence that a package's metadata names, or "" where it names none."""
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        str(line).rsplit("::", 1)[-1].strip()
        for line in metadata.get_all("Classifier") or []
        if str(line).startswith("License ::") and not str(line).endswith(":: OSI Approved")
    ]
    if classifiers:
        return " AND ".join(classifiers)
    text = str(metadata.get("License") or "").strip()
    return text if len(text) <= MAX_NAME else ""


def is_permissive(licence: str) -> bool:
    """Whether every part of `licence` is on the allow-list; unknown is not permissive."""
    if not licence or RESTRICTED.search(licence):
        return False
    parts = re.split(r"\bAND\b|\bOR\b|,|;|\(|\)", licence)
    return all(PERMISSIVE.search(part) for part in parts if part.strip())
