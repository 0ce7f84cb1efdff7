"""How OpenMP's threads wait for work: set in the environment before torch is imported."""

from __future__ import annotations

from collections.abc import MutableMapping


def sleep_when_waiting(environment: MutableMapping[str, str]) -> None:
    """Have OpenMP's threads sleep soon while they wait for work; call it before torch is imported.

    They would go round in circles for long, which on busy cores keeps the very thread waiting that is waited
    for: two threads took 5 times as long as one. To sleep at once costs on idle cores: a prompt of 512 tokens
    took 290 to 390 ms, with this 260, and 250 going round. What the user has set stands.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "2000")  # GNU's library: some tens of microseconds
        environment.setdefault("KMP_BLOCKTIME", "1")  # Intel's and LLVM's, in milliseconds
