"""``fimble doctor``: finds problems with the installation and says how to fix them.

Torch is imported in a child process first, so that a broken installation can't crash the command.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from lsp_server.cli.options import Commands, add_model_options, chosen_settings
from lsp_server.isolation import isolated_python
from lsp_server.model_facts import memory
from model_runtime.api import Backend, BackendError, CompletionRequest, ModelInfo, OpenBackend

_OLDEST, _NEWEST = (3, 10), (3, 13)
_PACKAGES: Final = ("numpy", "safetensors", "tokenizers", "torch")
_PROBE: Final = """
import json, torch
print(json.dumps({
    "version": torch.__version__,
    "threads": torch.get_num_threads(),
    "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    "mps": torch.backends.mps.is_available(),
}))
"""
_PROBE_SECONDS: Final = 120
_SAMPLE: Final = CompletionRequest(prefix="def add(a, b):\n    return ", suffix="\n", max_tokens=8)


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add ``fimble doctor``."""
    parser = commands.add_parser("doctor", help="find problems with the installation, and how to fix them")
    parser.description = (
        "Check Python, the packages, the device and the model. The exit status is 1 if a check fails."
    )
    add_model_options(parser)
    parser.set_defaults(command=_doctor)
    return parser


def _doctor(arguments: argparse.Namespace, open_backend: OpenBackend) -> int:
    from lsp_server.cli.event_loop import run

    async def work() -> bool:
        well = True
        options = chosen_settings(arguments).model_options
        async for finding in examine(open_backend(options), options.memory_mb):
            print(finding, flush=True)
            well = well and finding.status != "fail"
        return well

    return 0 if run(work()) else 1


@dataclass(frozen=True)
class Finding:
    """The result of one check; unless it is ok, `remedy` says what to do."""

    status: Literal["ok", "warn", "fail"]
    subject: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.status:<4}  {self.subject:<12} {self.detail}{remedy}"


async def examine(backend: Backend, memory_mb: int | None) -> AsyncIterator[Finding]:
    """Check everything that completions with `backend` need, slow checks last.

    `memory_mb` is what the backend was opened with.
    """
    yield _python()
    for name in _PACKAGES:
        yield _package(name)
    for finding in await _torch():
        yield finding
    async for finding in _model(backend, memory_mb):
        yield finding


def _python() -> Finding:
    version = platform.python_version()
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return Finding("ok", "python", f"{version} on {platform.system()} {platform.machine()}")
    remedy = f"fimble is tested with {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}; use one of these"
    return Finding("warn", "python", version, remedy)


def _package(name: str) -> Finding:
    from importlib import metadata  # imported here, since it is slow and `fimble serve` must start fast

    try:
        return Finding("ok", name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding("fail", name, "is not installed", "run `pip install fimble` in this environment")


async def _torch() -> list[Finding]:
    try:
        facts = await _probe()
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        remedy = "reinstall it as https://pytorch.org/get-started says for this machine"
        return [Finding("fail", "torch", f"can't be imported ({error})", remedy)]
    devices = ["cpu", *(f"cuda ({name})" for name in facts["cuda"]), *(["mps"] if facts["mps"] else [])]
    threads, cores = facts["threads"], os.cpu_count() or 1
    return [
        Finding("ok", "devices", ", ".join(devices)),
        Finding("ok", "threads", f"{threads} of {cores} cores"),
    ]


async def _probe() -> dict[str, Any]:
    """Import torch in a child process and ask for its version, threads and devices.

    Raises:
        ValueError: torch can't be imported; the message is the last line of standard error.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*isolated_python(_PROBE), stdout=pipe, stderr=pipe)
    try:
        out, errors = await asyncio.wait_for(child.communicate(), _PROBE_SECONDS)
    except asyncio.TimeoutError:
        raise ValueError(f"no answer within {_PROBE_SECONDS} s") from None
    finally:
        if child.returncode is None:  # also after Ctrl-C
            child.kill()
            await child.wait()
    if child.returncode != 0:
        last_lines = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise ValueError("".join(last_lines) or f"exit status {child.returncode}")
    facts: dict[str, Any] = json.loads(out.splitlines()[-1])
    return facts


def _engine(info: ModelInfo) -> Finding:
    if info.native_problem is not None:
        return Finding("warn", "engine", info.engine, info.native_problem)
    asked = info.device == "cpu" and info.engine == "torch"
    return Finding("ok", "engine", f"{info.engine}, for this quantize and dtype" if asked else info.engine)


async def _model(backend: Backend, memory_mb: int | None) -> AsyncIterator[Finding]:
    try:
        started = time.perf_counter()
        info = await backend.load()
        took = time.perf_counter() - started
        size = f"{info.parameters:,} parameters"
        detail = (
            f"{info.name} ({info.family}, {size}) on {info.device} in {info.dtype}, loaded in {took:.1f} s"
        )
        yield Finding("ok", "model", detail)
        yield _engine(info)
        if info.memory is not None:
            limit = "not set" if memory_mb is None else str(memory_mb)
            yield Finding("ok", "memory", f"{memory(info.memory)}; memoryMb {limit}")
        if not info.fill_in_the_middle:
            remedy = "it sees only the text before the cursor; choose one trained to fill in the middle"
            yield Finding("warn", "model", "does not fill in the middle", remedy)
        started = time.perf_counter()
        text = "".join([chunk.text async for chunk in backend.complete(_SAMPLE)])
        took = time.perf_counter() - started
        yield Finding("ok", "completion", f"{text!r} in {took * 1000:.0f} ms")
    except (BackendError, ImportError, OSError) as error:
        yield Finding("fail", "model", str(error))
    await backend.close()  # not after Ctrl-C, since closing waits for a model that is loading
