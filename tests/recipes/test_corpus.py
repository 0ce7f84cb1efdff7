"""The package list, archives, and decontamination."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from model_runtime.evaluation import EVALUATION_SETS
from model_runtime.evaluation.tasks import INFILLING, read_tasks
from recipes.corpus.archives import open_archive
from recipes.corpus.cleaning import read_archive
from recipes.corpus.decontamination import Benchmarks, read_benchmarks
from recipes.corpus.packages import Package, fetch, read_package_list
from tests.model_runtime.training.source_code import module
from tests.recipes.wheels import write_wheel

PROBLEM = (
    "def mean_of(numbers):\n    '''Give back the arithmetic mean of those numbers that are larger than zero, "
    "or None where there are none of them.'''\n"
)
CLEAR = Benchmarks(frozenset(), frozenset())


@pytest.fixture
def benchmarks(tmp_path: Path) -> Benchmarks:
    folder = tmp_path / "sets"
    folder.mkdir()
    tasks = [
        {"task_id": 7, "prompt": PROBLEM, "canonical_solution": "    return sum(numbers)\n"},
        {"prompt": "[" + ", ".join(map(str, range(40))) + "]"},
    ]
    (folder / "set.jsonl").write_text("\n".join(map(json.dumps, tasks)) + "\n")
    return read_benchmarks(folder)


def test_a_list_is_read_with_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("# a comment\nalpha==1.0\n\nBeta.x==2.1.post1  # held out\ngamma==3  # sdist\n")
    assert read_package_list(path) == [
        Package("alpha", "1.0"),
        Package("Beta.x", "2.1.post1", held_out=True),
        Package("gamma", "3", from_source=True),
    ]


def test_a_package_that_is_not_pinned_is_refused_with_its_line_number(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("alpha==1.0\nbeta>=2\n")
    with pytest.raises(ValueError, match="line 2"):
        read_package_list(path)


def test_archives_that_exist_are_not_fetched_again(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "some_package", "MIT", {}, version="1.0.post1")
    source = tmp_path / "other-package-2.0.tar.gz"
    source.write_bytes(b"")
    packages = [Package("Some.Package", "1.0.post1"), Package("other-package", "2.0", from_source=True)]
    assert fetch(packages, tmp_path) == dict(zip(packages, (wheel, source), strict=True))


def test_the_pip_that_fetches_is_not_one_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, archives = tmp_path / "here", tmp_path / "archives"
    here.mkdir()
    ran = "open('ran', 'w').close(); raise SystemExit('this was not to be run')"
    for name in ("pip.py", "json.py", "logging.py"):
        (here / name).write_text(ran)
    wheel = write_wheel(tmp_path, "pack", "MIT", {})
    monkeypatch.chdir(here)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    package = Package("pack", "1.0")
    assert fetch([package], archives) == {package: archives / wheel.name}
    assert not (here / "ran").exists()


def test_an_sdist_gives_the_same_files_as_a_wheel(tmp_path: Path) -> None:
    files = {"b.py": module(1), "a.py": module(2), "tests/test_a.py": module(3)}
    wheel = write_wheel(tmp_path, "pack", "MIT", files)
    source = tmp_path / "pack-1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        contents = {f"pack/{path}": text for path, text in files.items()}
        contents["PKG-INFO"] = "Metadata-Version: 2.4\nName: pack\nVersion: 1.0\nLicense-Expression: MIT\n"
        for path, text in contents.items():
            member = tarfile.TarInfo(f"pack-1.0/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    (record, of_wheel), (other, of_source) = (read_archive(path, False, CLEAR) for path in (wheel, source))
    assert [file.path for file in of_wheel] == ["pack/a.py", "pack/b.py"]
    assert of_source == of_wheel
    assert other.dropped == record.dropped == {"test or vendored": 1}


def test_an_archive_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x-1.tar.gz", "w:gz"):
        pass
    with pytest.raises(ValueError, match="no metadata"), open_archive(tmp_path / "x-1.tar.gz"):
        pass


def test_a_run_of_words_from_a_benchmark_is_found_in_any_surroundings(benchmarks: Benchmarks) -> None:
    quoted = (
        module(1)
        + "\n\n# Give back the arithmetic mean of those numbers that are\n# larger than ZERO, or so\n"
    )
    assert benchmarks.reason_to_drop("a.py", quoted) == "benchmark"


def test_a_shorter_run_and_counting_are_kept(benchmarks: Benchmarks) -> None:
    assert (
        benchmarks.reason_to_drop("a.py", "# the arithmetic mean of those numbers that are small\n") is None
    )
    counting = "x = [" + ", ".join(map(str, range(30))) + "]\n"
    assert benchmarks.reason_to_drop("a.py", counting) is None
    assert benchmarks.reason_to_drop("a.py", "short\n") is None
    assert benchmarks.reason_to_drop("a.py", module(1)) is None


@pytest.mark.parametrize("name", ["tasks/mbpp/run.py", "human_eval.py", "a/HumanEval-x.py", "humaneval.py"])
def test_a_file_that_names_a_benchmark_is_left_out(benchmarks: Benchmarks, name: str) -> None:
    assert benchmarks.reason_to_drop(name, "x = 1\n") == "names a benchmark"
    assert benchmarks.reason_to_drop("a.py", f"open({name!r})\n") == "names a benchmark"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("google_vizier", "RepoEval"),
        ("diffusers", "RepoEval"),
        ("human-eval", "names a benchmark"),
        ("requests", None),
        ("evaluated", None),
    ],
)
def test_packages_that_benchmarks_are_made_of_are_left_out(name: str, reason: str | None) -> None:
    assert CLEAR.reason_to_drop_package(name) == reason


def test_the_published_sets_are_all_kept_out_by_default() -> None:
    benchmarks = read_benchmarks(EVALUATION_SETS)
    for suite in (*INFILLING, "left-to-right"):
        tasks, _ = read_tasks(suite, None, 20, 0)
        kept = [
            task.name for task in tasks if not benchmarks.reason_to_drop("a.py", task.program(task.answer))
        ]
        assert not kept


def test_a_folder_without_evaluation_sets_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--evaluation-sets"):
        read_benchmarks(tmp_path)
