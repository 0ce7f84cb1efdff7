"""The VS Code extension's settings page says what the server says of its settings."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from lsp_server.settings import settings_schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`editor_clients` is no package: what is in it belongs to editors."""
    path = ROOT / "editor_clients" / "vscode_settings.py"
    spec = importlib.util.spec_from_file_location("vscode_settings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_not_stale(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0, "run `python editor_clients/vscode_settings.py`"


def test_a_stale_page_is_noticed_and_mended(script: ModuleType) -> None:
    manifest = json.loads(script.MANIFEST.read_text(encoding="utf-8"))
    properties = manifest["contributes"]["configuration"]["properties"]
    properties["fimble.maxTokens"]["default"] = 1
    properties["fimble.gone"] = {"type": "boolean"}
    text = json.dumps(manifest)
    assert script.manifest_with_settings(text) == script.MANIFEST.read_text(encoding="utf-8")


def test_the_page_has_all_settings_and_the_extension_s_own(script: ModuleType) -> None:
    manifest = json.loads(script.MANIFEST.read_text(encoding="utf-8"))
    properties = manifest["contributes"]["configuration"]["properties"]
    names = [key.removeprefix("fimble.") for key in properties]
    assert names == ["command", "installArguments", *settings_schema()]
    for name, schema in settings_schema().items():
        shown = properties[f"fimble.{name}"]
        assert {key: shown[key] for key in schema if key != "description"} == {
            key: value for key, value in schema.items() if key != "description"
        }


def test_a_folder_that_is_not_trusted_chooses_no_program_and_no_model(script: ModuleType) -> None:
    manifest = json.loads(script.MANIFEST.read_text(encoding="utf-8"))
    untrusted = manifest["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    assert {"fimble.command", "fimble.installArguments", "fimble.model"} <= set(
        untrusted["restrictedConfigurations"]
    )
