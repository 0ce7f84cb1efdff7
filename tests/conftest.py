"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.model_runtime.factory import write_checkpoint


def pytest_configure() -> None:
    """Settle what must be so before torch is imported, and make no test depend on the machine's speed."""
    # Models this small lose by a second thread, most of all on busy cores. Child processes inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Without a GPU, Triton's kernels run in its interpreter. Triton looks once, when somebody imports it.
    if not has_gpu():
        os.environ.setdefault("TRITON_INTERPRET", "1")
    settings.register_profile("fimble", deadline=None)
    settings.load_profile("fimble")


def has_gpu() -> bool:
    import torch  # only now: the number of threads is settled

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPTBigCode checkpoint that knows StarCoder's fill-in-the-middle sentinels; read only."""
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny-fim")


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that may neither be read nor written."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        pytest.skip("nothing is closed to root, nor by its mode on Windows")
    yield folder
    folder.chmod(0o700)


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What servers write while they are tested is not counted among the user's own."""
    os.environ["FIMBLE_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
