"""`python -m native_build`: compiles the library in place, for developers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from native_build.compilers import NativeBuildError, NothingToBuild
from native_build.library import FOLDER, build
from native_build.platforms import LIBRARY, machine_of_python
from native_build.settings import LEFT_OUT, Wanted, wanted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m native_build", description=__doc__)
    parser.add_argument("--machine", default=machine_of_python(), help="what to compile for (%(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER / LIBRARY, help="the library (%(default)s)")
    options = parser.parse_args()
    try:
        setting = wanted()
        if setting is not Wanted.NO:
            print(f"compiled {_build(options.output, options.machine, setting)}")
    except NativeBuildError as error:
        sys.exit(f"{error.output}error: {error}")


def _build(output: Path, machine: str, setting: Wanted) -> Path:
    try:
        return build(output, machine)
    except NothingToBuild as error:
        if setting is Wanted.REQUIRED:
            raise
        # Fimble and its tests work without a compiler. A source that does not compile is another matter.
        print(f"warning: {LEFT_OUT}: {error}", file=sys.stderr)
        sys.exit()


if __name__ == "__main__":
    main()
