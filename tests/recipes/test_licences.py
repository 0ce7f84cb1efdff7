from __future__ import annotations

from email import message_from_string

import pytest

from recipes.corpus.licences import is_permissive, licence_of


@pytest.mark.parametrize(
    "licence",
    ["MIT", "BSD-3-Clause", "Apache-2.0", "MIT OR Apache-2.0", "Apache-2.0 AND MIT", "ISC License (ISCL)",
     "BSD License", "Python Software Foundation License", "PSF-2.0", "0BSD", "CC0-1.0",
     "The Unlicense", "MIT-0"],
)  # fmt: skip
def test_a_permissive_licence_is_admitted(licence: str) -> None:
    assert is_permissive(licence)


@pytest.mark.parametrize(
    "licence",
    ["", "GPL-3.0-only", "LGPL-2.1-or-later", "MPL-2.0 AND MIT", "MIT AND LGPL-3.0-only", "Proprietary",
     "GNU Affero General Public License v3", "LicenseRef-NVIDIA", "Artistic License", "mitigated"],
)  # fmt: skip
def test_a_restricted_or_unknown_licence_is_not_admitted(licence: str) -> None:
    assert not is_permissive(licence)


def test_the_expression_takes_precedence_over_classifiers_and_these_over_free_text() -> None:
    metadata = "License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License\nLicense: GPL\n"
    assert licence_of(message_from_string(metadata)) == "MIT"
    classified = metadata.split("\n", 1)[1]
    assert licence_of(message_from_string(classified)) == "BSD License"
    assert licence_of(message_from_string("License: Apache 2.0\n")) == "Apache 2.0"


def test_a_licence_text_in_place_of_a_name_is_ignored() -> None:
    assert licence_of(message_from_string(f"License: {'Permission is granted ' * 20}\n")) == ""
