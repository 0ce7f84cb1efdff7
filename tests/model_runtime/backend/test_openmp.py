"""The environment that OpenMP threads are started with."""

from __future__ import annotations

import pytest

from model_runtime.backend import limit_openmp_spinning


@pytest.mark.parametrize("set_by_user", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_the_users_own_settings_take_precedence(set_by_user: str) -> None:
    environment = {set_by_user: "as I say"}
    limit_openmp_spinning(environment)
    assert environment[set_by_user] == "as I say"
    # A spin count would outrank the policy.
    assert ("GOMP_SPINCOUNT" in environment) == (set_by_user != "OMP_WAIT_POLICY")
