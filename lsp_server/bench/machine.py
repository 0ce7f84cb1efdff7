"""Describes the machine that a measurement was made on: processor, memory and system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MATRIX_INSTRUCTIONS: Final = (
    *("sse4_2", "f16c", "fma", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "sve", "bf16"),
)
"""Instruction sets that matter for matrix products."""


@dataclass(frozen=True)
class Machine:
    """A machine; what is unknown is None or empty.

    `cores` is the number that this process may use, `memory` is in bytes, `load` is the load average of the
    last minute.
    """

    processor: str
    cores: int
    instructions: tuple[str, ...]
    memory: int | None
    system: str
    python: str
    load: float | None

    def __str__(self) -> str:
        """A line of text."""
        memory = "" if self.memory is None else f", {self.memory / 2**30:.0f} GiB"
        cores = f"{self.cores} core{'s'[: self.cores != 1]}"
        return f"{self.processor}, {cores}{memory}, {self.system}"


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    name, flags = _processor()
    return Machine(
        processor=name or platform.processor() or platform.machine() or "unknown processor",
        cores=_cores(),
        instructions=tuple(flag for flag in _MATRIX_INSTRUCTIONS if flag in flags),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=load(),
    )


def load() -> float | None:
    """The load average of the last minute; None on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cores() -> int:
    if sys.platform != "win32" and sys.platform != "darwin":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> tuple[str, frozenset[str]]:
    """The processor's name and instruction sets."""
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string"), frozenset(
            f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}".lower().split()
        )
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", ""), frozenset()
    facts: dict[str, str] = {}
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "", frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    flags = facts.get("flags", facts.get("features", ""))
    return facts.get("model name", ""), frozenset(flags.split())


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
