"""The kernels for AVX-512 on a processor without it: SIMDe emulates the instructions, where it is there."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model_runtime.native.support import KERNELS

SIMDE = Path("/usr/include/simde/x86/avx512.h")
ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "model_runtime" / "native" / "src"
EMULATED = Path(__file__).parent / "emulated"
TESTS = ("test_products.py", "test_decoder.py::test_logits_are_those_of_the_restored_weights")
CHOSEN = "avx512 and (every_bit or large_matrix or odd or tanh)"
"""Enough to call every function of the kernels: the rest takes a minute."""

FLAGS = ("-std=c++17", "-w", "-fPIC", "-pthread", "-ffp-contract=off", "-fno-math-errno")
AS_AVX512 = ("-D__AVX512BW__", "-D__AVX512VNNI__", f"-I{EMULATED}")

pytestmark = [
    pytest.mark.skipif("avx512" in KERNELS, reason="this processor has AVX-512: nothing is emulated"),
    pytest.mark.skipif(
        not SIMDE.is_file() or shutil.which("g++") is None or platform.machine() != "x86_64",
        reason="needs SIMDe (Debian: libsimde-dev) and g++ on x86-64",
    ),
]


@pytest.fixture(scope="module")
def emulating_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine with kernels for AVX-512 and the plain ones."""
    folder = tmp_path_factory.mktemp("avx512")
    sources = [*SOURCES.glob("*.cpp"), EMULATED / "cpu.cpp"]
    sources = [source for source in sources if source != SOURCES / "cpu.cpp"]

    def compile_one(source: Path) -> str:
        target = str(folder / f"{source.stem}.o")
        flags = AS_AVX512 if source.stem == "kernels_avx512" else ()
        subprocess.run(["g++", *FLAGS, *flags, f"-I{SOURCES}", "-c", str(source), "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    library = folder / "fimble_native.so"
    subprocess.run(["g++", "-shared", "-pthread", *objects, "-o", str(library)], check=True)
    return library


def test_the_kernels_for_avx512_pass_the_tests_of_all_kernels(emulating_library: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-k", CHOSEN, "-p", "no:cacheprovider"),
            *(str(Path(__file__).parent / test) for test in TESTS),
        ],
        env={**os.environ, "FIMBLE_NATIVE_LIBRARY": str(emulating_library), "LD_PRELOAD": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert " passed" in ran.stdout
