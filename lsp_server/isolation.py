"""Keeps modules in the current folder from being imported, in this process and in Python child processes.

The user's folder may contain a `json.py` or a `torch.py`, which must not be executed. While this module is
imported, the current folder may still be on `sys.path`, so it only imports modules that every interpreter has
already loaded at startup.
"""

import os
import sys


def import_path() -> list[str]:
    """`sys.path` without the current folder, unless fimble itself is imported from there."""
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # the folder was deleted
        here = ""
    ours = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir))  # noqa: PTH118, PTH120
    others = [entry for entry in sys.path if os.path.isabs(entry) and os.path.realpath(entry) != here]  # noqa: PTH117
    return [ours, *others] if ours == here else others


def isolated_python(code: str, *arguments: str) -> list[str]:
    """The command that runs `code` in a child interpreter with the same import path as this one.

    Python imports modules before it runs `code`; for example, 3.13 imports `linecache` for ``-c``. ``-I``
    keeps it from importing them from the current folder, but also ignores the variables ``PYTHON*`` and the
    user's site-packages. So `sys.path` is passed on explicitly.
    """
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {import_path()!a}\n{code}", *arguments]
