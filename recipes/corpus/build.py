"""Build a corpus: pinned packages become clean, deduplicated Python source.

Nothing of the corpus itself is in the repository, only the list of packages. The result is `train.jsonl` and
`heldout.jsonl`, with a line ``{"package", "path", "text"}`` for each file, and `manifest.json`, with what was
kept and dropped of each package. The cleaned files of each package are cached in `cleaned/`, so that an
interrupted run can be resumed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from datasketch import MinHash, MinHashLSH
from rich.progress import track

from model_runtime.evaluation import SourceFile
from recipes.corpus.cleaning import PERMUTATIONS, PackageRecord, fingerprint, read_archive
from recipes.corpus.decontamination import Benchmarks, read_benchmarks
from recipes.corpus.packages import Package, fetch, read_package_list

SIMILAR = 0.7  # Jaccard similarity of 5-grams of words above which two files are near-duplicates


class Deduplicator:
    """Recognizes exact and near duplicates of the files that it was shown before."""

    def __init__(self) -> None:
        self._exact: set[bytes] = set()
        self._similar = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)

    def is_new(self, file: SourceFile, sketch: MinHash) -> bool:
        digest = hashlib.sha256(re.sub(r"\s+", " ", file.text).encode()).digest()
        if digest in self._exact:
            return False
        self._exact.add(digest)
        if self._similar.query(sketch):
            return False
        self._similar.insert(f"{file.package}/{file.path}", sketch)
        return True


def build_corpus(package_list: Path, evaluation_sets: Path, folder: Path) -> None:
    """Fetch, filter and deduplicate; `folder` gets `train.jsonl`, `heldout.jsonl` and `manifest.json`.

    Args:
        package_list: see `read_package_list`.
        evaluation_sets: a folder of tasks that must not be in the corpus.
        folder: where everything is written.

    Raises:
        FileNotFoundError, ValueError: the list or the evaluation sets are missing or malformed.
        subprocess.CalledProcessError: pip could not fetch a package.
    """
    benchmarks = read_benchmarks(evaluation_sets)
    # Held-out packages come first: of duplicates the first is kept, which then is not trained on.
    packages = sorted(read_package_list(package_list), key=lambda package: not package.held_out)
    archives = fetch(packages, folder / "packages")
    cleaned = folder / "cleaned"
    cleaned.mkdir(exist_ok=True)
    with ProcessPoolExecutor() as pool:
        work = partial(_clean, cleaned, benchmarks)
        parts = pool.map(work, archives, archives.values())
        found = list(track(parts, total=len(archives), description="Reading packages"))
    seen, records = Deduplicator(), []
    with (
        (folder / "train.jsonl").open("w", encoding="utf-8") as train,
        (folder / "heldout.jsonl").open("w", encoding="utf-8") as heldout,
    ):
        for part in track(found, description="Removing duplicates"):
            record, files = _read_part(part)
            for file, sketch in files:
                if not seen.is_new(file, sketch):
                    record.drop("duplicate")
                    continue
                record.files += 1
                record.characters += len(file.text)
                print(json.dumps(asdict(file)), file=heldout if record.held_out else train)
            records.append(asdict(record))
    records.sort(key=lambda record: str(record["name"]).lower())
    (folder / "manifest.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def _clean(folder: Path, benchmarks: Benchmarks, package: Package, archive: Path) -> Path:
    """The path of one package's cleaned files and their fingerprints, which are written unless they exist."""
    part = folder / f"{archive.name}{'.heldout' if package.held_out else ''}.jsonl"
    if not part.exists():
        record, files = read_archive(archive, package.held_out, benchmarks)
        unfinished = part.with_suffix(".part")
        with unfinished.open("w", encoding="utf-8") as lines:
            print(json.dumps(asdict(record)), file=lines)
            for file in files:
                sketch = fingerprint(file.text).hashvalues.astype("<u4").tobytes()  # they have 32 bits
                print(json.dumps([asdict(file), base64.b64encode(sketch).decode()]), file=lines)
        unfinished.replace(part)
    return part


def _read_part(part: Path) -> tuple[PackageRecord, Iterator[tuple[SourceFile, MinHash]]]:
    empty = fingerprint("")

    def files(lines: list[str]) -> Iterator[tuple[SourceFile, MinHash]]:
        for line in lines:
            file, values = json.loads(line)
            sketch = empty.copy()
            sketch.hashvalues = np.frombuffer(base64.b64decode(values), "<u4").astype(empty.hashvalues.dtype)
            yield SourceFile(**file), sketch

    with part.open(encoding="utf-8") as lines:
        record = PackageRecord(**json.loads(next(lines)))
        return record, files(list(lines))
