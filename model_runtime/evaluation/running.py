"""Runs what a model wrote, against a task's tests: in a process of its own, for a while, with little memory.

evaluating ▶ **running**. That keeps accidents small: an endless loop, a list that grows, a file in the wrong
place. It is no sandbox against malice, so that nothing is run unless somebody asks for it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 10.0
MEGABYTES = 1024

LAUNCHER = """\
import os, sys
program, word, megabytes, seconds = sys.argv[1:]
sys.argv[1:] = []
try:
    import resource
    limits = {
        resource.RLIMIT_AS: int(megabytes) << 20,
        resource.RLIMIT_CPU: int(float(seconds)) + 1,
        resource.RLIMIT_FSIZE: 1 << 20,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # macOS knows some of them by name only
            pass
except ImportError:  # Windows: the time is limited from outside, memory is not
    pass
with open(program, encoding="utf-8") as file:
    source = file.read()
out, sys.stdout = sys.stdout, open(os.devnull, "w")
exec(compile(source, program, "exec"), {"__name__": "__main__"})
print(word, file=out, flush=True)
"""
"""Says its word once the program has come to its end; a program that leaves early does not."""


def runs_through(program: str, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> bool:
    """Whether a Python program comes to its end without an error, within limits, in a temporary folder."""
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="fimble-eval-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "program.py"
        path.write_text(program, encoding="utf-8", errors="replace")
        arguments = [str(path), word, str(megabytes), str(seconds)]
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", "-c", LAUNCHER, *arguments],
            cwd=folder,
            env={name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            out, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(child)
    return out.decode(errors="replace").strip() == word


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program, and on POSIX all that it started."""
    try:
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
