"""The SQLite file with the counts that `Metrics` adds to and `fimble stats` reads.

It holds days, models, languages and numbers: no code, no file names, no time of day. The numbers are sums, so
several servers can add to them at once.

Each call opens and closes its own connection. So the file may be deleted, moved or repaired while a server
runs, and the last one to close it leaves a single file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

FILE_NAME: Final = "metrics.db"
KEPT_DAYS: Final = 180

BUSY_SECONDS: Final = 2.0
"""How long to wait while another server writes, which takes milliseconds."""

MIGRATIONS: Final = (
    """
    CREATE TABLE counts (
        day TEXT NOT NULL, model TEXT NOT NULL, language TEXT NOT NULL,
        name TEXT NOT NULL, bucket INTEGER NOT NULL, amount REAL NOT NULL,
        PRIMARY KEY (day, model, language, name, bucket)
    ) WITHOUT ROWID
    """,
)
"""The statement that leads from each version of the file to the next; `user_version` is the file's."""

_ADD: Final = """
INSERT INTO counts (day, model, language, name, bucket, amount) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount
"""


class Count(NamedTuple):
    """What is counted: day (ISO), model, language and name; `bucket` is the class within a histogram."""

    day: str
    model: str
    language: str
    name: str
    bucket: int = 0


class CountsLocked(Exception):
    """Somebody else holds the file for long; what was to be written can be written later."""


class CountsUnusable(Exception):
    """The file cannot be used; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class CountStore:
    """The counts in the file `path`, which need not exist. Any number of processes may use it at once."""

    path: Path

    def add(self, counts: Mapping[Count, float], today: date) -> None:
        """Add `counts`, all or none of them, and drop what is older than `KEPT_DAYS`.

        A file that is damaged is moved aside, and a new one begun.

        Raises:
            CountsLocked: try again later.
            CountsUnusable: trying again will not help.
        """
        try:
            self._add(counts, today)
        except _Damaged:
            with self._errors():
                for ending in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
                self.path.replace(self.path.with_suffix(".damaged"))
            self._add(counts, today)

    def read(self, since: date | None = None) -> dict[Count, float]:
        """All counts, or those from the day `since` on; nothing where there is no file.

        Raises:
            CountsLocked, CountsUnusable: as for `add`; a damaged file is unusable.
        """
        if not self._exists():
            return {}
        query = (
            "SELECT day, model, language, name, bucket, amount FROM counts WHERE day >= ? ORDER BY 1, 2, 3"
        )
        with self._errors(), closing(self._open_to_read()) as connection:
            if _version(connection, self.path) == 0:
                return {}
            rows = connection.execute(query, ("" if since is None else since.isoformat(),)).fetchall()
        return {Count(*row[:-1]): row[-1] for row in rows}

    def clear(self) -> None:
        """Delete everything, also from the file's free space.

        Raises:
            CountsLocked, CountsUnusable: as for `add`.
        """
        if not self._exists():
            return
        try:
            with self._errors(), closing(self._open()) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("DELETE FROM counts")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except _Damaged:
            with self._errors():
                self.path.unlink()

    def _exists(self) -> bool:
        with self._errors():
            return self.path.exists()

    def _add(self, counts: Mapping[Count, float], today: date) -> None:
        oldest = (today - timedelta(days=KEPT_DAYS)).isoformat()
        with self._errors(), closing(self._open()) as connection, _transaction(connection):
            connection.execute("DELETE FROM counts WHERE day < ?", (oldest,))
            connection.executemany(_ADD, [(*count, amount) for count, amount in counts.items()])

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)  # readable for this user only
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")  # readers block nobody
            connection.execute("PRAGMA synchronous = NORMAL")
            if _version(connection, self.path) < len(MIGRATIONS):
                _migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        """Open the file, even if it or its folder is read-only."""
        for how in ("mode=ro", "immutable=1"):
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS
            )
            try:
                connection.execute("PRAGMA schema_version")
            except sqlite3.OperationalError as failure:
                connection.close()
                error = failure
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise CountsLocked(f"another program has locked {self.path}") from error
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # the subclasses are our bugs
                raise
            raise _Damaged(
                f"{self.path} is damaged, or not a file of fimble's: `fimble stats --clear` starts a new one"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> CountsUnusable:
        reason = getattr(error, "strerror", None) or error
        return CountsUnusable(f"{self.path} cannot be used ({reason}): check that you may write there")


class _Damaged(CountsUnusable):
    """The file is not a database, or no longer one."""


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise CountsUnusable(f"{path} was written by a newer fimble: update this one")
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        for migration in MIGRATIONS[
            _version(connection, path) :
        ]:  # read again: another process may have migrated
            connection.execute(migration)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
