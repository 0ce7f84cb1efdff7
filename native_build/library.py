"""From sources to the shared library."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from native_build.compilers import Compiler, NativeBuildError, NothingToBuild, find_compiler
from native_build.platforms import LIBRARY, family, machine_of_python, macos_target

FOLDER = Path(__file__).parent.parent / "model_runtime" / "native"

AVX2 = "-mavx2 -mfma -mf16c"
AVX512 = f"-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni {AVX2}"
NEON = "" if sys.platform == "darwin" else "-march=armv8.2-a+dotprod+fp16"  # Apple's compiler assumes as much
INSTRUCTIONS = {
    "": (None, "", ""),
    "neon": ("aarch64", NEON, ""),
    "avx2": ("x86_64", AVX2, "/arch:AVX2"),
    "avx512": ("x86_64", AVX512, "/arch:AVX512"),
}
"""By the end of a source's name: the machine it is for, what GCC and Clang are told, what MSVC is."""

FLAGS = "-O3 -std=c++17 -fvisibility=hidden -fno-math-errno -ffp-contract=off"
FLAGS_MSVC = "/nologo /O2 /std:c++17 /EHsc /MT"  # /MT: Python brings C's runtime library, but not C++'s


def build(
    output: Path = FOLDER / LIBRARY, machine: str | None = None, sources: Path = FOLDER / "src"
) -> Path:
    """Compile everything anew. Raises NativeBuildError; then no library is left from an earlier build."""
    machine = machine or machine_of_python()
    try:
        chosen = _in_linking_order(sources, machine)
        if not chosen:
            raise NothingToBuild(f"{sources} has no sources")
        if sys.maxsize < 2**32:
            raise NothingToBuild("this Python is for 32 bits")
        compiler = find_compiler(family(machine))
        with tempfile.TemporaryDirectory(prefix="fimble-native-") as scratch:
            built = _compile(compiler, chosen, machine, Path(scratch))
            _replace(output, built)
    except NativeBuildError:
        with suppress(OSError):
            output.unlink()  # it would not do what the sources say
        raise
    return output


def _instructions(source: Path) -> str:
    ending = source.stem.rpartition("_")[2]
    return ending if ending in INSTRUCTIONS else ""


def _in_linking_order(sources: Path, machine: str) -> list[Path]:
    """The machine's sources, those that ask least of the processor first.

    Several objects may hold the same function of a header, and the linker keeps the first's: that has to run
    wherever one of them does.
    """
    order = list(INSTRUCTIONS)
    usable = {"": True} | {name: INSTRUCTIONS[name][0] == family(machine) for name in order[1:]}
    found = [source for source in sources.glob("*.cpp") if usable[_instructions(source)]]
    return sorted(found, key=lambda source: (order.index(_instructions(source)), source.name))


def _compile(compiler: Compiler, sources: list[Path], machine: str, scratch: Path) -> Path:
    extra = shlex.split(os.environ.get("FIMBLE_NATIVE_FLAGS", ""))
    suffix = ".obj" if compiler.is_msvc else ".o"
    objects = [scratch / f"{source.stem}{suffix}" for source in sources]
    library = scratch / LIBRARY

    def compile_one(source: Path, target: Path) -> None:
        _, for_gcc, for_msvc = INSTRUCTIONS[_instructions(source)]
        if compiler.is_msvc:
            flags = [*f"/c {FLAGS_MSVC} {for_msvc}".split(), *extra, f"/Fo{target}"]
        else:
            flags = [*f"-c {FLAGS} {_platform_flags(machine)} {for_gcc}".split(), *extra, "-o", str(target)]
        compiler.run([*flags, str(source)])

    # The compiler's processes do the work; these threads only wait for them.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    names = [str(path) for path in objects]
    if compiler.is_msvc:
        compiler.run(["/nologo", "/LD", "/MT", *names, *extra, f"/Fe{library}"])
    else:
        compiler.run(["-shared", *_platform_flags(machine).split(), *names, *extra, "-o", str(library)])
    return library


def _platform_flags(machine: str) -> str:
    if sys.platform == "win32":
        return "-static"  # MinGW's own libraries are nowhere else
    if sys.platform == "darwin":
        return f"-fPIC -arch {machine} -mmacosx-version-min={macos_target(machine)}"
    return "-fPIC -pthread"


def _replace(output: Path, built: Path) -> None:
    """Put it there in one step: a process that has loaded the earlier one keeps it."""
    new = output.with_name(f"{output.name}.new")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, new)
        new.replace(output)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        hint = ", stop the fimble that runs from this folder" if sys.platform == "win32" else ""
        raise NativeBuildError(f"{output} can't be written: {error.strerror}{hint}") from error
