"""Runs code models on the user's own machine.

    import asyncio
    from model_runtime import CompletionRequest, open_backend

    async def main() -> None:
        backend = open_backend()
        async for chunk in backend.complete(CompletionRequest(prefix="def add(a, b):\n    ")):
            print(chunk.text, end="", flush=True)
        await backend.close()

    asyncio.run(main())

All types are in `model_runtime.api`. Importing this package does not import torch; a backend does so when it
loads a model that needs it, in its own thread.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from model_runtime.api import (
    Backend,
    BackendError,
    Chunk,
    CompletionRequest,
    Device,
    Dtype,
    Evaluation,
    InvalidRequest,
    LoadProgress,
    ModelEntry,
    ModelOptions,
    PullProgress,
    Snippet,
    Speed,
    Suite,
    Verification,
)

__all__ = [
    "Backend",
    "BackendError",
    "Chunk",
    "CompletionRequest",
    "ModelOptions",
    "Snippet",
    "convert",
    "data_folder",
    "evaluate",
    "list_models",
    "measure_speed",
    "models_folder",
    "open_backend",
    "pull_model",
    "verify",
]


def open_backend(options: ModelOptions | None = None) -> Backend:
    """Open the default model, or the one that `options` name. Returns at once; it loads on first use."""
    from model_runtime.backend import LocalBackend  # imports no torch until it loads

    return LocalBackend(options or ModelOptions())


def data_folder() -> Path:
    """The folder for fimble's data on this machine; it need not exist yet."""
    from model_runtime import folders

    return folders.data_folder()


def models_folder() -> Path:
    """The folder for pulled models on this machine; it need not exist yet."""
    from model_runtime import folders

    return folders.models_folder()


def list_models() -> list[ModelEntry]:
    """The models that are known or on this machine, the default one first. Never goes online."""
    from model_runtime import models

    return models.list_models()


def pull_model(name: str, progress: PullProgress | None = None) -> Path:
    """Download a known model, or a repository of the hub, and return its folder.

    An interrupted download is resumed; a model that is already on this machine is only checked. The default
    model is part of the package.

    Raises:
        BackendError: it cannot be downloaded; the message says why and what to do.
    """
    from model_runtime.models import pull

    return pull(name, progress=progress)


def convert(
    source: str,
    target: Path,
    *,
    to: Literal["gptj", "hf"],
    mp_num: int | None = None,
    progress: LoadProgress | None = None,
) -> None:
    """Write the checkpoint `source` into a new folder `target` in another layout.

    Args:
        source: a checkpoint folder, a GGUF file, or a name from `list_models`.
        target: a folder that does not exist, or is empty; nothing is left there if the conversion fails.
        to: `gptj` turns a CodeGen checkpoint into a GPT-J one; `hf` writes any checkpoint, including int8 and
            GGUF, in its family's own layout, as transformers saves it.
        mp_num: the number of groups into which a CodeGen checkpoint divides its attention; None to infer it.
        progress: receives the share done.

    Raises:
        BackendError: the message says what is wrong with source or target, and what to do.
    """
    from model_runtime.models import resolve

    checkpoint = resolve(source)  # a missing model is reported before torch takes its time
    from model_runtime.checkpoints import convert_to_gptj, convert_to_hf

    if to == "gptj":
        convert_to_gptj(checkpoint, target, mp_num=mp_num, progress=progress)
    elif mp_num is not None:
        raise InvalidRequest("mp_num belongs to the conversion to gptj: leave it out")
    else:
        convert_to_hf(checkpoint, target, progress=progress)


def verify(
    source: str,
    *,
    device: Device = "auto",
    dtype: Dtype = "auto",
    text: str | None = None,
    max_tokens: int = 64,
    tolerance: float | None = None,
    progress: LoadProgress | None = None,
) -> Verification:
    """Compare fimble's decoder with transformers' model of the same checkpoint, part by part.

    Args:
        source: a checkpoint folder, or a name from `list_models`.
        device: where both run.
        dtype: the precision of both.
        text: the input; None for a piece of Python.
        max_tokens: the maximum length of the input.
        tolerance: the largest relative difference that passes; None for the rounding error of `dtype`.
        progress: receives the share done.

    Raises:
        BackendError: they cannot be compared; the message says why and what to do.
    """
    from model_runtime.checkpoints import verify_checkpoint
    from model_runtime.hardware import memory_errors, resolve_device, resolve_dtype
    from model_runtime.models import resolve

    resolved = resolve_device(device)
    with memory_errors():
        return verify_checkpoint(
            resolve(source),
            device=resolved,
            dtype=resolve_dtype(dtype, resolved),
            text=text,
            max_tokens=max_tokens,
            tolerance=tolerance,
            progress=progress,
        )


def measure_speed(
    options: ModelOptions | None = None, *, quick: bool = False, progress: LoadProgress | None = None
) -> Speed:
    """Measure a model on this machine: memory bandwidth, prefill and decode by context length.

    Args:
        options: the model, the default one if None. It is opened for this and closed afterwards.
        quick: fewer rounds, at fewer context lengths.
        progress: receives the share done, and the figures as they are measured.

    Raises:
        BackendError: the model cannot be used; the message says why and what to do.
    """
    from model_runtime.backend import limit_openmp_spinning
    from model_runtime.models import resolve

    options = options or ModelOptions()
    resolve(options.model)  # report a missing model before slow imports
    limit_openmp_spinning(os.environ)
    from model_runtime.engine import measure_speed

    return measure_speed(options, quick=quick, progress=progress or _no_progress)


def evaluate(
    models: Sequence[ModelOptions],
    suites: Sequence[Suite],
    *,
    held_out: Path | None = None,
    sample: int | None = None,
    seed: int = 0,
    run_tests: bool = False,
    fresh: bool = False,
    progress: LoadProgress | None = None,
    open_backend: Callable[[ModelOptions], Backend] = open_backend,
) -> Evaluation:
    """Ask models to fill in parts that were removed from known code, and score their answers.

    Answers are kept in the data folder, one file per model, so that an interrupted evaluation resumes. Where
    they can't be kept, that is logged as a warning.

    Args:
        models: the models; all get the same tasks.
        suites: the kinds of tasks.
        held_out: the recipe's `heldout.jsonl`, which only the suites of lines need.
        sample: how many tasks of each suite; None for all, or for 1,000 of a suite of lines.
        seed: for drawing the sample.
        run_tests: run the completed programs' tests, each in a process of its own, within limits.
        fresh: discard earlier answers.
        progress: receives the share done.
        open_backend: opens each model.

    Raises:
        BackendError: a model cannot be used, or the lines are missing; the message says what to do.
    """
    from model_runtime.evaluation import Answers, EvaluatedModel, Plan, evaluate, model_key
    from model_runtime.models import resolve

    evaluated = []
    for options in models:
        key = model_key(resolve(options.model), options)
        answers = Answers(data_folder() / "evaluation" / f"{key}.jsonl", fresh=fresh)
        evaluated.append(EvaluatedModel(open_backend(options), answers))
    plan = Plan(tuple(suites), held_out, sample, seed, run_tests)
    return evaluate(plan, evaluated, progress or _no_progress)


def _no_progress(share: float, what: str) -> None:
    """Stand in for a progress callback."""
