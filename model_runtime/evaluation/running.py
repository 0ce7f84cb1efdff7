"""Runs a completed program with its tests in a child process, with limited time and memory.

The limits contain accidents: an endless loop, a growing list, a file written to the wrong place. They are no
sandbox against malice, so nothing is run unless the user asks for it.
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
program, token, megabytes, seconds = sys.argv[1:]
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
        except (ValueError, OSError):  # macOS does not implement all of them
            pass
except ImportError:  # Windows: only the time is limited, by the parent
    pass
with open(program, encoding="utf-8") as file:
    source = file.read()
out, sys.stdout = sys.stdout, open(os.devnull, "w")
exec(compile(source, program, "exec"), {"__name__": "__main__"})
print(token, file=out, flush=True)
"""
"""Prints the token after the program has ended; one that exits early never gets there."""


def runs_successfully(program: str, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> bool:
    """Whether a Python program runs to its end without an error, within limits, in a temporary folder."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="fimble-eval-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "program.py"
        path.write_text(program, encoding="utf-8", errors="replace")
        arguments = [str(path), token, str(megabytes), str(seconds)]
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
            _kill(child)
    return out.decode(errors="replace").strip() == token


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a program; on POSIX also the processes it started."""
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
