"""What the library and the wheel are called on this platform, and the machine they are for."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig

LIBRARY = "fimble_native" + {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
"""No Python's name is in it: it is no extension module."""

SPELLINGS = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def machine_of_python() -> str:
    """The machine this Python is for, as the platform spells it; what it loads has to be for the same."""
    # platform.machine() may be the one below an emulated Python, and knows nothing of cross-builds.
    name = sysconfig.get_platform().rsplit("-", 1)[-1]
    return platform.machine() if name.startswith("universal") else name


def family(machine: str) -> str:
    """One spelling for each: x86_64, aarch64; others as they are."""
    return SPELLINGS.get(machine.lower(), machine.lower())


def macos_target(machine: str) -> str:
    """The oldest macOS that the library is for. From 11 on, the tags of wheels know no minor versions."""
    target = os.environ.get("MACOSX_DEPLOYMENT_TARGET") or ("11.0" if machine == "arm64" else "10.15")
    major, minor, *_ = (*target.split("."), "0")
    return f"{major}.{minor if major == '10' else 0}"


def wheel_tag() -> str:
    """A wheel's tag where only the platform matters."""
    if sys.platform == "darwin":
        machine = machine_of_python()
        name = f"macosx_{macos_target(machine)}_{machine}"
    else:
        name = sysconfig.get_platform()
    return "py3-none-" + name.replace("-", "_").replace(".", "_")
