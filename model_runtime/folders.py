"""The folders in which fimble keeps its data and its models on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platformdirs.api import PlatformDirsABC


def data_folder(system: type[PlatformDirsABC] | None = None) -> Path:
    """The folder for all of fimble's data; it need not exist yet.

    That is `FIMBLE_DATA_DIR` where it is set, else the folder for user data of the operating `system`, by
    default this machine's.
    """
    if chosen := os.environ.get("FIMBLE_DATA_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import PlatformDirs  # not on a machine that only trains

    return (system or PlatformDirs)("fimble", appauthor=False).user_data_path


def models_folder() -> Path:
    """The folder for pulled models, `FIMBLE_MODELS_DIR` or one in the data folder; it need not exist yet."""
    if chosen := os.environ.get("FIMBLE_MODELS_DIR"):
        return Path(chosen).expanduser()
    return data_folder() / "models"
