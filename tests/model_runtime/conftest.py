"""Fixtures for tests that open models. Imports no torch: the tests' settings have to be made before that."""

from __future__ import annotations

import pytest

from model_runtime.api import Dtype


@pytest.fixture(scope="module", params=["fp32", "fp16", "bf16"])
def dtype(request: pytest.FixtureRequest) -> Dtype:
    """Each precision in turn."""
    found: Dtype = request.param
    return found
