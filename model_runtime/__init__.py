"""Runs code models on the user's own machine.

    import asyncio
    from model_runtime import CompletionRequest, open_backend

    async def main() -> None:
        backend = open_backend()
        async for chunk in backend.complete(CompletionRequest(prefix="def add(a, b):\n    ")):
            print(chunk.text, end="", flush=True)
        await backend.close()

    asyncio.run(main())

Importing this package imports no torch; opening a backend does, when it loads, in its own thread.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from model_runtime.api import (
    Backend,
    BackendClosed,
    BackendError,
    Bandwidth,
    Chunk,
    CompletionRequest,
    ContextSpeed,
    CorruptCheckpoint,
    Device,
    DeviceUnavailable,
    Dtype,
    Evaluation,
    FinishReason,
    InvalidRequest,
    LoadProgress,
    ModelEntry,
    ModelInfo,
    ModelNotFound,
    ModelOptions,
    OutOfMemory,
    PullProgress,
    Snippet,
    Speed,
    Suite,
    UnsupportedModel,
    Usage,
    Verification,
)

__all__ = [
    "Backend",
    "BackendClosed",
    "BackendError",
    "Bandwidth",
    "Chunk",
    "CompletionRequest",
    "ContextSpeed",
    "CorruptCheckpoint",
    "Device",
    "DeviceUnavailable",
    "Dtype",
    "Evaluation",
    "FinishReason",
    "InvalidRequest",
    "LoadProgress",
    "ModelEntry",
    "ModelInfo",
    "ModelNotFound",
    "ModelOptions",
    "OutOfMemory",
    "PullProgress",
    "Snippet",
    "Speed",
    "Suite",
    "UnsupportedModel",
    "Usage",
    "Verification",
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
    """Open a model: the default one, or what `options` name. Returns at once; loading comes with use."""
    from model_runtime.backend import LocalBackend  # imports no torch until it loads

    return LocalBackend(options or ModelOptions())


def data_folder() -> Path:
    """Where fimble keeps its data on this machine; it need not exist yet."""
    from model_runtime.folders import default_data_folder

    return default_data_folder()


def models_folder() -> Path:
    """Where pulled models are kept on this machine."""
    from model_runtime.models import default_models_folder

    return default_models_folder()


def list_models() -> list[ModelEntry]:
    """The models that are known or on this machine, the default one first. Never goes online."""
    from model_runtime.models import list_models

    return list_models(models_folder())


def pull_model(name: str, progress: PullProgress | None = None) -> Path:
    """Download a known model, or a repository of the hub, and return its folder.

    An interrupted download is gone on with; a model that is here already is only checked.

    Raises:
        BackendError: the message says why it cannot be had, and what to do.
    """
    from model_runtime.models import pull

    return pull(name, models_folder(), progress)


def convert(
    source: Path,
    target: Path,
    *,
    to: Literal["gptj", "hf"],
    mp_num: int | None = None,
    progress: LoadProgress | None = None,
) -> None:
    """Write the checkpoint `source` as a new folder `target` in another layout.

    Args:
        source: a checkpoint's folder, or a GGUF file.
        target: a folder that does not exist, or is empty; nothing is left there if the conversion fails.
        to: `gptj` makes a CodeGen checkpoint a plain GPT-J one; `hf` writes any checkpoint, int8 and GGUF
            too, in its family's own layout, as transformers saves it.
        mp_num: into how many groups a CodeGen checkpoint divides its attention; None: as its shape tells.
        progress: is told how far it is.

    Raises:
        BackendError: the message says what is wrong with either, and what to do.
    """
    from model_runtime.checkpoints import convert_to_gptj, convert_to_plain

    if to == "gptj":
        convert_to_gptj(source, target, mp_num=mp_num, progress=progress)
    elif mp_num is not None:
        raise InvalidRequest("mp_num belongs to the conversion to gptj: leave it out")
    else:
        convert_to_plain(source, target, progress=progress)


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
    """Compare our decoder with transformers' own model of the same checkpoint, part by part.

    Args:
        source: a checkpoint's folder, or a name that `list_models` gives.
        device: where both compute.
        dtype: what both compute with.
        text: what they read; None for a piece of Python.
        max_tokens: of the text, at most.
        tolerance: the largest relative difference that passes; None for what `dtype` explains.
        progress: is told how far it is.

    Raises:
        BackendError: they cannot be compared; the message says why and what to do.
    """
    from model_runtime.checkpoints import verify_checkpoint
    from model_runtime.hardware import memory_errors, resolve_device, resolve_dtype
    from model_runtime.models import resolve

    place = resolve_device(device)
    with memory_errors():
        return verify_checkpoint(
            resolve(source, models_folder()),
            device=place,
            dtype=resolve_dtype(dtype, place),
            text=text,
            max_tokens=max_tokens,
            tolerance=tolerance,
            progress=progress,
        )


def measure_speed(
    options: ModelOptions | None = None, *, quick: bool = False, progress: LoadProgress | None = None
) -> Speed:
    """Measure what this machine does with a model: bandwidth, prefill and decoding by context length.

    Args:
        options: which model; None for the default one. It is opened for this, and let go.
        quick: fewer rounds, at fewer context lengths.
        progress: is told how far it is, and the figures as they come.

    Raises:
        BackendError: the model cannot be used; the message says why and what to do.
    """
    from model_runtime.backend import sleep_when_waiting
    from model_runtime.models import resolve

    options = options or ModelOptions()
    resolve(options.model, models_folder())  # what is not there is said before torch takes its time
    sleep_when_waiting(os.environ)
    from model_runtime.engine import measure_speed

    return measure_speed(options, quick=quick, progress=progress or _silent)


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
    """Let models complete code with gaps, and score how often they write what belongs there.

    Answers are stored in the data folder, in one file for each model; an interrupted evaluation is resumed.

    Args:
        models: all are given the same tasks.
        suites: which tasks.
        held_out: the `heldout.jsonl` of a corpus; only line suites need it.
        sample: how many tasks of each suite; None for all, and for a thousand of each line suite.
        seed: of the sample.
        run_tests: run the completed programs with their tests, in child processes with limits.
        fresh: discard stored answers first.
        progress: called with the share that is done.
        open_backend: opens each model.

    Raises:
        BackendError: a model cannot be used, or a suite has no tasks; the message says what to do.
    """
    from model_runtime.evaluation import Answers, EvaluatedModel, Plan, evaluate, model_key
    from model_runtime.models import resolve

    evaluated = []
    for options in models:
        key = model_key(resolve(options.model, models_folder()), options)
        path = data_folder() / "evaluation" / f"{key}.jsonl"
        if fresh:
            path.unlink(missing_ok=True)
        evaluated.append(EvaluatedModel(open_backend(options), Answers(path)))
    plan = Plan(tuple(suites), held_out, sample, seed, run_tests)
    return evaluate(plan, evaluated, progress or _silent)


def _silent(share: float, what: str) -> None:
    """For who does not want to know."""
