"""Answers are asked for once, scored in two ways, and run only on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_runtime.api import InvalidRequest, ModelOptions, Suite
from model_runtime.evaluation import Answers, EvaluatedModel, Plan, evaluate, model_key
from model_runtime.evaluation.scoring import matches_first_line, matches_whole, score
from model_runtime.evaluation.tasks import Task
from tests.lsp_server.fakes import FakeBackend

TASK = Task("single-line", "1", "def one():\n", "    return 1\n", "\n", "assert one() == 1\n")


def silent(share: float, what: str) -> None:
    assert 0 <= share <= 1
    assert what


def evaluated(path: Path, *pieces: str) -> tuple[EvaluatedModel, FakeBackend]:
    backend = FakeBackend(*pieces)
    return EvaluatedModel(backend, Answers(path)), backend


@pytest.mark.parametrize(
    ("text", "first", "whole"),
    [
        ("    return 1\n", True, True),
        ("    return 1", True, True),
        ("\n    return 1", True, False),
        ("return 1", True, False),
        ("    return 1\n    return 2\n", True, False),
        ("    return 2\n", False, False),
        ("", False, False),
    ],
)
def test_the_first_line_and_the_whole_answer_are_scored_separately(
    text: str, first: bool, whole: bool
) -> None:
    assert (matches_first_line(TASK, text), matches_whole(TASK, text)) == (first, whole)


def test_a_program_that_does_the_same_in_other_words_passes() -> None:
    run: list[str] = []

    def passes(program: str) -> bool:
        run.append(program)
        return "2 - 1" in program

    texts = ["    return 1\n", "    return 2 - 1\n", "    return 2\n"]
    found = score([TASK] * 3, texts, passes)
    assert found.whole == pytest.approx(1 / 3)
    assert found.passed == pytest.approx(2 / 3)
    assert run == [TASK.program(text) for text in texts[1:]], "what stood there is known to pass"


def test_nothing_is_run_unless_requested(tmp_path: Path) -> None:
    model, _ = evaluated(tmp_path / "a.jsonl", "    return 1\n")
    found = evaluate(Plan(("single-line",), sample=2), [model], silent)
    assert found.suites[0].scores["fake"].passed is None
    assert "program" not in (tmp_path / "a.jsonl").read_text()


def test_programs_are_run_on_request_and_only_once(tmp_path: Path) -> None:
    plan = Plan(("single-line",), sample=2, run_tests=True)
    for _ in range(2):
        model, _ = evaluated(tmp_path / "a.jsonl", "    raise SystemExit\n")
        assert evaluate(plan, [model], silent).suites[0].scores["fake"].passed == 0
    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert sum("program" in record for record in records) == 2


def test_a_resumed_evaluation_asks_only_for_missing_answers(tmp_path: Path) -> None:
    first, backend = evaluated(tmp_path / "a.jsonl", "x")
    evaluate(Plan(("single-line",), sample=3), [first], silent)
    assert len(backend.requests) == 3
    (tmp_path / "a.jsonl").open("a").write('{"key": "half a li')
    again, backend = evaluated(tmp_path / "a.jsonl", "y")
    evaluate(Plan(("single-line", "random-span"), sample=3), [again], silent)
    assert len(backend.requests) == 3, "those of the other suite"
    last, backend = evaluated(tmp_path / "a.jsonl", "z")
    evaluate(Plan(("single-line", "random-span"), sample=3), [last], silent)
    assert not backend.requests


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("place", ["file/evaluation/a.jsonl", "folder"])
def test_answers_that_cannot_be_kept_are_counted_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, fresh: bool
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    backend = FakeBackend("    raise SystemExit\n")
    model = EvaluatedModel(backend, Answers(tmp_path / place, fresh=fresh))
    found = evaluate(Plan(("single-line",), sample=2, run_tests=True), [model], silent)
    assert found.suites[0].scores["fake"].passed == 0
    assert len(backend.requests) == 2
    [record] = caplog.records
    assert "answers are not kept" in record.getMessage()


def test_fresh_answers_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    for text in ("x", "y"):
        answers = Answers(tmp_path / "a.jsonl", fresh=True)
        assert answers.text(TASK) is None
        answers.add_text(TASK, text)
    assert Answers(tmp_path / "a.jsonl").text(TASK) == "y"


def test_models_get_the_same_tasks_and_stand_beside_two_baselines(tmp_path: Path) -> None:
    one, first = evaluated(tmp_path / "a.jsonl", "x")
    two, second = evaluated(tmp_path / "b.jsonl", "y")
    found = evaluate(Plan(("single-line", "multi-line"), sample=4), [one, two], silent)
    assert [request.prefix for request in first.requests] == [request.prefix for request in second.requests]
    assert [suite.suite for suite in found.suites] == ["single-line", "multi-line"]
    for suite in found.suites:
        assert list(suite.scores) == ["fake", "fake (2)", "floor", "copies"]
        assert suite.scores["floor"].first_line >= 1 / 4
        assert (suite.tasks, suite.of) == (4, {"single-line": 1033, "multi-line": 5815}[suite.suite])


@pytest.mark.parametrize("suite", ["line-start", "block"])
def test_line_suites_without_source_files_are_refused_with_what_to_do(suite: Suite, tmp_path: Path) -> None:
    model, backend = evaluated(tmp_path / "a.jsonl")
    with pytest.raises(InvalidRequest, match=r"heldout\.jsonl"):
        evaluate(Plan((suite,)), [model], silent)
    with pytest.raises(InvalidRequest, match=r"heldout\.jsonl"):
        evaluate(Plan((suite,), held_out=tmp_path / "none.jsonl"), [model], silent)
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(InvalidRequest, match="not what the recipe"):
        evaluate(Plan((suite,), held_out=tmp_path / "bad.jsonl"), [model], silent)
    assert not backend.requests


def test_another_checkpoint_or_precision_has_answers_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = model_key(tmp_path, ModelOptions())
    assert model_key(tmp_path, ModelOptions()) == first
    assert model_key(tmp_path, ModelOptions(quantize="none")) != first
    assert model_key(tmp_path, ModelOptions(memory_mb=64)) != first
    (tmp_path / "config.json").write_text("{ }")
    assert model_key(tmp_path, ModelOptions()) != first
