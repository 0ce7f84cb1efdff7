"""`python -m native_build`, which a developer runs after changing a source."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from native_build.platforms import LIBRARY
from tests.native_build.conftest import Run

INSIDE = Path("model_runtime", "native", LIBRARY)
SOURCE = Path("model_runtime", "native", "src", "engine.cpp")
FAKE_MSVC = """#!{python}
import pathlib, sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
[output] = [argument[3:] for argument in sys.argv if argument.startswith(("/Fo", "/Fe"))]
pathlib.Path(output).touch()
"""


@pytest.mark.usefixtures("compiler")
def test_kernels_use_their_instructions_and_what_they_share_with_other_sources_runs_without(
    tree: Path, run: Run
) -> None:
    built = run("-m", "native_build", FIMBLE_NATIVE_FLAGS="-DANSWER=43")
    assert built.returncode == 0, built.stderr
    library = ctypes.CDLL(str(tree / INSIDE))
    assert library.answer() == 43
    assert library.kernel() == 1
    if sys.platform != "darwin":  # where every arm64 processor has them, and every source uses them
        assert library.shared() == 0


@pytest.mark.usefixtures("compiler")
def test_a_mistake_in_a_source_is_shown_and_leaves_no_engine_of_an_earlier_source(
    tree: Path, run: Run
) -> None:
    (tree / INSIDE).write_bytes(b"an earlier one")
    (tree / SOURCE).write_text("int broken( {", encoding="utf-8")
    built = run("-m", "native_build")
    assert built.returncode == 1
    *shown, last = built.stderr.splitlines()
    assert any("engine.cpp" in line for line in shown)
    assert last.startswith("error: ")
    assert not (tree / INSIDE).exists()


def test_without_a_compiler_there_is_a_warning_and_work_goes_on(run: Run) -> None:
    built = run("-m", "native_build", CXX="no-such-compiler")
    assert built.returncode == 0
    [line] = built.stderr.splitlines()
    assert line.startswith(
        "warning: the native engine was left out, models will run through torch: no-such-comp"
    )


@pytest.mark.skipif(os.name == "nt", reason="the fake compiler is a script")
def test_visual_studios_compiler_is_told_the_same_in_its_own_words(
    tree: Path, run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    fake = tmp_path / "cl"
    fake.write_text(FAKE_MSVC.format(python=sys.executable, log=str(log)), encoding="utf-8")
    fake.chmod(0o755)
    built = run(
        "-m", "native_build", "--machine", "AMD64", "--output", "out/fimble_native.dll", CXX=str(fake)
    )
    assert built.returncode == 0, built.stderr
    *compiled, linked = log.read_text(encoding="utf-8").splitlines()
    kernel, engine = sorted((line.split() for line in compiled), key=lambda words: words[-1])
    assert kernel[-1].endswith("a_avx2.cpp")
    assert "/arch:AVX2" in kernel
    assert not [flag for flag in engine if "arch" in flag or flag.startswith("-")]
    assert linked.index("engine.obj") < linked.index("a_avx2.obj")
    assert (tree / "out" / "fimble_native.dll").exists()
