"""Metrics: what counts as what, that nothing private is written, and that no trouble reaches the editor."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.statistics import store as counts_module
from lsp_server.statistics.figures import Figures, milliseconds, total
from lsp_server.statistics.metrics import MIN_SEEN_SECONDS, Metrics, latency_class
from lsp_server.statistics.store import FILE_NAME, CountStore
from model_runtime.api import Usage

TODAY = date(2026, 11, 23)


class Desk:
    """Metrics with a clock that stands until it is told to go on."""

    def __init__(self, folder: Path) -> None:
        self.store = CountStore(folder / FILE_NAME)
        self.now = 100.0
        self.metrics = Metrics(self.store, clock=lambda: self.now, today=lambda: TODAY)

    def show(self, id_: str, length: int = 10) -> None:
        self.metrics.shown(id_, model="default", language="python", length=length)

    def figures(self) -> Figures:
        """What has been written once all is."""
        self.metrics.close()
        return total(self.store.read())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_completions_are_shown_accepted_dismissed_or_only_glanced_at(desk: Desk) -> None:
    for id_ in ("accepted", "dismissed", "glanced", "open"):
        desk.show(id_)
    desk.metrics.dismissed("glanced")
    desk.now += MIN_SEEN_SECONDS
    desk.metrics.dismissed("dismissed")
    desk.metrics.accepted("accepted")
    figures = desk.figures()
    names = ("shown", "accepted", "dismissed", "glanced", "saved")
    assert [figures.number(name) for name in names] == [4, 1, 1, 1, 10]
    assert figures.acceptance == pytest.approx(1 / 3)


def test_each_completion_counts_once_however_often_an_editor_tells(desk: Desk) -> None:
    for _ in range(3):
        desk.show("one")
    for _ in range(3):
        desk.metrics.accepted("one")
        desk.metrics.dismissed("one")
        desk.metrics.partly_accepted("one", 5)
    desk.metrics.accepted("never shown")
    figures = desk.figures()
    assert [figures.number(name) for name in ("shown", "accepted", "partly_accepted", "dismissed")] == [
        1,
        1,
        0,
        0,
    ]


def test_a_part_that_is_accepted_counts_as_far_as_it_goes(desk: Desk) -> None:
    desk.show("one", length=10)
    for length in (3, 3, 7, 5, 99):
        desk.metrics.partly_accepted("one", length)
    desk.now += 60
    desk.metrics.dismissed("one")
    figures = desk.figures()
    assert [figures.number(name) for name in ("partly_accepted", "saved", "dismissed")] == [1, 10, 0]


def test_a_completion_accepted_word_by_word_and_then_whole_is_an_accepted_one(desk: Desk) -> None:
    desk.show("one", length=10)
    desk.metrics.partly_accepted("one", 4)
    desk.metrics.accepted("one")
    figures = desk.figures()
    assert [figures.number(name) for name in ("accepted", "partly_accepted", "saved")] == [1, 0, 10]


def test_answers_tell_their_latency_source_and_cost(desk: Desk) -> None:
    desk.metrics.answered(model="m", language="python", source="memory", milliseconds=1)
    desk.metrics.answered(
        model="m", language="python", source="model", milliseconds=80, usage=Usage(500, 460, 12)
    )
    figures = desk.figures()
    assert figures.from_memory == 0.5
    assert [figures.tokens(name) for name in ("prefilled", "reused", "decoded")] == [40, 460, 12]
    assert figures.latency(0.5) == 1
    assert figures.latency(0.95) == pytest.approx(80, rel=0.06)


def test_what_is_kept_is_a_mean_share(desk: Desk) -> None:
    for share in (1.0, 0.5):
        desk.metrics.kept(model="m", language="python", after=30, share=share)
    figures = desk.figures()
    assert figures.kept(30) == 0.75
    assert figures.kept(90) is None


@given(st.floats(0.01, 80_000))
def test_a_latency_is_counted_to_about_5_percent(value: float) -> None:
    counted = milliseconds(latency_class(value))
    assert counted == pytest.approx(max(value, 1.0), rel=0.06)


@pytest.mark.parametrize("off", ["setting", "store"])
def test_metrics_that_are_off_write_nothing(tmp_path: Path, off: str) -> None:
    desk = Desk(tmp_path)
    metrics = Metrics(None) if off == "store" else desk.metrics
    metrics.enabled = off != "setting"
    metrics.shown("one", model="m", language="python", length=3)
    metrics.accepted("one")
    metrics.answered(model="m", language="python", source="model", milliseconds=3)
    metrics.close()
    assert list(tmp_path.iterdir()) == []


def test_neither_code_nor_file_names_are_written(desk: Desk) -> None:
    private = ("/home/ada/secret_project/main.py", "def launch_codes():", "C:\\Users\\ada\\models\\default")
    desk.metrics.shown(private[1], model=private[0], language=private[1], length=9)
    desk.metrics.accepted(private[1])
    desk.metrics.shown(private[0], model=private[2], language=private[0], length=9)
    desk.metrics.partly_accepted(private[0], 3)
    desk.metrics.answered(model="m", language="Python/main.py", source="model", milliseconds=9)
    assert desk.figures().number("shown") == 2
    data = b"".join(path.read_bytes() for path in desk.store.path.parent.iterdir())
    for word in (b"ada", b"secret", b"project", b"launch", b"Users", b"/main"):
        assert word not in data


def test_counting_does_not_wait_for_a_file_that_is_locked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(counts_module, "BUSY_SECONDS", 0.02)
    desk.store.add({}, TODAY)
    with closing(sqlite3.connect(desk.store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        desk.show("one")
        desk.metrics.close()
        desk.show("two")
        desk.metrics.close()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    desk.show("three")
    assert desk.figures().number("shown") == 3


def test_metrics_that_cannot_be_written_are_off_after_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    desk = Desk(tmp_path / "file")
    for number in range(3):
        desk.show(str(number))
        desk.metrics.accepted(str(number))
        desk.metrics.close()
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith("metrics are off: ")
    assert "\n" not in record.getMessage()


def test_a_damaged_file_costs_no_new_counts(desk: Desk) -> None:
    desk.store.path.write_bytes(b"garbage " * 999)
    desk.show("one")
    assert desk.figures().number("shown") == 1


def test_no_thread_is_left_when_all_is_written(desk: Desk) -> None:
    desk.show("one")
    desk.metrics.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics"]
