"""The list of models: what fits in how many words, and what a narrow terminal shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.cli.models import table
from model_runtime.api import ModelEntry, Obstacle

GB = 10**9


def entry(
    name: str,
    *,
    obstacle: Obstacle | None = None,
    fits: bool | None = True,
    token_ms: float | None = None,
    path: Path | None = None,
) -> ModelEntry:
    return ModelEntry(
        *(name, path, f"acme/{name}", "gpt_bigcode", 10**9, "Llama 2 Community License", True, 14 * GB),
        fits=fits and obstacle is None,
        obstacle=obstacle,
        needs=17_340_000_000,
        free=12_800_000_000,
        token_ms=token_ms,
    )


ENTRIES = [
    entry("default", token_ms=0.2, path=Path("/m")),
    entry("qwen2.5-coder-0.5b", token_ms=41.7),
    entry("deepseek-coder-6.7b", token_ms=238, obstacle="speed"),
    entry("codegen-16b-mono", token_ms=1432, obstacle="memory"),
    entry("starcoder2-3b"),
    entry("my-own", fits=None),
]


def column(lines: list[str], heading: str) -> list[str]:
    start = lines[0].index(heading)
    return [line[start:].split("  ")[0] for line in lines[1:]]


def test_whether_a_model_fits_is_said_with_its_reason() -> None:
    assert column(table(ENTRIES, None), "FITS") == [
        "yes: ~1 ms a token",
        "yes: ~42 ms a token",
        "too slow here: ~240 ms a token",
        "no: needs 17.3 GB, 12.8 GB free",
        "yes",
        "?",
    ]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (60, "NAME FITS HERE"),
        (80, "NAME SIZE FILLS IN FITS HERE"),
        (100, "NAME FAMILY SIZE FILLS IN FITS HERE"),
        (130, "NAME FAMILY SIZE LICENCE FILLS IN FITS HERE"),
        (160, "NAME FAMILY SIZE LICENCE FILLS IN FITS HERE"),
        (None, "NAME FAMILY SIZE LICENCE FILLS IN FITS HERE"),
    ],
)
def test_a_terminal_shows_as_many_columns_as_it_has_room_for(width: int | None, headings: str) -> None:
    lines = table(ENTRIES, width)
    assert lines[0].split() == headings.split()
    assert width is None or max(map(len, lines)) <= width
    assert column(lines, "HERE") == ["yes", "no", "no", "no", "no", "no"]


def test_a_long_name_is_never_cut() -> None:
    name = "acme/" + "x" * 70
    assert table([entry(name, token_ms=5)], 60)[1] == f"{name}  yes: ~5 ms a token  no"
