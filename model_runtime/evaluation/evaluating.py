"""Asks models for what was taken away, and says how often they knew.

`fimble eval` ▶ the package's door ▶ **evaluating** ▶ {tasks, answers, scoring, running}. Models are asked as
editors ask them, so that what is measured is what is shipped: int8, prompts, healing and all.
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
from model_runtime.evaluation.baseline import commonest, copied
from model_runtime.evaluation.running import runs_through
from model_runtime.evaluation.scoring import first_line, score
from model_runtime.evaluation.tasks import KINDS, Task, read_tasks


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Attributes:
        suites: which, in the order of the table.
        held_out: the recipe's `heldout.jsonl`, which kinds of lines are drawn from.
        sample: how many tasks of each suite; None for all, of lines a thousand of each kind.
        seed: of what is drawn.
        run_tests: whether programs that a model has completed are run.
    """

    suites: tuple[Suite, ...]
    held_out: Path | None = None
    sample: int | None = None
    seed: int = 0
    run_tests: bool = False


@dataclass(frozen=True)
class Contestant:
    """A model that answers, and where its answers are kept."""

    backend: Backend
    answers: Answers


def evaluate(plan: Plan, contestants: Sequence[Contestant], progress: LoadProgress) -> Evaluation:
    """Ask every contestant all tasks. What was answered before is not asked again.

    Raises:
        BackendError: a model cannot be used, or the plan asks for what is not there.
    """
    asked = [_tasks(plan, suite) for suite in plan.suites]
    everything = sum(len(tasks) for tasks, _ in asked) * len(contestants)
    done = 0

    def step(suite: str) -> None:
        nonlocal done
        done += 1
        progress(done / everything, f"{suite}: {done:,} of {everything:,}")

    models, texts = [], []
    for contestant in contestants:
        model, theirs = asyncio.run(_ask(contestant, [tasks for tasks, _ in asked], step))
        models.append(model)
        texts.append(theirs)
    names = _distinct([model.name for model in models])
    suites = []
    for number, (suite, (tasks, total)) in enumerate(zip(plan.suites, asked, strict=True)):
        progress(1.0, f"{suite}: running programs" if plan.run_tests else suite)
        scores = {
            name: score(tasks, theirs[number], _passes(plan, tasks, contestant.answers))
            for name, theirs, contestant in zip(names, texts, contestants, strict=True)
        }
        floor = commonest(first_line(task.answer) for task in tasks)
        suites.append(SuiteScores(suite, len(tasks), total, {**scores, **_modelless(tasks, floor)}, floor))
    return Evaluation(tuple(models), plan.seed, tuple(suites))


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


async def _ask(
    contestant: Contestant, suites: Sequence[Sequence[Task]], step: Callable[[str], None]
) -> tuple[ModelInfo, list[list[str]]]:
    """What a model is, and what it answers to each task; it is let go at the end."""
    try:
        model = await contestant.backend.load()
        answered = []
        for tasks in suites:
            texts = []
            for task in tasks:
                texts.append(await _answer(contestant, task))
                step(task.suite)
            answered.append(texts)
        return model, answered
    finally:
        await contestant.backend.close()


async def _answer(contestant: Contestant, task: Task) -> str:
    text = contestant.answers.text(task)
    if text is None:
        text = await write(contestant.backend, task.prefix, task.suffix, task.max_tokens)
        contestant.answers.add_text(task, text)
    return text


async def write(backend: Backend, prefix: str, suffix: str, max_tokens: int) -> str:
    """What a model writes between two texts, to its end."""
    request = CompletionRequest(prefix, suffix, language="python", max_tokens=max_tokens)
    async with aclosing(backend.complete(request)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


def _passes(plan: Plan, tasks: Sequence[Task], answers: Answers) -> Callable[[str], bool] | None:
    """How programs are judged; those that were run before are not run again."""
    if not plan.run_tests or not tasks[0].tests:
        return None

    def passes(program: str) -> bool:
        passed = answers.passed(program)
        if passed is None:
            passed = runs_through(program)
            answers.add_passed(program, passed)
        return passed

    return passes


def _modelless(tasks: Sequence[Task], floor: str) -> dict[str, Score]:
    """What is reached without any model. Nothing is run: a line by itself seldom passes."""
    return {
        "floor": score(tasks, [floor] * len(tasks), None),
        "copies": score(tasks, [copied(task.prefix, task.suffix) for task in tasks], None),
    }


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that differ: a second `default` becomes `default (2)`."""
    seen: list[str] = []
    for name in names:
        number = sum(other == name or other.startswith(f"{name} (") for other in seen) + 1
        seen.append(name if number == 1 else f"{name} ({number})")
    return seen
