"""The settings page of the VS Code extension, made from the server's own settings.

    python editor_clients/vscode_settings.py [--check]

settings ▶ **vscode_settings** ▶ ``vscode/package.json``. What is said of a setting is said beside it, in
``lsp_server/settings.py``; a test fails where the page says something else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works from a checkout that is not installed, too

from lsp_server.settings import settings_schema  # noqa: E402

MANIFEST: Final = ROOT / "editor_clients" / "vscode" / "package.json"
_SECTION: Final = "fimble"
_EXTENSIONS_OWN: Final = ("command", "installArguments")
_OF_THE_MACHINE: Final = ("model", "device", "dtype", "quantize", "memoryMb")  # another one needs its own


def manifest_with_settings(text: str) -> str:
    """`text`, a ``package.json``, with the server's settings as they are now."""
    manifest: dict[str, Any] = json.loads(text)
    configuration = manifest["contributes"]["configuration"]
    keys = [f"{_SECTION}.{name}" for name in _EXTENSIONS_OWN]
    own = {key: configuration["properties"][key] for key in keys}
    configuration["properties"] = own | {
        f"{_SECTION}.{name}": _property(name, schema, order)
        for order, (name, schema) in enumerate(settings_schema().items(), start=len(own))
    }
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def _property(name: str, schema: dict[str, object], order: int) -> dict[str, object]:
    """A setting as VS Code wants it."""
    default, about = schema.pop("default"), str(schema.pop("description"))
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return {
        **schema,
        "default": default,
        "scope": "machine-overridable" if name in _OF_THE_MACHINE else "window",
        "order": order,
        "markdownDescription": f"{about[0].upper()}{about[1:]}.",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or `--check` that it need not be written; the exit status."""
    parser = argparse.ArgumentParser(description="Write the server's settings into the extension's manifest.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where it is stale")
    arguments = parser.parse_args(argv)
    text = MANIFEST.read_text(encoding="utf-8")
    wanted = manifest_with_settings(text)
    if arguments.check:
        return int(text != wanted)
    MANIFEST.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
