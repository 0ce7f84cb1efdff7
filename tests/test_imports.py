"""Imports point one way, rooms have one door, and the language server starts without torch."""

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
PACKAGES = ("lsp_server", "model_runtime")

ROOMS = {
    "lsp_server": {"lsp_server.trimming", "model_runtime", "model_runtime.api"},
    "lsp_server.trimming": set[str](),
    "model_runtime": {
        "model_runtime.api",
        "model_runtime.checkpoints",
        "model_runtime.device",
        "model_runtime.evaluation",
        "model_runtime.folders",
        "model_runtime.local",
        "model_runtime.measure",
        "model_runtime.threads",
    },
    "model_runtime.api": set[str](),
    "model_runtime.folders": set[str](),
    "model_runtime.decoding": set[str](),
    "model_runtime.tokenizer": {
        "model_runtime.api",
        "model_runtime.tokenizer_facts",
        "model_runtime.tokenizer_files",
    },
    "model_runtime.tokenizer_facts": {"model_runtime.api"},
    "model_runtime.tokenizer_files": {"model_runtime.api"},
    "model_runtime.device": {"model_runtime.api", "model_runtime.decoding"},
    "model_runtime.threads": set[str](),
    "model_runtime.sentinels": {"model_runtime.tokenizer"},
    "model_runtime.prompt": {"model_runtime.api", "model_runtime.sentinels", "model_runtime.tokenizer"},
    "model_runtime.checkpoints": {"model_runtime.api", "model_runtime.decoding", "model_runtime.folders"},
    "model_runtime.healing": {"model_runtime.tokenizer"},
    "model_runtime.pace": set[str](),
    "model_runtime.offers": set[str](),
    "model_runtime.passes": {
        "model_runtime.api",
        "model_runtime.decoding",
        "model_runtime.device",
        "model_runtime.pace",
        "model_runtime.threads",
    },
    "model_runtime.slots": {
        "model_runtime.api",
        "model_runtime.decoding",
        "model_runtime.device",
        "model_runtime.prompt",
    },
    "model_runtime.planning": {
        "model_runtime.api",
        "model_runtime.pace",
        "model_runtime.prompt",
        "model_runtime.slots",
    },
    "model_runtime.scheduling": {"model_runtime.api"},
    "model_runtime.engine": {
        "model_runtime.api",
        "model_runtime.checkpoints",
        "model_runtime.decoding",
        "model_runtime.device",
        "model_runtime.healing",
        "model_runtime.offers",
        "model_runtime.pace",
        "model_runtime.passes",
        "model_runtime.planning",
        "model_runtime.prompt",
        "model_runtime.sentinels",
        "model_runtime.slots",
        "model_runtime.threads",
        "model_runtime.tokenizer",
    },
    "model_runtime.local": {
        "model_runtime.api",
        "model_runtime.checkpoints",
        "model_runtime.engine",
        "model_runtime.scheduling",
        "model_runtime.threads",
    },
    "model_runtime.measure": {
        "model_runtime.api",
        "model_runtime.decoding",
        "model_runtime.device",
        "model_runtime.engine",
        "model_runtime.threads",
    },
    "model_runtime.evaluation": {"model_runtime.api"},
    "model_runtime.training": {"model_runtime.api", "model_runtime.checkpoints", "model_runtime.decoding"},
}
"""What each room may import besides itself; a folder is one room, and so is a file on its own."""

LAYERS = (
    ("lsp_server.__main__",),
    ("lsp_server.cli",),
    (
        "lsp_server.commands.bench",
        "lsp_server.commands.complete",
        "lsp_server.commands.convert",
        "lsp_server.commands.doctor",
        "lsp_server.commands.evaluation",
        "lsp_server.commands.models",
        "lsp_server.commands.serve",
        "lsp_server.commands.stats",
        "lsp_server.commands.try_command",
        "lsp_server.commands.verify",
    ),
    ("lsp_server.commands.options",),
    ("lsp_server.terminal",),
    ("lsp_server.terminal.sample", "lsp_server.terminal.screen"),
    ("lsp_server.terminal.drawing",),
    ("lsp_server.terminal.colours", "lsp_server.terminal.editor"),
    (
        "lsp_server.terminal.buffer",
        "lsp_server.terminal.files",
        "lsp_server.terminal.ghost",
        "lsp_server.terminal.status_line",
    ),
    ("lsp_server.terminal.characters", "lsp_server.terminal.completer"),
    ("lsp_server.client", "lsp_server.event_loop"),
    ("lsp_server.isolation", "lsp_server.serving"),
    ("lsp_server.editor_process",),
    ("lsp_server.server",),
    ("lsp_server.workspace",),
    ("lsp_server.copilot",),
    ("lsp_server.copilot_messages",),
    ("lsp_server.completing", "lsp_server.configuration", "lsp_server.model_loading"),
    ("lsp_server.items", "lsp_server.outcomes", "lsp_server.status"),
    ("lsp_server.messages",),
    ("lsp_server.fields",),
    ("lsp_server.session",),
    ("lsp_server.turn", "lsp_server.writing"),
    ("lsp_server.debounce", "lsp_server.generation"),
    ("lsp_server.offers",),
    ("lsp_server.places",),
    ("lsp_server.context", "lsp_server.metrics"),
    ("lsp_server.document", "lsp_server.trim", "lsp_server.counts", "lsp_server.settings"),
)
DECODING_LAYERS = (
    ("model_runtime.decoding.generate",),
    ("model_runtime.decoding.speculate", "model_runtime.decoding.sampling"),
    ("model_runtime.decoding.decoder",),
    (
        "model_runtime.decoding.acceleration",
        "model_runtime.decoding.attention",
        "model_runtime.decoding.products",
        "model_runtime.decoding.triton_attention",
    ),
    ("model_runtime.decoding.graphs", "model_runtime.decoding.triton_products"),
    ("model_runtime.decoding.cache", "model_runtime.decoding.int8", "model_runtime.decoding.layers"),
    ("model_runtime.decoding.config",),
)
"""From the top down; nothing imports what stands above it or beside it."""

HEAVY = ("torch", "prompt_toolkit", "pygments")
"""What an editor would wait for."""


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for package in PACKAGES:
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
        for alias in node.names:
            brings_module = f"{source}.{alias.name}" in modules() and alias.name not in handed_out(source)
            yield f"{source}.{alias.name}" if brings_module else source


@cache
def handed_out(package: str) -> frozenset[str]:
    """The names that a package's door imports from its modules; some are spelled like the module itself."""
    nodes = ast.parse(modules()[package].read_text(encoding="utf-8")).body
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    return frozenset(alias.name for node in imports for alias in node.names)


def room_of(module: str) -> str:
    """The room that a module lies in: the longest name in `ROOMS` that it begins with."""
    rooms = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    room = max(rooms, key=len)
    assert room != "model_runtime" or module == room, f"{module} is in no room: give it one in ROOMS"
    return room


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_rooms_that_its_own_may(module: str) -> None:
    room = room_of(module)
    for target in imported(module):
        if room_of(target) != room:
            assert room_of(target) in ROOMS[room], f"{module} imports {target}"
            assert target in ROOMS, f"{module} imports {target}: use its room's door, {room_of(target)}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    def inner(module: str) -> set[str]:
        # A package's door imports what it hands out; that its modules lie in the package is no import.
        return {target for target in imported(module) if not module.startswith(f"{target}.")}

    TopologicalSorter({module: inner(module) for module in modules()}).prepare()  # raises CycleError


@pytest.mark.parametrize("layers", [LAYERS, DECODING_LAYERS], ids=["lsp_server", "decoding"])
def test_layers_import_downwards_only(layers: tuple[tuple[str, ...], ...]) -> None:
    for depth, layer in enumerate(layers):
        above = {name for upper in layers[: depth + 1] for name in upper}
        for module in layer:
            if module in modules():
                assert not imported(module) & above, module


def test_a_room_that_is_named_exists() -> None:
    assert set(ROOMS) <= modules().keys()


@pytest.mark.parametrize(
    "module", ["model_runtime", "model_runtime.local", "lsp_server.cli", "lsp_server.server"]
)
def test_importing_it_imports_neither_torch_nor_what_draws_a_screen(module: str) -> None:
    check = f"import sys, {module}; sys.exit(not sys.modules.keys().isdisjoint({HEAVY}))"
    run = subprocess.run([sys.executable, "-c", check], cwd=ROOT, timeout=60, check=False)
    assert run.returncode == 0
