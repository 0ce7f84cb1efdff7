"""The answers of a model so far, in a JSONL file, so that an interrupted evaluation can be resumed.

A line is the answer to a task, or whether a program passed its tests.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_runtime.api import ModelOptions
from model_runtime.evaluation.tasks import Task

_log = logging.getLogger(__name__)


class Answers:
    """The answers of one model.

    Where the file can't be used, that is logged once, and the answers are kept in memory alone.

    Args:
        path: the file; it is created, with its folder, at the first answer.
        fresh: discard what is in it.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path = path
        self._usable = True
        self._texts: dict[str, str] = {}
        self._passed: dict[str, bool] = {}
        with self._file_errors():
            if fresh:
                path.unlink(missing_ok=True)
            elif path.is_file():
                self._read()

    def text(self, task: Task) -> str | None:
        """What the model wrote, or None if it has not been asked yet."""
        return self._texts.get(_key(task))

    def add_text(self, task: Task, text: str) -> None:
        """Store what the model wrote."""
        self._texts[_key(task)] = text
        self._write({"key": _key(task), "suite": task.suite, "name": task.name, "text": text})

    def passed(self, program: str) -> bool | None:
        """Whether a program passed, or None if it has not been run yet."""
        return self._passed.get(_digest(program))

    def add_passed(self, program: str, passed: bool) -> None:
        """Store whether a program passed."""
        self._passed[_digest(program)] = passed
        self._write({"program": _digest(program), "passed": passed})

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8")
        for line in text.splitlines():
            self._take(line)
        if text and not text.endswith("\n"):  # the machine stopped while it was written
            self._path.write_text(text + "\n", encoding="utf-8")

    def _take(self, line: str) -> None:
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:  # a line that was not written completely
            return
        if "program" in record:
            self._passed[record["program"]] = record["passed"]
        else:
            self._texts[record["key"]] = record["text"]

    def _write(self, record: dict[str, Any]) -> None:
        if self._usable:
            with self._file_errors():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as lines:
                    print(json.dumps(record), file=lines)

    @contextmanager
    def _file_errors(self) -> Iterator[None]:
        """An evaluation does without its file where that fails."""
        try:
            yield
        except OSError as error:
            self._usable = False
            why = f"{self._path.parent} can't be used ({error.strerror or error})"
            _log.warning("%s: answers are not kept, and an interrupted evaluation begins anew", why)


def model_key(path: Path, options: ModelOptions) -> str:
    """A file name for a model's answers, which differs if its files or the way it is run differ."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    run_as: list[str] = [options.device, options.dtype, options.quantize]
    if options.memory_mb is not None:  # it can shorten prompts
        run_as.append(str(options.memory_mb))
    return f"{path.name}-{_digest(json.dumps([facts, run_as]))}"


def _key(task: Task) -> str:
    """Identifies a task by its text, so that it is recognized in every sample."""
    return _digest("\0".join((task.suite, task.prefix, task.suffix)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:24]
