"""Hatchling's hook: the native engine is compiled into wheels, where that can be done"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.append(str(Path(__file__).parent))  # pip builds without it

from native_build.compilers import NativeBuildError
from native_build.library import FOLDER, build
from native_build.platforms import LIBRARY, wheel_tag
from native_build.settings import LEFT_OUT, Wanted, wanted


class NativeEngineHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before a wheel is put together; version "editable" is one that points to the working tree."""
        try:
            setting = wanted()
        except NativeBuildError as error:
            self.app.abort(f"error: {error}")
        if setting is Wanted.NO:
            return
        # Hatchling reads the library after this; the folder goes when the hook does. Not the working tree,
        # which may be read-only, or be built from for several platforms.
        self._folder = tempfile.TemporaryDirectory(prefix="fimble-wheel-")
        try:
            library = build((FOLDER if version == "editable" else Path(self._folder.name)) / LIBRARY)
        except NativeBuildError as error:
            if setting is Wanted.REQUIRED:
                self.app.abort(f"{error.output}error: {error}")
            self.app.display_warning(f"warning: {LEFT_OUT}: {error}")
            return
        if version != "editable":
            build_data["tag"] = wheel_tag()
            build_data["pure_python"] = False
            build_data["force_include"][str(library)] = f"model_runtime/native/{LIBRARY}"
