"""``fimble bench``: what it prints, draws and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsp_server.bench import plot as bench_plot
from lsp_server.bench.figures import BenchFigures
from lsp_server.bench.machine import Machine, this_machine
from lsp_server.bench.typist import Keystroke, TypedKey
from lsp_server.bench.typist.session import Edit
from lsp_server.cli.main import main
from lsp_server.files import CommandError
from model_runtime.api import Bandwidth, ContextSpeed, ModelInfo, Speed, Usage
from tests.lsp_server.fakes import FakeBackend

FULL_DEVICE = Path("/dev/full")
MACHINE = Machine("A Processor", 2, ("avx2",), 8 * 2**30, "Linux 6", "3.11.7", load=2.0)
INFO = ModelInfo("tiny", "gpt_bigcode", 2_500_000, 768, "cpu", "int8", fill_in_the_middle=True)
SPEED = Speed(
    INFO,
    prefill_threads=2,
    decode_threads=1,
    bandwidth=(Bandwidth(1, 10e9), Bandwidth(2, 20e9)),
    step_bytes=40_000_000,
    contexts=(ContextSpeed(128, 20.0, 3.0), ContextSpeed(512, 80.0, 4.0), ContextSpeed(736, 120.0, 5.0)),
)


def figures(*waits: float) -> BenchFigures:
    """The figures of a session in which keys waited so many milliseconds."""
    keys = [
        TypedKey(
            Keystroke(float(number), "type", Edit(0, 0, "x"), 1),
            *(float(number), number + wait / 1000, number + wait / 1000, number + wait / 1000 + 0.01),
        )
        for number, wait in enumerate(waits)
    ]
    return BenchFigures("0.1.0", MACHINE, SPEED, "src/app.py", 3, tuple(keys), Usage(100, 98, 4))


def test_the_table_says_what_was_measured_and_on_what() -> None:
    text = "\n".join(figures(10, 20, 90).table())
    assert "tiny (gpt_bigcode, 2.5M parameters) on cpu in int8" in text
    assert "A Processor, 2 cores, 8 GiB, Linux 6" in text
    assert "busy (load 2.0)" in text
    assert "6,400 tokens/s, 2 threads" in text
    assert "50%            40.0 MB of weights ÷ 20.0 GB/s = 2.00 ms" in text
    assert "p50 20.0 ms    p95 90.0 ms" in text
    assert "98.0%" in text
    assert all(len(line) < 110 for line in text.splitlines())


def test_a_session_that_nothing_was_shown_in_is_said_so() -> None:
    assert "no text was shown" in "\n".join(figures().table())


def test_the_record_has_every_figure_and_the_wait_of_every_key() -> None:
    record = json.loads(json.dumps(figures(10, 20).record()))
    assert record["contexts"][1] == {
        "tokens": 512,
        "prefill_ms": 80.0,
        "decode_ms": 4.0,
        "prefill_tokens_per_second": 6400.0,
        "share_of_limit": 0.5,
    }
    assert record["typing"]["waits_ms"] == [10.0, 20.0]
    assert record["typing"]["first_text_ms"] == pytest.approx({"p50": 10.0, "p95": 20.0})
    assert (record["fimble"], record["model"]["name"], record["limit_ms"]) == ("0.1.0", "tiny", 2.0)
    assert record["machine"]["cores"] == 2


@pytest.mark.parametrize("waits", [(10.0, 20.0, 400.0) * 20, (7.0,), ()], ids=["many", "one", "none"])
@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_picture_is_drawn(tmp_path: Path, name: str, magic: bytes, waits: tuple[float, ...]) -> None:
    path = tmp_path / name
    bench_plot.check_plot(path)
    bench_plot.draw(figures(*waits), path)
    assert path.read_bytes().startswith(magic)
    if magic == b"<?xml":
        text = path.read_text(encoding="utf-8")
        assert "From a key to ghost text" in text
        assert "reading the weights once: 2.00 ms" in text
        assert (">p95 " in text) == bool(waits)


def test_without_matplotlib_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"pip install 'fimble\[plot\]'"):
        bench_plot.check_plot(tmp_path / "a.svg", find=lambda name: None)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--plot", "{folder}/a.jpg"], "its name must end in .svg or .png"),
        (["--plot", "{folder}/gone/a.svg"], "there is no folder"),
        (["--plot", "{folder}/folder.svg"], "is a folder"),
        (["--characters", "0"], "--characters is 0"),
        (["{folder}/gone.py"], "there is no file"),
        (["{empty}"], "is empty"),
        (["--model", "{folder}/gone"], "gone"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    empty = tmp_path / "empty.py"
    empty.touch()
    (tmp_path / "folder.svg").mkdir()
    asked = [word.format(folder=tmp_path, empty=empty) for word in argv]
    assert main(["bench", *asked], lambda _: FakeBackend()) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert errors.startswith("fimble: ")
    assert words in errors


def test_a_real_model_is_measured_and_its_record_printed(
    checkpoint_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, picture = tmp_path / "app.py", tmp_path / "app.svg"
    source.write_text("def add(first, second):\n    return first + second\n", encoding="utf-8")
    asked = ["bench", str(source), "--quick", "--json", "--characters=8", f"--plot={picture}"]
    assert main([*asked, "--model", str(checkpoint_folder), "--quantize=none"]) == 0
    out, errors = capsys.readouterr()
    record = json.loads(out)
    assert errors == ""  # no progress bar where nobody sees it
    assert record["model"]["name"] == checkpoint_folder.name
    assert record["typing"]["keys"] >= record["typing"]["answered"] >= 3
    assert record["typing"]["decoded_mean"] > 0
    assert picture.stat().st_size > 1000


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="there is no device that is always full")
def test_figures_are_not_lost_where_their_picture_cannot_be_drawn(
    checkpoint_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "a.svg"
    picture.symlink_to(FULL_DEVICE)
    asked = ["bench", "--quick", "--characters=8", "--plot", str(picture)]
    assert main([*asked, "--model", str(checkpoint_folder), "--quantize=none"]) == 2
    out, errors = capsys.readouterr()
    assert "from a key to text" in out
    assert "can't be written" in errors
    assert errors.count("\n") == 1


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory is None or machine.memory > 2**20
    assert machine.processor in str(machine)
    assert machine.python.count(".") == 2
