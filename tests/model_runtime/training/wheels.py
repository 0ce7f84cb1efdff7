"""Makes small but real wheels, so that the corpus is fetched by real pip from a local folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def write_wheel(
    folder: Path, name: str, licence: str, files: Mapping[str, str], version: str = "1.0"
) -> Path:
    """A wheel with `files` (path → text), whose metadata names `licence` as its SPDX expression."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{name}/{file}", text)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def module(seed: int, functions: int = 6) -> str:
    """Python source that differs from seed to seed, by more than names."""
    parts = [f'"""Module {seed} of the corpus."""\n\nimport math\n']
    for index in range(functions):
        word = f"value_{seed}_{index}"
        parts.append(
            f"\n\ndef compute_{word}(first, second):\n"
            f'    """Return {word} of two numbers."""\n'
            f"    total = first * {seed + index} + second\n"
            f"    if total > {seed * 7 + index * 3}:\n"
            f"        return math.sqrt(total) - {index}\n"
            f"    for step_{seed}{index} in range({index + 1}):\n"
            f"        total += step_{seed}{index} ** {seed % 5 + 1}\n"
            f"    return total / {seed + 1}\n"
        )
    return "".join(parts)
