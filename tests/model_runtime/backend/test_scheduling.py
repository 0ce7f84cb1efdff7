"""The order of jobs, and that every job ends exactly once, whatever happens at the same time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from model_runtime.api import BackendClosed, BackendError, Busy, Chunk, CompletionRequest, Usage
from model_runtime.backend.scheduling import MAX_WAITING, Item, Job, Scheduler

USAGE = Usage(3, 2, 1)


class FakeEngine:
    """Says its prefix letter by letter; at a "!" it fails, a "." is a step without text.

    `trace` has the session of each step, `at_work` those that have begun and not ended.
    """

    def __init__(self, parallel: int = 2) -> None:
        self.parallel = parallel
        self.trace: list[str] = []
        self.at_work: list[str] = []

    def complete(self, request: CompletionRequest) -> Generator[Chunk, None, None]:
        assert request.session not in self.at_work, "an older completion of the session is still under way"
        assert len(self.at_work) < self.parallel, "there is no slot"
        self.at_work.append(request.session)
        try:
            for letter in request.prefix:
                self.trace.append(request.session)
                if letter == "!":
                    raise ZeroDivisionError("a mistake of ours")
                yield Chunk(letter.strip("."), usage=USAGE)
            self.trace.append(request.session)
            yield Chunk("", "length", USAGE)
        finally:
            self.at_work.remove(request.session)


class Reader:
    """Whoever waits for a job: keeps what it is delivered."""

    def __init__(self, prefix: str, session: str = "") -> None:
        self.items: list[Item] = []
        self.gone = False
        self.job = Job(CompletionRequest(prefix=prefix, session=session), self._take)

    def _take(self, item: Item) -> bool:
        assert not self.ends, "something came after the end"
        self.items.append(item)
        return not self.gone

    @property
    def ends(self) -> list[Item]:
        return [item for item in self.items if isinstance(item, BackendError) or item.finish]

    @property
    def reason(self) -> str | None:
        """The finish reason."""
        [end] = self.ends
        return None if isinstance(end, BackendError) else end.finish

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, Chunk))


def submit(scheduler: Scheduler, prefix: str, session: str = "") -> Reader:
    reader = Reader(prefix, session)
    scheduler.submit(reader.job)
    return reader


def run(scheduler: Scheduler, engine: FakeEngine) -> None:
    while scheduler.step(engine):
        pass


def test_chunks_without_text_or_finish_are_not_delivered() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    reader = submit(scheduler, ".a.b")
    run(scheduler, engine)
    assert reader.items == [Chunk("a", usage=USAGE), Chunk("b", usage=USAGE), Chunk("", "length", USAGE)]


def test_sessions_take_turns_step_by_step() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=3)
    readers = [submit(scheduler, "xy", session) for session in "abc"]
    run(scheduler, engine)
    assert "".join(engine.trace) == "abc" * 3
    assert [reader.text for reader in readers] == ["xy"] * 3


def test_with_fewer_slots_than_sessions_the_first_come_first() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=2)
    for session in "abc":
        submit(scheduler, "x", session)
    run(scheduler, engine)
    assert "".join(engine.trace) == "ababcc"


def test_requests_of_no_session_are_answered_one_after_another_beside_the_sessions() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=2)
    readers = [submit(scheduler, "xy"), submit(scheduler, "z"), submit(scheduler, "xyz", "a")]
    run(scheduler, engine)
    assert engine.trace[:6] == ["", "a"] * 3
    assert engine.trace.count("") == 5
    assert [reader.reason for reader in readers] == ["length"] * 3


def test_the_requests_of_a_session_are_answered_one_after_another() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    readers = [submit(scheduler, letters, "s") for letters in ("ab", "c")]
    run(scheduler, engine)
    assert [reader.text for reader in readers] == ["ab", "c"]
    assert [reader.reason for reader in readers] == ["length", "length"]


def test_the_newest_request_of_a_session_begins_where_the_older_ones_are_closed() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    running = submit(scheduler, "a" * 100, "s")
    scheduler.step(engine)
    waiting = submit(scheduler, "b", "s")
    running.job.close()
    waiting.job.close()
    newest = submit(scheduler, "c", "s")
    run(scheduler, engine)
    assert (running.text, waiting.text, newest.text) == ("a", "", "c")
    assert engine.trace == ["s"] * 3


def test_a_session_with_newer_requests_keeps_its_place_in_the_queue() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=1)
    submit(scheduler, "x", "a")
    scheduler.step(engine)
    older = submit(scheduler, "y", "b")
    submit(scheduler, "z", "c")
    older.job.close()
    submit(scheduler, "yy", "b")
    run(scheduler, engine)
    assert "".join(engine.trace) == "aa" + "bbb" + "cc"


def test_closing_frees_the_slot_at_the_next_step() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=1)
    closed = submit(scheduler, "a" * 100, "a")
    scheduler.step(engine)
    never_begun = submit(scheduler, "b", "b")
    next_one = submit(scheduler, "c", "c")
    closed.job.close()
    never_begun.job.close()
    run(scheduler, engine)
    assert engine.trace == ["a", "c", "c"]
    assert (closed.items, never_begun.items, next_one.text) == ([Chunk("a", usage=USAGE)], [], "c")


def test_a_reader_that_is_gone_ends_its_job() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    reader = submit(scheduler, "a" * 100)
    reader.gone = True
    run(scheduler, engine)
    assert reader.items == [Chunk("a", usage=USAGE)]
    assert engine.at_work == []


def test_an_error_ends_one_job_and_no_other() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    broken, sound = submit(scheduler, "a!", "a"), submit(scheduler, "abc", "b")
    run(scheduler, engine)
    [error] = broken.ends
    assert isinstance(error, BackendError)
    assert "ZeroDivisionError: a mistake of ours" in str(error)
    assert sound.text == "abc"


def test_the_queue_is_bounded() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    readers = [submit(scheduler, "a") for _ in range(MAX_WAITING)]
    with pytest.raises(Busy, match=f"{MAX_WAITING} requests are waiting.*try again"):
        submit(scheduler, "a")
    with pytest.raises(Busy):
        submit(scheduler, "a", "some session")
    readers[0].job.close()  # makes room
    submit(scheduler, "a")
    run(scheduler, engine)
    assert all(reader.reason == "length" for reader in readers[1:])


def test_a_waiting_session_can_always_replace_its_request() -> None:
    scheduler = Scheduler()
    older = submit(scheduler, "a", "s")
    for _ in range(MAX_WAITING - 1):
        submit(scheduler, "a")
    older.job.close()
    submit(scheduler, "b", "s")


def test_closing_ends_all_jobs_and_refuses_new_ones() -> None:
    scheduler, engine = Scheduler(), FakeEngine(parallel=1)
    readers = [submit(scheduler, "a" * 100, session) for session in "ab"]
    scheduler.step(engine)
    scheduler.close()
    assert all(isinstance(reader.ends[0], BackendClosed) for reader in readers)
    assert scheduler.wait()  # there is still a slot to be freed
    assert not scheduler.step(engine)
    assert engine.at_work == []
    assert not scheduler.wait()
    with pytest.raises(BackendClosed):
        submit(scheduler, "a")


class Life(RuleBasedStateMachine):
    """Jobs come, are read on or not, run out of time, fail, and are worked at, in any order."""

    readers: Bundle[Reader] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.engine = Scheduler(), FakeEngine()
        self.everyone: list[Reader] = []
        self.closed: set[Reader] = set()
        self.patience: Counter[str] = Counter()

    @rule(target=readers, session=st.sampled_from(["", "a", "b", "c"]), prefix=st.text("x.!", max_size=4))
    def submit(self, session: str, prefix: str) -> Reader:
        reader = submit(self.scheduler, prefix, session)
        assert reader.job.open
        self.everyone.append(reader)
        return reader

    @rule(reader=readers)
    def close(self, reader: Reader) -> None:
        reader.job.close()
        self.closed.add(reader)

    @rule(reader=readers)
    def run_out_of_time(self, reader: Reader) -> None:
        reader.job.finish("deadline")

    @rule(reader=readers)
    def go_away(self, reader: Reader) -> None:
        reader.gone = True
        self.closed.add(reader)

    @rule(times=st.integers(1, 5))
    def step(self, times: int) -> None:
        for _ in range(times):
            before = len(self.engine.trace)
            self.scheduler.step(self.engine)
            turn = self.engine.trace[before:]
            for session in self.engine.at_work:
                self.patience[session] = 0 if session in turn else self.patience[session] + 1
            for session in set(self.patience) - set(self.engine.at_work):
                del self.patience[session]

    @rule()
    def the_model_cannot_be_loaded(self) -> None:
        self.scheduler.fail_all(BackendError("no model"))
        assert all(not reader.job.open for reader in self.everyone)

    @invariant()
    def whoever_is_at_work_has_its_turn_when_all_others_had_theirs(self) -> None:
        assert all(waited < self.engine.parallel for waited in self.patience.values())

    @invariant()
    def nobody_hears_of_two_ends(self) -> None:
        assert all(len(reader.ends) <= 1 for reader in self.everyone)

    def teardown(self) -> None:
        run(self.scheduler, self.engine)
        for reader in self.everyone:
            assert not reader.job.open
            assert len(reader.ends) == 1 or reader in self.closed
        assert self.engine.at_work == []
        self.scheduler.close()
        assert not self.scheduler.wait()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_every_job_ends_once_though_many_threads_end_it() -> None:
    scheduler, engine = Scheduler(), FakeEngine()
    everyone: list[list[Reader]] = [[] for _ in range(4)]
    begin = threading.Barrier(len(everyone) + 1)

    def work() -> None:
        begin.wait(60)
        while scheduler.wait():
            run(scheduler, engine)

    def ask(seed: int) -> None:
        random, mine = Random(seed), everyone[seed]
        begin.wait(60)
        for _ in range(300):
            try:
                mine.append(submit(scheduler, "x" * random.randrange(4), random.choice(["", "a", "b", "c"])))
            except Busy:
                continue
            other = random.choice(mine).job
            meddling: list[Callable[[], object]] = [partial(other.finish, "deadline"), other.close, int]
            random.choice(meddling)()

    worker = threading.Thread(target=work)
    threads = [worker, *(threading.Thread(target=ask, args=(seed,)) for seed in range(len(everyone)))]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(60)
    scheduler.close()
    worker.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert engine.at_work == []
    for reader in (reader for mine in everyone for reader in mine):
        assert not reader.job.open
        assert len(reader.ends) <= 1
