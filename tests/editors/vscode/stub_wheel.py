"""A wheel called fimble that hands on to a `fimble` that is installed, to try what installing does.

    python tests/editors/vscode/stub_wheel.py /path/to/fimble     (prints the wheel's path)

It takes a second to install, where the real one takes minutes, and needs no network.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "fimble-0.0.0"
FILES = {
    "fimble_stub.py": "import os, sys\n\ndef main():\n    os.execv(COMMAND, [COMMAND, *sys.argv[1:]])\n",
    f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: fimble\nVersion: 0.0.0\n",
    f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{NAME}.dist-info/entry_points.txt": "[console_scripts]\nfimble = fimble_stub:main\n",
    f"{NAME}.dist-info/RECORD": "",
}


def main(command: str) -> Path:
    """Write the wheel for `command`; its path."""
    wheel = Path(tempfile.gettempdir()) / f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text.replace("COMMAND", repr(command)))
    return wheel


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1])}\n")
