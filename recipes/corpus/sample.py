"""A sample of a corpus: training on little data should still see many packages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from model_runtime.evaluation import SourceFile, read_source_files


def sample_files(path: Path, megabytes: float, package_megabytes: float) -> list[SourceFile]:
    """Draw files at random, always the same ones; returned package by package.

    Args:
        path: `train.jsonl` or `heldout.jsonl`.
        megabytes: of text in all, about.
        package_megabytes: of text of one package, about.
    """
    files = list(read_source_files(path))
    Random(0).shuffle(files)
    taken, total, given = [], 0, Counter[str]()
    for file in files:
        if total > megabytes * 1e6:
            break
        if given[file.package] <= package_megabytes * 1e6:
            given[file.package] += len(file.text)
            total += len(file.text)
            taken.append(file)
    return sorted(taken, key=lambda file: (file.package, file.path))
