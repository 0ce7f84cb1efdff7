"""Runs an evaluation: models complete the tasks, and their completions are scored.

Models are asked through the same interface as by an editor, so that what is measured is what is shipped: int8
weights, prompt layouts and token healing included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from model_runtime.api import (
    Backend,
    CompletionRequest,
    Evaluation,
    InvalidRequest,
    LoadProgress,
    ModelInfo,
    Score,
    Suite,
    SuiteScores,
)
from model_runtime.evaluation.answers import Answers
from model_runtime.evaluation.baseline import copied, most_common
from model_runtime.evaluation.running import runs_successfully
from model_runtime.evaluation.scoring import first_line, score
from model_runtime.evaluation.tasks import KINDS, Task, read_tasks


@dataclass(frozen=True)
class Plan:
    """What is evaluated.

    Attributes:
        suites: in the order of the results.
        held_out: source files that the line suites are drawn from; see `read_source_files`.
        sample: tasks of each suite; None for all, and for a thousand of each line suite.
        seed: of the sample.
        run_tests: whether completed programs are run against their tests.
    """

    suites: tuple[Suite, ...]
    held_out: Path | None = None
    sample: int | None = None
    seed: int = 0
    run_tests: bool = False


@dataclass(frozen=True)
class EvaluatedModel:
    """A model, and its stored answers."""

    backend: Backend
    answers: Answers


def evaluate(plan: Plan, models: Sequence[EvaluatedModel], progress: LoadProgress) -> Evaluation:
    """Give every model all tasks and score its answers. Answers that are stored are not asked for again.

    Raises:
        BackendError: a model cannot be used, or a suite has no tasks.
    """
    drawn = [_tasks(plan, suite) for suite in plan.suites]
    total = sum(len(tasks) for tasks, _ in drawn) * len(models)
    done = 0

    def step(suite: str) -> None:
        nonlocal done
        done += 1
        progress(done / total, f"{suite}: {done:,} of {total:,}")

    infos, texts = [], []
    for model in models:
        info, answers = asyncio.run(_answers(model, [tasks for tasks, _ in drawn], step))
        infos.append(info)
        texts.append(answers)
    names = _distinct([info.name for info in infos])
    suites = []
    for number, (suite, (tasks, available)) in enumerate(zip(plan.suites, drawn, strict=True)):
        progress(1.0, f"{suite}: running programs" if plan.run_tests else suite)
        scores = {
            name: score(tasks, answers[number], _test_runner(plan, tasks, model.answers))
            for name, answers, model in zip(names, texts, models, strict=True)
        }
        floor = most_common(first_line(task.answer) for task in tasks)
        scores |= _baselines(tasks, floor)
        suites.append(SuiteScores(suite, len(tasks), available, scores, floor))
    return Evaluation(tuple(infos), plan.seed, tuple(suites))


def _tasks(plan: Plan, suite: Suite) -> tuple[list[Task], int]:
    if suite in KINDS and (plan.held_out is None or not plan.held_out.is_file()):
        raise InvalidRequest(
            f"{suite} needs code of held-out packages, and there is no {plan.held_out or 'file of it'}: name "
            "heldout.jsonl, which the recipe's step `corpus` writes"
        )
    try:
        tasks, total = read_tasks(suite, plan.held_out, plan.sample, plan.seed)
    except (ValueError, KeyError, SyntaxError) as error:
        raise InvalidRequest(
            f"{plan.held_out} is not what the recipe's step `corpus` writes: {error}"
        ) from None
    if not tasks:
        raise InvalidRequest(f"{plan.held_out} has nothing for {suite}: name one with more code")
    return tasks, total


async def _answers(
    model: EvaluatedModel, suites: Sequence[Sequence[Task]], step: Callable[[str], None]
) -> tuple[ModelInfo, list[list[str]]]:
    """Load a model, ask it all tasks and close it; returns its answers by suite."""
    try:
        info = await model.backend.load()
        answers = []
        for tasks in suites:
            texts = []
            for task in tasks:
                texts.append(await _answer(model, task))
                step(task.suite)
            answers.append(texts)
        return info, answers
    finally:
        await model.backend.close()


async def _answer(model: EvaluatedModel, task: Task) -> str:
    text = model.answers.text(task)
    if text is None:
        text = await complete(model.backend, task.prefix, task.suffix, task.max_tokens)
        model.answers.add_text(task, text)
    return text


async def complete(backend: Backend, prefix: str, suffix: str, max_tokens: int) -> str:
    """The whole completion of a request for Python code."""
    request = CompletionRequest(prefix, suffix, language="python", max_tokens=max_tokens)
    async with aclosing(backend.complete(request)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


def _test_runner(plan: Plan, tasks: Sequence[Task], answers: Answers) -> Callable[[str], bool] | None:
    """Tells whether a program passes, running those without a stored result; None if nothing is to be run."""
    if not plan.run_tests or not tasks[0].tests:
        return None

    def passes(program: str) -> bool:
        passed = answers.passed(program)
        if passed is None:
            passed = runs_successfully(program)
            answers.add_passed(program, passed)
        return passed

    return passes


def _baselines(tasks: Sequence[Task], floor: str) -> dict[str, Score]:
    """Scores that need no model. Programs are not run: a single line seldom passes."""
    return {
        "floor": score(tasks, [floor] * len(tasks), None),
        "copies": score(tasks, [copied(task.prefix, task.suffix) for task in tasks], None),
    }


def _distinct(names: Sequence[str]) -> list[str]:
    """Make names unique: a second `default` becomes `default (2)`."""
    seen: list[str] = []
    for name in names:
        number = sum(other == name or other.startswith(f"{name} (") for other in seen) + 1
        seen.append(name if number == 1 else f"{name} ({number})")
    return seen
