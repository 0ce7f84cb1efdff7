"""Imports that do not depend on the current folder, in this process and in Python child processes.

{__main__, client, commands.doctor} ▶ **isolation**. A folder that a user looks at may hold a `json.py` or a
`torch.py`, which is not ours to run. This module imports nothing that a starting interpreter has not loaded,
since the current folder may still be on `sys.path`.
"""

import os
import sys


def import_path() -> list[str]:
    """`sys.path` without the current folder, which stays only where fimble itself lies in it."""
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # it was deleted
        here = ""
    ours = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir))  # noqa: PTH118, PTH120
    others = [entry for entry in sys.path if os.path.isabs(entry) and os.path.realpath(entry) != here]  # noqa: PTH117
    return [ours, *others] if ours == here else others


def isolated_python(code: str, *arguments: str) -> list[str]:
    """The command that runs `code` in another interpreter, with the imports of this one.

    Python imports modules before `code` runs (3.13 imports `linecache` for ``-c``), so the current folder
    must not be on `sys.path` even then: hence ``-I``. That ignores the variables ``PYTHON*`` and the user's
    own packages as well, so `sys.path` is passed on.
    """
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {import_path()!a}\n{code}", *arguments]
