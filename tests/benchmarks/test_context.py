"""The measure of context: its cases are cut where they say, and its halves have no package in common."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.context import Kind, draw_cases, gather, read_packages

HELPERS = "def peel(fruit):\n    return fruit.inside\n\n\ndef slice_up(fruit):\n    return list(fruit)\n"
MAIN = '"""Salads."""\nfrom helpers import peel\n' + "".join(
    f"\n\ndef salad_{number}(apple):\n    # with an apple\n    return peel(apple)\n" for number in range(9)
)


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    records = [
        {"package": package, "path": name, "text": text}
        for package in ("a", "B", "c", "d")
        for name, text in (("helpers.py", HELPERS), ("main.py", MAIN))
    ]
    records.append({"package": "alone", "path": "alone.py", "text": MAIN})
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_the_halves_have_no_package_in_common(held_out: Path) -> None:
    tune, report = (set(read_packages(held_out, half)) for half in ("tune", "report"))
    assert tune | report == {"a", "B", "c", "d"}
    assert not tune & report


@pytest.mark.parametrize("kind", ["finished", "growing"])
def test_a_case_is_the_rest_of_a_line_of_code(held_out: Path, kind: Kind) -> None:
    cases = draw_cases(read_packages(held_out, "both"), kind, 40, random.Random(1))
    assert len(cases) == 40
    for case in cases:
        assert case.path == "main.py"  # the other file uses none of its names
        assert MAIN.startswith(case.prefix + case.answer)
        assert case.suffix == ("" if kind == "growing" else MAIN[len(case.prefix + case.answer) :])
        assert "\n" not in case.answer
        assert case.uses_other == ("peel" in case.answer)
        snippets, _ = gather(case, random.Random(1))
        assert {snippet.path for snippet in snippets} == {"helpers.py"}
