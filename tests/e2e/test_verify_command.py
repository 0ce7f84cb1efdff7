"""`fimble verify` as a user runs it: what it prints, and its exit status."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from lsp_server.cli.main import main
from lsp_server.cli.verify import record, table
from model_runtime.api import GreedyComparison, PartDifference, Verification
from tests.e2e.child import FIMBLE
from tests.e2e.test_commands import run
from tests.model_runtime.factory import write_checkpoint

SOUND = PartDifference("queries", 0, 5, 2e-7, 1e-7, ok=True)
OFF = PartDifference("MLP", 1, 12, 0.25, 3e-2, ok=False)
GREEDY = GreedyComparison(32, 32, tie=False)


def result(*differences: PartDifference, greedy: GreedyComparison = GREEDY) -> Verification:
    return Verification("tiny", "codegen", "cpu", "fp32", 64, 1e-4, differences, greedy)


@pytest.fixture(scope="module")
def codegen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its rotation lies otherwise than ours, and transformers' scores are rounded otherwise."""
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny-codegen", family="codegen")


def test_a_sound_checkpoint_gives_a_table_and_status_0(codegen: Path) -> None:
    done = run(*FIMBLE, "verify", str(codegen))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny-codegen (codegen) on ")
    parts = " ".join(line.split("  ")[0] for line in lines[2:-1])
    assert parts == "embedding queries keys values attention MLP block final norm logits greedy"
    assert all(line.endswith("  ok") for line in lines[2:-1])
    assert lines[-1] == "ok: all parts are within 0.0001"


def test_a_difference_beyond_the_tolerance_is_status_1(
    codegen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "a.py"
    text.write_text("for index in range(3):\n    print(index)\n", encoding="utf-8")
    argv = ["verify", str(codegen), "--dtype=bf16", "--tolerance=1e-6", "--prompt-file", str(text), "--json"]
    assert main([*argv, "--device=cpu", "--tokens=9"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["tokens"], found["dtype"], found["device"]) == (False, 9, "bf16", "cpu")
    assert (found["first"]["part"], found["first"]["layer"]) == ("queries", 0)
    assert len(found["differences"]) == 15
    assert found["greedy"]["steps"] == 32


def test_the_table_names_the_first_part_that_is_off() -> None:
    later = PartDifference("logits", None, 63, 1.5, 0.5, ok=False)
    assert list(table(result(SOUND, OFF, later))) == [
        "tiny (codegen) on cpu in fp32, 64 tokens: differences from transformers' own",
        "PART        LARGEST   RELATIVE  WHERE",
        "queries     2.0e-07   1.0e-07   block 0, token 5      ok",
        "MLP         2.5e-01   3.0e-02   block 1, token 12     FAIL",
        "logits      1.5e+00   5.0e-01   token 63              FAIL",
        "greedy      32 tokens equal                           ok",
        "FAIL: first beyond the tolerance of 0.0001: MLP of block 1",
    ]


@pytest.mark.parametrize(
    ("greedy", "line"),
    [
        (GreedyComparison(7, 32, tie=True), "7 of 32 tokens equal, then a tie          ok"),
        (GreedyComparison(7, 32, tie=False), "7 of 32 tokens equal, then another one    FAIL"),
    ],
)
def test_the_table_says_how_long_greedy_tokens_are_equal(greedy: GreedyComparison, line: str) -> None:
    assert list(table(result(SOUND, greedy=greedy)))[-2] == f"greedy      {line}"


def test_other_greedy_tokens_alone_are_a_failure_too() -> None:
    found = result(SOUND, greedy=GreedyComparison(0, 32, tie=False))
    assert not found.ok
    assert list(table(found))[-1].startswith("FAIL: all parts are within 0.0001, but the greedy tokens")


def test_the_record_is_sound_json_whatever_was_computed() -> None:
    lost = PartDifference("logits", None, 3, math.inf, math.inf, ok=False)
    text = json.dumps(record(result(SOUND, lost)), allow_nan=False)
    assert json.loads(text)["first"] == {
        "part": "logits", "layer": None, "token": 3, "difference": None, "relative": None, "ok": False
    }  # fmt: skip


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("fimble: ")
    assert errors.count("\n") == 1
    return errors


def test_another_family_is_one_line_and_status_2(
    codegen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(codegen, tmp_path / "copy")
    config = json.loads((codegen / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    assert main(["verify", str(tmp_path / "copy")]) == 2
    assert "model_type 'mamba' is not supported" in failure(capsys)


def test_no_such_model_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "/nowhere/at/all"]) == 2
    assert "there is no folder /nowhere/at/all" in failure(capsys)
