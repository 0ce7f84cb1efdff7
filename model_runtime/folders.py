"""Where fimble keeps what it has on this machine: one place for all of it.

{registry, lsp_server} ▶ **folders**. The standard library alone, so that asking costs nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def default_data_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Our folder in the system's place for a program's data, or `FIMBLE_DATA_DIR`; it need not exist."""
    if chosen := environment.get("FIMBLE_DATA_DIR"):
        return Path(chosen).expanduser()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "fimble"
