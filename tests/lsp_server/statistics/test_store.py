"""The file of counts: it adds up, whoever writes, and damage costs no more than counts."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsp_server.statistics import store as counts_module
from lsp_server.statistics.store import (
    FILE_NAME,
    KEPT_DAYS,
    MIGRATIONS,
    Count,
    CountsLocked,
    CountStore,
    CountsUnusable,
)

TODAY = date(2026, 11, 23)
SHOWN = Count("2026-11-23", "default", "python", "shown")


@pytest.fixture
def store(tmp_path: Path) -> CountStore:
    return CountStore(tmp_path / "data" / FILE_NAME)


def test_what_was_never_written_is_empty(store: CountStore) -> None:
    assert store.read() == {}
    store.clear()
    assert not store.path.exists()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(-5, 100)), max_size=5))
def test_batches_add_up(store: CountStore, batches: list[dict[str, int]]) -> None:
    store.clear()
    expected: dict[Count, float] = {}
    for batch in batches:
        store.add({SHOWN._replace(name=name): amount for name, amount in batch.items()}, TODAY)
        for name, amount in batch.items():
            key = SHOWN._replace(name=name)
            expected[key] = expected.get(key, 0) + amount
    assert store.read() == expected


def _write(path: Path, times: int) -> None:
    for _ in range(times):
        CountStore(path).add({SHOWN: 1, SHOWN._replace(name="accepted"): 2}, TODAY)


def test_servers_that_write_at_once_lose_nothing(store: CountStore) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(store.path, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert store.read() == {SHOWN: 80, SHOWN._replace(name="accepted"): 160}


def test_counts_older_than_half_a_year_are_dropped(store: CountStore) -> None:
    old = SHOWN._replace(day=(TODAY - timedelta(days=KEPT_DAYS + 1)).isoformat())
    kept = SHOWN._replace(day=(TODAY - timedelta(days=KEPT_DAYS)).isoformat())
    store.add({old: 1, kept: 1}, TODAY)
    store.add({SHOWN: 1}, TODAY)
    assert set(store.read()) == {kept, SHOWN}
    assert set(store.read(since=TODAY)) == {SHOWN}


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(store: CountStore) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"this is no database " * 100)
    with pytest.raises(CountsUnusable, match="is damaged"):
        store.read()
    store.add({SHOWN: 3}, TODAY)
    assert store.read() == {SHOWN: 3}
    assert store.path.with_suffix(".damaged").read_bytes().startswith(b"this is no database")


def test_a_file_damaged_in_its_middle_is_moved_aside(store: CountStore) -> None:
    store.add({SHOWN._replace(name=f"n{number}"): 1 for number in range(500)}, TODAY)
    data = bytearray(store.path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    store.path.write_bytes(data)
    store.add({SHOWN: 3}, TODAY)
    assert store.read() == {SHOWN: 3}


def test_clearing_a_damaged_file_removes_it(store: CountStore) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"this is no database " * 100)
    store.clear()
    assert store.read() == {}


def test_clearing_leaves_nothing_in_the_file(store: CountStore) -> None:
    store.add({SHOWN._replace(model="MyOwnModel", bucket=number): 1 for number in range(100)}, TODAY)
    store.clear()
    assert store.read() == {}
    assert not any(b"MyOwnModel" in path.read_bytes() for path in store.path.parent.iterdir())


def test_a_file_that_is_locked_for_long_can_be_written_later(
    store: CountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts_module, "BUSY_SECONDS", 0.05)
    store.add({SHOWN: 1}, TODAY)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CountsLocked, match="another program has locked"):
            store.add({SHOWN: 1}, TODAY)
        assert store.read() == {SHOWN: 1}
    store.add({SHOWN: 1}, TODAY)
    assert store.read() == {SHOWN: 2}


def test_a_place_that_cannot_be_written_to_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CountsUnusable, match="check that you may write there"):
        CountStore(tmp_path / "file" / FILE_NAME).add({SHOWN: 1}, TODAY)


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", int)() == 0, reason="nothing is read-only")
def test_a_read_only_folder_can_be_read_but_not_written(store: CountStore) -> None:
    store.add({SHOWN: 1}, TODAY)
    store.path.chmod(0o400)
    store.path.parent.chmod(0o500)
    try:
        with pytest.raises(CountsUnusable):
            store.add({SHOWN: 1}, TODAY)
        assert store.read() == {SHOWN: 1}
    finally:
        store.path.parent.chmod(0o700)


def test_a_file_of_a_newer_fimble_is_left_alone(store: CountStore) -> None:
    store.add({SHOWN: 1}, TODAY)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = store.path.read_bytes()
    for attempt in (store.read, store.clear, lambda: store.add({SHOWN: 1}, TODAY)):
        with pytest.raises(CountsUnusable, match="newer fimble"):
            attempt()
    assert store.path.read_bytes()[100:] == before[100:]  # but for the header's own counters


def test_a_file_of_an_older_fimble_is_brought_up_to_date(
    store: CountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add({SHOWN: 1}, TODAY)
    addition = "ALTER TABLE counts ADD COLUMN note TEXT DEFAULT ''"
    monkeypatch.setattr(counts_module, "MIGRATIONS", (*MIGRATIONS, addition))
    store.add({SHOWN: 1}, TODAY)
    assert store.read() == {SHOWN: 2}
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT note FROM counts").fetchall() == [("",)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_only_its_owner_may_read_the_file(store: CountStore) -> None:
    store.add({SHOWN: 1}, TODAY)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
