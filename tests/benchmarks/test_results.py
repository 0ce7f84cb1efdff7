"""The comparison with others: what is kept of a run, and what docs/speed.md shows of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.results import (
    BEGIN,
    END,
    PAGE,
    TARGETS,
    Measured,
    Results,
    all_tables,
    markdown,
    newest,
    refreshed,
    speedups,
)


def measured(name: str, threads: int, prefill: float, token: float, typed: float | None = 5.0) -> Measured:
    rounds = {"prefill_ms": [prefill], "token_ms": [token]}
    rows, share = (1.3, 0.55) if name == "fimble int8" else (None, None)
    return Measured(name, threads, prefill, token, typed, rows, share, rounds)


RESULTS = Results(
    date="2026-01-31T12:30:00+00:00",
    commit="abc1234",
    command="python -m benchmarks.peers",
    machine={"processor": "A Processor", "cores": 2, "instructions": ["avx2"], "system": "Linux 6"},
    versions={"torch": "2.13.0"},
    model={"name": "small", "parameters": 41_700_000, "shape": "GPTBigCode, 12 × 512"},
    protocol={"rounds": 5, "prompt_tokens": 512, "decode_tokens": 64},
    measured=(
        measured("fimble int8", 1, 400.0, 8.0),
        measured("fimble int8", 2, 250.0, 7.0),
        measured("fimble fp32", 1, 800.0, 20.0),
        measured("CTranslate2 int8", 1, 500.0, 12.0, None),
        measured("CTranslate2 int8", 2, 240.0, 14.0, None),
    ),
    skipped={"llama.cpp": "skipped: give --llama-server"},
    agreement={"fimble fp32": 16},
    noise={"others_percent": 3.2},
)


def test_the_documentation_shows_the_newest_result() -> None:
    found = newest()
    assert found, "there is no result: python -m benchmarks.peers"
    page = PAGE.read_text(encoding="utf-8")
    assert page == refreshed(page, all_tables(found)), "python -m benchmarks.peers --docs"


@pytest.mark.parametrize("found", newest(), ids=lambda results: results.model["name"])
def test_the_newest_results_name_what_they_were_measured_on(found: Results) -> None:
    assert found.machine["processor"]
    assert found.machine["cores"] >= 1
    assert found.commit != "unknown"
    assert {each.name for each in found.measured} >= {"fimble int8", "transformers fp32"}
    assert all(number == 16 for number in found.agreement.values())
    for each in found.measured:
        assert len(each.rounds["prefill_ms"]) == found.protocol["rounds"]
        assert "/" not in found.command.replace(" / ", "")


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = RESULTS.write(tmp_path)
    assert path.name == "peers-20260131T123000-abc1234.json"
    assert markdown(Results.read(path)) == markdown(RESULTS)
    assert json.loads(path.read_text(encoding="utf-8"))["measured"][0]["rounds"]["token_ms"] == [8.0]


def test_the_newest_file_is_that_of_the_latest_date(tmp_path: Path) -> None:
    late = replace(RESULTS, date="2026-02-01T00:00:00+00:00")
    large = replace(RESULTS, commit="abc1235", model={**RESULTS.model, "name": "large", "parameters": 10**9})
    for results in (large, late, RESULTS):
        results.write(tmp_path)
    assert newest(tmp_path) == [late, large]
    assert newest(tmp_path / "gone") == []


def test_the_table_compares_and_says_whether_targets_are_hit() -> None:
    lines = markdown(RESULTS).splitlines()
    assert lines[0].startswith("| 1 / 2 threads | prefill 512, ms |")
    assert "| **fimble int8** | 400 / 250 | 1.00 / 1.00 | 8.0 / 7.0 | 1.00 / 1.00 | 5.0 / 5.0 |" in lines
    assert "| fimble fp32 | 800 / – | 2.00 / – | 20.0 / – | 2.50 / – | 5.0 / – |" in lines
    assert "| CTranslate2 int8 | 500 / 240 | 1.25 / 0.96 | 12.0 / 14.0 | 1.50 / 2.00 | – |" in lines
    assert "| llama.cpp | skipped: give --llama-server | | | | |" in lines
    assert "| fimble int8: prefill ≥ 1× CTranslate2 int8 | 1.25× hit | 0.96× missed |" in lines
    assert "| fimble int8: a token ≥ 1.6× CTranslate2 int8 | 1.50× missed | 2.00× hit |" in lines
    assert not [line for line in lines if "× llama.cpp" in line]  # not measured
    assert "| fimble int8: 4 rows ≤ 1.4× the time of 1 | 1.30× hit | 1.30× hit |" in lines
    assert "| fimble int8: ≥ 60% of the memory bandwidth | 55% missed | 55% missed |" in lines
    assert "commit abc1234, 2026-01-31" in lines[-1]
    assert "others used 3 % of the processor" in lines[-1]
    assert "noisy" not in lines[-1]
    assert "noisy: measure again" in markdown(replace(RESULTS, noise={"others_percent": 60.0}))


def test_a_speedup_is_how_many_times_as_long_the_peer_takes() -> None:
    [target] = [target for target in TARGETS if (target.measure, target.times) == ("token_ms", 1.6)]
    assert dict(speedups(RESULTS, target)) == {1: 1.5, 2: 2.0}


def test_a_table_is_put_between_the_markers_and_nowhere_else() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter {BEGIN}\n"
    assert refreshed(readme, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter {BEGIN}\n"
    with pytest.raises(ValueError, match="no <!-- peers:begin"):
        refreshed("no markers", "new\n")
