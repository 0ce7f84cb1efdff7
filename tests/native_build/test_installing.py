"""What pip makes of the tree: it calls hatchling as these tests do."""

from __future__ import annotations

import ctypes
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from native_build.platforms import LIBRARY
from tests.native_build.conftest import Run

INSIDE = f"model_runtime/native/{LIBRARY}"
NO_COMPILER = sys.executable
"""A program that fails when it is called like a compiler."""


def wheel_of(tree: Path) -> Path:
    [wheel] = (tree / "dist").glob("*.whl")
    return wheel


@pytest.mark.usefixtures("compiler")
def test_a_wheel_serves_every_python_of_its_platform_and_holds_an_engine_that_loads(
    tree: Path, run: Run
) -> None:
    built = run("-m", "hatchling", "build", "-t", "wheel")
    assert built.returncode == 0, built.stderr
    wheel = wheel_of(tree)
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert not [name for name in packed.namelist() if "/src/" in name or "native_build" in name]
        [metadata] = [name for name in packed.namelist() if name.endswith(".dist-info/WHEEL")]
        assert "Root-Is-Purelib: false" in packed.read(metadata).decode()
        library = ctypes.CDLL(packed.extract(INSIDE, tree / "unpacked"))
    assert library.answer() == 42
    assert not (tree / INSIDE).exists()


def test_without_a_compiler_that_works_the_wheel_is_for_any_platform_and_says_what_it_lacks(
    tree: Path, run: Run
) -> None:
    built = run("-m", "hatchling", "build", "-t", "wheel", CXX=NO_COMPILER)
    assert built.returncode == 0, built.stderr
    warning, _wheel = built.stderr.splitlines()
    assert warning.startswith("warning: the native engine was left out, models will run through torch: ")
    assert wheel_of(tree).name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel_of(tree)) as packed:
        assert INSIDE not in packed.namelist()


def test_leaving_the_engine_out_on_purpose_warns_of_nothing_and_packs_no_earlier_one(
    tree: Path, run: Run
) -> None:
    (tree / INSIDE).write_bytes(b"an earlier one")
    built = run("-m", "hatchling", "build", "-t", "wheel", FIMBLE_NATIVE="0")
    assert built.returncode == 0, built.stderr
    assert "warning" not in built.stderr
    assert wheel_of(tree).name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel_of(tree)) as packed:
        assert INSIDE not in packed.namelist()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"FIMBLE_NATIVE": "required", "CXX": "no-such-compiler"}, "error: no-such-compiler can't be run: "),
        ({"FIMBLE_NATIVE": "yes"}, "error: FIMBLE_NATIVE is 'yes': set it to 0, 1 or required"),
    ],
)
def test_a_build_that_must_have_the_engine_fails_with_one_line(
    tree: Path, run: Run, variables: dict[str, str], message: str
) -> None:
    built = run("-m", "hatchling", "build", "-t", "wheel", **variables)
    assert built.returncode == 1
    [line] = built.stderr.splitlines()
    assert line.startswith(message)
    assert not list(tree.glob("dist/*.whl"))


@pytest.mark.usefixtures("compiler")
def test_an_editable_install_compiles_the_engine_in_place(tree: Path, run: Run) -> None:
    built = run("-c", "import hatchling.build as build; build.build_editable('dist')")
    assert built.returncode == 0, built.stderr
    assert ctypes.CDLL(str(tree / INSIDE)).answer() == 42


def test_a_source_archive_has_all_that_a_wheel_is_made_from(tree: Path, run: Run) -> None:
    (tree / INSIDE).write_bytes(b"compiled here")
    built = run("-m", "hatchling", "build", "-t", "sdist")
    assert built.returncode == 0, built.stderr
    [archive] = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"hatch_build.py", "native_build/library.py", "model_runtime/native/src/engine.cpp"} <= names
    assert INSIDE not in names
