"""The number of threads: measured, as few as possible, and one while the machine is busy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from model_runtime.hardware.threads import (
    BUSY_SLOWDOWN,
    SINGLE_THREAD_SECONDS,
    TRIAL_SECONDS,
    ThreadTuner,
    cores,
)

Speedup = Callable[[int], float]


class Machine:
    """Passes on it take as long as is said here; each `hiccup`-th takes 10 times as long."""

    def __init__(self, decode: Speedup, prefill: Speedup, seconds: float = 0.002, hiccup: int = 0) -> None:
        self.now, self.threads, self.passes, self.most = 0.0, 0, 0, 0
        self._speedups, self._seconds, self._hiccup = {1: decode}, seconds, hiccup
        self._prefill = prefill

    def set_threads(self, threads: int) -> None:
        self.threads = threads
        self.most = max(self.most, threads)

    def run(self, rows: int) -> None:
        self.passes += 1
        late = 10 if self._hiccup and self.passes % self._hiccup == 0 else 1
        speedup = self._speedups.get(rows, self._prefill)(self.threads)
        self.now += self._seconds * late * (1 + rows / 32) / speedup

    def clock(self) -> float:
        return self.now


def flat(threads: int) -> float:
    return 1.0


def linear(threads: int) -> float:
    return float(threads)


def up_to_4(threads: int) -> float:
    return float(min(threads, 4))


def slightly(threads: int) -> float:
    return 1 + 0.1 * (threads - 1)


def chosen(machine: Machine, most: int) -> ThreadTuner:
    threads = ThreadTuner(machine.set_threads, most, machine.clock)
    threads.tune(machine.run)
    return threads


@pytest.mark.parametrize("hiccup", [0, 5])
@pytest.mark.parametrize(
    ("decode", "prefill", "most", "expected"),
    [
        (flat, flat, 2, (1, 1)),
        (flat, linear, 2, (1, 2)),
        (linear, linear, 6, (6, 6)),
        (up_to_4, linear, 16, (4, 16)),
        (slightly, slightly, 2, (1, 1)),
        (linear, linear, 1, (1, 1)),
    ],
    ids=["no gain", "only prefill", "all of 6", "4 of 16", "too little gain", "one core"],
)
def test_the_fewest_fast_threads_are_chosen(
    decode: Speedup, prefill: Speedup, most: int, expected: tuple[int, int], hiccup: int
) -> None:
    threads = chosen(Machine(decode, prefill, hiccup=hiccup), most)
    assert (threads.decode, threads.prefill) == expected


@pytest.mark.parametrize(("seconds", "limit"), [(0.0005, 0.1), (0.009, 0.7)])
def test_measuring_takes_little_time(seconds: float, limit: float) -> None:
    machine = Machine(flat, flat, seconds)
    chosen(machine, 2)
    assert machine.now < limit


def test_a_slow_model_is_measured_with_few_passes() -> None:
    machine = Machine(flat, flat, seconds=10 * TRIAL_SECONDS)
    chosen(machine, 2)
    assert machine.passes == 2 * (2 + 2 * 2)


def test_decoding_and_prefill_have_their_own_number_of_threads() -> None:
    machine = Machine(flat, linear)
    threads = chosen(machine, 2)
    for rows, expected in ((1, 1), (64, 2), (4, 1), (8, 2)):
        threads.prepare(rows, slowdown=1.0)
        assert machine.threads == expected


def test_on_a_busy_machine_there_is_one_thread_for_a_while() -> None:
    machine = Machine(linear, linear)
    threads = chosen(machine, 2)
    threads.prepare(1, slowdown=1.0)
    assert machine.threads == 2
    threads.prepare(1, slowdown=BUSY_SLOWDOWN + 1)
    assert machine.threads == 1
    machine.now += 0.9 * SINGLE_THREAD_SECONDS
    threads.prepare(1, slowdown=1.0)
    assert machine.threads == 1
    machine.now += 0.2 * SINGLE_THREAD_SECONDS
    threads.prepare(1, slowdown=1.0)
    assert machine.threads == 2


def test_threads_for_prefill_are_retuned_one_pass_at_a_time() -> None:
    busy = True
    machine = Machine(flat, lambda threads: 1.0 if busy else float(threads))
    threads = chosen(machine, 2)
    assert threads.prefill == 1
    busy = False
    before = machine.passes
    for count, _ in enumerate(threads.retune_prefill(machine.run), start=1):
        assert machine.passes == before + count
        threads.prepare(1, slowdown=1.0)  # somebody's pass comes between
    assert (threads.decode, threads.prefill) == (1, 2)


def test_a_slowdown_without_threads_changes_nothing() -> None:
    machine = Machine(flat, flat)
    threads = chosen(machine, 2)
    threads.prepare(1, slowdown=100.0)
    assert machine.threads == 1


def test_a_user_limits_the_threads() -> None:
    assert cores({"OMP_NUM_THREADS": "3"}) == 3
    assert cores({"OMP_NUM_THREADS": "3,2"}) == 3
    machine = Machine(linear, linear)
    chosen(machine, cores({"OMP_NUM_THREADS": "2"}))
    assert machine.most == 2


@pytest.mark.parametrize("nonsense", ["", "0", "-1", "many"])
def test_without_a_users_limit_there_is_a_thread_for_each_core(nonsense: str) -> None:
    assert cores({"OMP_NUM_THREADS": nonsense}) == cores({}) >= 1
