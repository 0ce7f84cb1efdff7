"""The README is what a newcomer follows to the letter, so what it says is run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.cli.main import parser
from lsp_server.settings import settings_schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def documented(first_word: str) -> list[str]:
    """The lines in the pages' code blocks that begin with `first_word`, without their comments."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for line in "\n".join(blocks).split("\n")]
    return [line for line in lines if line.split(" ")[0] == first_word]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_every_documented_make_target_is_there() -> None:
    targets = [line.split()[1] for line in documented("make")]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_every_documented_command_is_understood() -> None:
    lines = documented("fimble")
    assert len(lines) >= 3
    for line in lines:
        arguments = shlex.split(line)[1:]
        assert parser().parse_args(arguments), line


def test_the_python_example_completes_code() -> None:
    example = re.search(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert example is not None
    command = [sys.executable, "-c", example[1]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_every_setting_is_explained_with_its_default() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, schema in settings_schema().items():
        default = json.dumps(schema["default"]).removesuffix(".0")
        assert f"| `{name}` | `{default}` | {schema['description']} |\n" in settings, name


def test_every_file_that_the_documentation_links_to_is_there() -> None:
    for page in [*ROOT.glob("*.md"), *PAGES[1:]]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
