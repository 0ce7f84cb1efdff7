"""On a CPU with the native engine, models are opened and complete in processes that cannot import torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gguf_export import export_gguf
from model_runtime.models import resolve
from tests.e2e.child import FIMBLE, ROOT, Child
from tests.model_runtime.native.support import needs_native

pytestmark = needs_native

COMPLETE = """
import asyncio, sys
from model_runtime import CompletionRequest, ModelOptions, open_backend

async def main() -> None:
    backend = open_backend(ModelOptions(sys.argv[1], device="cpu"))
    request = CompletionRequest(prefix="def add(a, b):\\n    retu", max_tokens=8, temperature=0.5, top_p=0.9)
    print([chunk.finish async for chunk in backend.complete(request)][-1])
    await backend.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For a process in which to import torch, or a package that imports it, is an error."""
    folder = tmp_path_factory.mktemp("broken")
    for name in ("torch", "transformers", "accelerate"):
        (folder / f"{name}.py").write_text("raise SystemExit('this was not needed')\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize("kind", ["folder", "q8_0", "f32"])
def test_a_model_completes(
    environment: dict[str, str], checkpoint_folder: Path, tmp_path: Path, kind: str
) -> None:
    model = resolve(None)
    if kind != "folder":
        model = tmp_path / "model.gguf"
        export_gguf(checkpoint_folder, model, kind)
    command = [sys.executable, "-c", COMPLETE, str(model)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (run.stdout.strip() in ("stop", "length"), run.stderr) == (True, "")


def test_it_is_measured(environment: dict[str, str]) -> None:
    command = [*FIMBLE, "bench", "--quick", "--device=cpu"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert (run.returncode, run.stderr) == (0, "")


async def test_a_server_answers(environment: dict[str, str]) -> None:
    async with await Child.start("--device=cpu", env=environment) as child:
        await child.editor.start()
        child.editor.open("import os\nimport re\n\n\ndef add(a, b):\n    retu")
        params = {
            "textDocument": {"uri": "file:///a.py"},
            "position": {"line": 5, "character": 8},
            "context": {"triggerKind": 2},
        }
        result = await child.editor.request("textDocument/inlineCompletion", params)
        assert result["items"]
        assert await child.quit() == 0
