"""What the native engine's tests have in common."""

from __future__ import annotations

import pytest

from model_runtime.native import native_problem

needs_native = pytest.mark.skipif(native_problem() is not None, reason=str(native_problem()))
