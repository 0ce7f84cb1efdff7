"""A small copy of the working tree, with an engine of a few lines in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from native_build.compilers import NativeBuildError, find_compiler
from native_build.platforms import family, machine_of_python

ROOT = Path(__file__).parents[2]

HEADER = """
#ifdef _MSC_VER
#define EXPORTED extern "C" __declspec(dllexport)
#else
#define EXPORTED extern "C" __attribute__((visibility("default")))
#endif
#if defined(__AVX2__) || defined(__ARM_FEATURE_DOTPROD)
#define LEVEL 1
#else
#define LEVEL 0
#endif
inline int level_of_shared() { return LEVEL; }
// No compiler sees through it, so each object has a function of its own, as it has of larger ones.
static int (*volatile shared_level)() = level_of_shared;
"""
KERNEL = """
#include "engine.h"
int level_of_kernel() { return LEVEL + 0 * shared_level(); }
"""
ENGINE = """
#include "engine.h"
#include <thread>
#ifndef ANSWER
#define ANSWER 42
#endif
int level_of_kernel();
EXPORTED int answer() {
    int found = 0;
    std::thread([&found] { found = ANSWER; }).join();
    return found;
}
EXPORTED int kernel() { return level_of_kernel(); }
EXPORTED int shared() { return shared_level(); }
"""
SOURCES = {
    "engine.h": HEADER,
    # Its name is the first, so nothing but their needs puts the others before it.
    "a_avx2.cpp": KERNEL,
    "a_neon.cpp": KERNEL,
    "engine.cpp": ENGINE,
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    names = [
        ".gitignore",
        "LICENSE",
        "README.md",
        "hatch_build.py",
        "pyproject.toml",
        "lsp_server/__init__.py",
    ]
    code = [str(path.relative_to(ROOT)) for path in (ROOT / "native_build").glob("*.py")]
    for name in [*names, *code, "model_runtime/__init__.py"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    sources = tree / "model_runtime" / "native" / "src"
    sources.mkdir(parents=True)
    for name, text in SOURCES.items():
        (sources / name).write_text(text, encoding="utf-8")
    return tree


@pytest.fixture
def run(tree: Path) -> Run:
    """Runs Python in the tree, with a program's arguments and environment variables."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: os.environ[name] for name in os.environ if not name.startswith("FIMBLE_")}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tree,
            env={**inherited, **variables},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def compiler() -> None:
    try:
        find_compiler(family(machine_of_python()))
    except NativeBuildError as error:
        pytest.skip(str(error))
