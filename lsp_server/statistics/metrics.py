"""Counts what happens to completions, by day, model and language, on this machine only.

The server and the completion sessions report events here. Neither code nor file names nor times of day are
written; `fimble stats` shows all there is.

Counting costs the event loop microseconds. A separate thread writes the counts a few seconds later; if they
can't be written, the log says so once and completions go on.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Final, Literal

from lsp_server.statistics.store import Count, CountsLocked, CountStore, CountsUnusable
from model_runtime.api import Usage

KeptAfter = Literal[30, 90, 180]
KEPT_AFTER: Final[tuple[KeptAfter, ...]] = (30, 90, 180)
"""Seconds after which we look how much of an accepted completion is still there."""

MIN_SEEN_SECONDS: Final = 0.5
"""A completion that was on the screen for less was not rejected: the user hasn't read it."""

BATCH_SECONDS: Final = 5.0
LATENCY_STEP: Final = 1.1
"""Latencies are counted in classes, each this factor wider than the one before: exact to 5 %."""

_MAX_LATENCY_CLASS: Final = 120  # a minute and a half
_MAX_PENDING: Final = 64  # completions that were neither accepted nor dismissed yet
_LANGUAGE: Final = re.compile(r"[a-z0-9+#-]{1,24}", re.ASCII)

_log = logging.getLogger(__name__)


@dataclass
class _Shown:
    """A completion that the user sees, or saw; `accepted` UTF-16 units of its `length` so far."""

    model: str
    language: str
    length: int
    at: float
    accepted: int = 0


class Metrics:
    """Counts the completions of one process. Call it from the event loop's thread only.

    Args:
        store: where the counts are written; None counts nothing.
        clock: a monotonic clock, in seconds.
        today: returns the current day.

    `enabled` is the user's setting; while it is False, nothing is counted.
    """

    def __init__(
        self,
        store: CountStore | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = date.today,
    ) -> None:
        self.enabled = True
        self._writer = None if store is None else _Writer(store, today)
        self._clock = clock
        self._today = today
        self._shown: dict[str, _Shown] = {}

    def answered(
        self,
        *,
        model: str,
        language: str,
        source: Literal["memory", "model"],
        milliseconds: float,
        usage: Usage | None = None,
    ) -> None:
        """A request was answered with text `milliseconds` after its key; `usage` is its cost, if known."""
        self._count(model, language, "answered")
        self._count(model, language, "latency", bucket=latency_class(milliseconds))
        if source == "memory":
            self._count(model, language, "from_memory")
        if usage is not None:
            self._count(model, language, "computed")
            self._count(model, language, "prefilled", usage.prompt_tokens - usage.reused_tokens)
            self._count(model, language, "reused", usage.reused_tokens)
            self._count(model, language, "decoded", usage.decoded_tokens)

    def shown(self, id_: str, *, model: str, language: str, length: int) -> None:
        """The user sees a completion of `length` UTF-16 units.

        Each id counts once, however often it is reported; a completion that has grown has its new length.
        """
        if (known := self._shown.get(id_)) is not None:
            known.length = max(known.length, length)
            return
        self._shown[id_] = _Shown(model, language, length, self._clock())
        while len(self._shown) > _MAX_PENDING:
            del self._shown[next(iter(self._shown))]
        self._count(model, language, "shown")

    def accepted_units(self, id_: str) -> int:
        """How many UTF-16 units of a completion the user has accepted so far."""
        shown = self._shown.get(id_)
        return 0 if shown is None else shown.accepted

    def accepted(self, id_: str) -> None:
        """The user has accepted all of a completion."""
        shown = self._shown.pop(id_, None)
        if shown is not None:
            self._count(shown.model, shown.language, "accepted")
            if shown.accepted:
                self._count(shown.model, shown.language, "partly_accepted", -1)
            self._count(shown.model, shown.language, "saved", shown.length - shown.accepted)

    def partly_accepted(self, id_: str, length: int) -> None:
        """The user has accepted the first `length` UTF-16 units of a completion, maybe more than before."""
        shown = self._shown.get(id_)
        if shown is not None and shown.accepted < (length := min(length, shown.length)):
            if not shown.accepted:
                self._count(shown.model, shown.language, "partly_accepted")
            self._count(shown.model, shown.language, "saved", length - shown.accepted)
            shown.accepted = length

    def dismissed(self, id_: str) -> None:
        """The user has typed something else, or dismissed the completion."""
        shown = self._shown.pop(id_, None)
        if shown is not None and not shown.accepted:
            seen = self._clock() - shown.at >= MIN_SEEN_SECONDS
            self._count(shown.model, shown.language, "dismissed" if seen else "glanced")

    def kept(self, *, model: str, language: str, after: KeptAfter, share: float) -> None:
        """`after` seconds after a completion was accepted, this share of it was still there."""
        self._count(model, language, f"kept_{after}", share)
        self._count(model, language, f"kept_{after}_of")

    def close(self) -> None:
        """Write what is left; takes at most a second."""
        if self._writer is not None:
            self._writer.close()

    def _count(self, model: str, language: str, name: str, amount: float = 1, *, bucket: int = 0) -> None:
        if self.enabled and self._writer is not None:
            day = self._today().isoformat()
            self._writer.add(Count(day, _model_name(model), _language_name(language), name, bucket), amount)


def latency_class(milliseconds: float) -> int:
    """The class of a latency: of those up to ``LATENCY_STEP ** class`` milliseconds."""
    if milliseconds <= 1:
        return 0
    return min(math.ceil(math.log(milliseconds, LATENCY_STEP) - 1e-9), _MAX_LATENCY_CLASS)


def _model_name(model: str) -> str:
    """A model's name without its folders, which may tell something of the user."""
    return (PurePath(model.replace("\\", "/")).name or "unknown")[:80]


def _language_name(language: str) -> str:
    """A language's id, or "other": an editor may send any text as an id, and not all may be written."""
    return language if _LANGUAGE.fullmatch(language) else "other"


class _Writer:
    """Writes counts in batches, in a thread that runs only while there is something to write."""

    def __init__(self, store: CountStore, today: Callable[[], date]) -> None:
        self._store = store
        self._today = today
        self._lock = threading.Lock()  # guards what follows
        self._counts: Counter[Count] = Counter()
        self._thread: threading.Thread | None = None
        self._off = False
        self._warned = False
        self._closing = threading.Event()

    def add(self, count: Count, amount: float) -> None:
        with self._lock:
            if self._off:
                return
            self._counts[count] += amount  # type: ignore[assignment]  # Counter is typed for whole numbers
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout=1)

    def _run(self) -> None:
        while True:
            self._closing.wait(BATCH_SECONDS)
            with self._lock:
                counts, self._counts = self._counts, Counter()
            written = self._write(counts)
            with self._lock:
                if not written and not self._off:
                    self._counts.update(counts)
                if self._closing.is_set() or not self._counts or self._off:
                    self._thread = None
                    return

    def _write(self, counts: Counter[Count]) -> bool:
        try:
            self._store.add(counts, self._today())
        except CountsLocked as error:
            self._warn("metrics wait: %s", error)
            return False
        except CountsUnusable as error:
            self._warn("metrics are off: %s", error)
        except Exception:  # completions must go on, whatever it is
            _log.exception("metrics are off")
        else:
            return True
        with self._lock:
            self._off = True
        return False

    def _warn(self, message: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(message, error)
