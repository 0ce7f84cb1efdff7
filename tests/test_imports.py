"""Rooms have one door, imports point one way, and torch is imported only by what needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LSP_SERVER = """
    cli         server bench terminal statistics completion client document files languages settings \
                isolation model_facts
    bench       client document files
    terminal    client completion protocol document files languages settings
    client      protocol isolation
    server      protocol completion context statistics document settings model_facts
    completion  protocol context statistics trimming document settings
    statistics
    protocol    document uris
    context     document languages uris
    trimming    languages
    files
    isolation
    model_facts
    document
    languages
    settings
    uris
"""
MODEL_RUNTIME = """
    backend       models engine
    engine        models prompting tokenization hardware checkpoints decoding native
    evaluation
    training      evaluation
    prompting     tokenization
    tokenization
    hardware      decoding native
    models        folders native
    checkpoints   decoding native torch_decoder
    native        decoding
    torch_decoder decoding
    decoding
    folders
    api
"""
RECIPES = """
    default_model  corpus curves
    corpus
    curves
"""
"""The rooms of each package, each with those that it may import. `model_runtime.api` is open to all, and
recipes may import every room of the runtime."""

HEAVY = ("torch", "transformers", "prompt_toolkit", "pygments")
"""What an editor would wait for."""

LSP_TYPES = "lsprotocol"
"""Half a second that only a server and its clients need."""


def _rooms(package: str, table: str) -> dict[str, set[str]]:
    rows = [line.split() for line in table.strip().splitlines()]
    return {f"{package}.{room}": {f"{package}.{name}" for name in allowed} for room, *allowed in rows}


RUNTIME = _rooms("model_runtime", MODEL_RUNTIME)
RECIPE_ROOMS = {room: allowed | RUNTIME.keys() for room, allowed in _rooms("recipes", RECIPES).items()}
ROOMS = _rooms("lsp_server", LSP_SERVER) | RUNTIME | RECIPE_ROOMS
OPEN = {"lsp_server", "model_runtime", "model_runtime.api", "recipes"}
"""Open to all rooms: the version, the runtime's front door and the seam."""


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for package in ("lsp_server", "model_runtime", "recipes"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(module: str) -> set[str]:
    """The modules of ours that a module imports, in functions and for type checks too."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in _targets(node, module)}
    return {name for name in names if name in modules()} - {module}


def _targets(node: ast.AST, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module} imports relatively: name the module in full"
        source = str(node.module)
        handed_out = _names_of(source)
        yield source
        yield from (f"{source}.{alias.name}" for alias in node.names if alias.name not in handed_out)


@cache
def _names_of(package: str) -> frozenset[str]:
    """The names that a package's door hands out; one may be spelled like the module it comes from."""
    if package not in modules():
        return frozenset()
    nodes = ast.parse(modules()[package].read_text(encoding="utf-8")).body
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    return frozenset(alias.name for node in imports for alias in node.names)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", sorted(set(modules()) - OPEN - {"lsp_server.__main__"}))
def test_a_module_imports_other_rooms_by_their_doors_and_only_those_it_may(module: str) -> None:
    room = room_of(module)
    assert room in ROOMS, f"{module} is in no room: add it to the table above"
    for target in imported(module) - OPEN:
        if room_of(target) != room:
            assert room_of(target) in ROOMS[room], f"{room} may not import {room_of(target)}: {module}"
            assert target == room_of(target), f"{module} imports {target}: use its room's door"


def test_no_modules_import_each_other_in_a_circle() -> None:
    def inner(module: str) -> set[str]:
        # A package's door imports what it hands out; that its modules lie in the package is no import.
        return {target for target in imported(module) if not module.startswith(f"{target}.")}

    TopologicalSorter({module: inner(module) for module in modules()}).prepare()  # raises CycleError


@pytest.mark.parametrize(
    ("module", "avoided"),
    [
        ("model_runtime.backend", (*HEAVY, LSP_TYPES)),
        ("model_runtime.engine", (*HEAVY, "accelerate")),
        ("model_runtime.models", (*HEAVY, "numpy")),
        ("lsp_server.cli", (*HEAVY, LSP_TYPES)),
        ("lsp_server.server", (*HEAVY, "lsp_server.completion", "sqlite3")),
    ],
)
def test_importing_it_imports_nothing_that_can_wait(module: str, avoided: tuple[str, ...]) -> None:
    check = f"import sys, {module}; sys.exit(not sys.modules.keys().isdisjoint({avoided}))"
    run = subprocess.run([sys.executable, "-c", check], cwd=ROOT, timeout=60, check=False)
    assert run.returncode == 0
