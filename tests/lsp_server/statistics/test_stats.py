"""``fimble stats``: the table, the records, the page, and the end of it all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lsp_server.cli.main import main
from lsp_server.cli.stats_table import table
from lsp_server.statistics.metrics import Metrics
from lsp_server.statistics.page import page
from lsp_server.statistics.store import FILE_NAME, Count, CountStore
from model_runtime.api import Usage
from tests.e2e.child import FIMBLE
from tests.e2e.terminal import TMUX, Terminal
from tests.lsp_server.fakes import FakeBackend

Stats = Callable[..., int]


@pytest.fixture
def stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stats:
    """Runs ``fimble stats`` on the counts in `tmp_path`."""
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(tmp_path))

    def run(*argv: str) -> int:
        try:
            return main(["stats", *argv], lambda _: FakeBackend())
        except SystemExit as exited:  # argparse's way
            return int(exited.code or 0)

    return run


def use(folder: Path, days_ago: int = 0, model: str = "default") -> None:
    """A day on which four completions were shown and one accepted, with five answers."""
    day = date.today() - timedelta(days=days_ago)
    now = [0.0]
    metrics = Metrics(CountStore(folder / FILE_NAME), clock=lambda: now[0], today=lambda: day)
    for number in range(4):
        metrics.shown(str(number), model=model, language="python", length=25)
    now[0] += 5
    metrics.accepted("0")
    for number in range(1, 4):
        metrics.dismissed(str(number))
    for number in range(5):
        metrics.answered(
            model=model,
            language="python",
            source="memory" if number else "model",
            milliseconds=1 if number else 41,
            usage=None if number else Usage(600, 580, 8),
        )
    metrics.kept(model=model, language="python", after=30, share=1)
    metrics.close()


def test_the_table_has_a_row_for_each_day_and_model(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path, 3)
    use(tmp_path, 0, "[red]own")  # a name is no markup
    assert stats() == 0
    out = capsys.readouterr().out
    today, before = date.today().isoformat(), (date.today() - timedelta(days=3)).isoformat()
    assert re.search(rf"{before} +default +4 +25 % +25 +100 % ", out)
    assert re.search(rf"{today} +\[red\]own +4 +25 % +25 +100 % ", out)
    assert re.search(r"all +8 +25 % +50 +100 % ", out)


LONG_NAMES = ("qwen2.5-coder-0.5b-instruct-q8_0", "qwen2.5-coder-1.5b-instruct-q8_0")


@pytest.fixture
def counts(tmp_path: Path) -> dict[Count, float]:
    """Several days with two models, of which the names are long and alike."""
    for days_ago in (0, 1, 30):
        for model in LONG_NAMES:
            use(tmp_path, days_ago, model)
    return CountStore(tmp_path / FILE_NAME).read()


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, "day shown accepted saved 30 s 180 s ms ms"),
        (80, "day shown accepted saved 30 s 180 s ms ms memory tokens"),
        (100, "day shown accepted saved 30 s 180 s ms ms memory tokens tokens"),
        (160, "day model shown accepted saved 30 s 180 s ms ms memory tokens tokens"),
    ],
)
def test_the_table_fits_a_terminal_and_every_day_has_a_line(
    counts: dict[Count, float], width: int, columns: str
) -> None:
    lines = table(counts, width)
    assert max(map(len, lines)) <= width
    assert " ".join(lines[1].split()) == columns
    day = date.today().isoformat()
    rows = [line for line in lines if line.startswith(day)]
    assert [re.findall(r"\d+ %", row)[:2] for row in rows] == [["25 %", "100 %"]] * 2
    names = [line.split()[1] if line.startswith(day) else line for line in lines]
    assert [name for name in names if name in LONG_NAMES] == list(LONG_NAMES)


def test_what_a_narrow_table_leaves_out_is_said(counts: dict[Count, float]) -> None:
    assert "from memory, prefill tokens, decode tokens" in " ".join(table(counts, 60)[-2:])
    assert "--json" not in " ".join(table(counts, 100))


def test_no_terminal_is_too_narrow(counts: dict[Count, float]) -> None:
    assert any(line.startswith("all") for line in table(counts, 1))


def test_in_a_pipe_nothing_is_cut(
    stats: Stats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    use(tmp_path, 0, "m" * 80)
    assert stats() == 0
    out = capsys.readouterr().out
    assert re.search(r"m{80} +4 +25 % +25 +100 % +– +1\.0 +39 +80 % +20 +8\.0$", out, re.MULTILINE)


@pytest.mark.skipif(TMUX is None, reason="needs tmux")
def test_the_table_is_readable_in_a_terminal_of_80_columns(
    counts: dict[Count, float], tmp_path: Path
) -> None:
    with Terminal((*FIMBLE, "stats"), FIMBLE_DATA_DIR=str(tmp_path)) as terminal:
        terminal.shows("ended with 0")
        shown = terminal.screen.splitlines()
    lines = table(CountStore(tmp_path / FILE_NAME).read(date.today() - timedelta(days=29)), 80)
    assert shown[: len(lines)] == lines


def test_only_the_days_asked_for_are_shown(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path, 3)
    use(tmp_path, 0)
    assert stats("--days", "3", "--json") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["day"] == date.today().isoformat()


def test_json_is_a_record_for_each_day_and_model(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path)
    assert stats("--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert 38 < record.pop("latency_p95_ms") < 44
    assert record == {
        "day": date.today().isoformat(),
        "model": "default",
        "answered": 5,
        "shown": 4,
        "accepted": 1,
        "partly_accepted": 0,
        "dismissed": 3,
        "glanced": 0,
        "acceptance": 0.25,
        "characters_saved": 25,
        "kept_30_s": 1.0,
        "kept_90_s": None,
        "kept_180_s": None,
        "latency_p50_ms": 1.0,
        "from_memory": 0.8,
        "prefilled_tokens": 20.0,
        "reused_tokens": 580.0,
        "decoded_tokens": 8.0,
    }


def test_nothing_counted_yet_is_said_in_one_line(stats: Stats, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats() == 0
    out = capsys.readouterr().out
    assert out.startswith("fimble: nothing was counted yet: ")
    assert "`metrics`" in out
    assert out.count("\n") == 1


def test_nothing_counted_lately_is_said_so(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path, 20)
    assert stats("--days", "7") == 0
    assert "in the last 7 days" in capsys.readouterr().out


def test_json_of_nothing_is_nothing_for_a_program_to_trip_over(
    stats: Stats, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stats("--json") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("days", ["0", "-1", "many", "181"])
def test_days_that_make_no_sense_are_said_so(
    stats: Stats, capsys: pytest.CaptureFixture[str], days: str
) -> None:
    assert stats("--days", days) == 2
    assert "is not a number of days" in capsys.readouterr().err


def test_a_damaged_file_is_one_line_that_says_what_to_do(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"garbage " * 500)
    assert stats() == 2
    error = capsys.readouterr().err
    assert "`fimble stats --clear`" in error
    assert error.count("\n") == 1
    assert stats("--clear", "--yes") == 0
    assert stats() == 0


@pytest.mark.parametrize("argv", [[], ["--json"], ["--clear", "--yes"]])
def test_a_folder_that_is_closed_is_one_line_that_says_what_to_do(
    stats: Stats,
    closed_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    monkeypatch.setenv("FIMBLE_DATA_DIR", str(closed_folder))
    assert stats(*argv) == 2
    error = capsys.readouterr().err
    assert "check that you may write there" in error
    assert error.count("\n") == 1


def test_clearing_asks_first(
    stats: Stats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path)
    assert stats("--clear") == 2  # nobody there to ask
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert stats("--clear") == 1
    assert CountStore(tmp_path / FILE_NAME).read()
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert stats("--clear") == 0
    assert CountStore(tmp_path / FILE_NAME).read() == {}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed, in order."""

    VOID = frozenset(("meta", "rect", "line"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for days_ago in (0, 1, 9):
        use(tmp_path, days_ago, '<b>&"own"')
    target = tmp_path / "page.html"
    assert stats("--html", str(target)) == 0
    assert capsys.readouterr().out == f"{target}\n"
    text = target.read_text(encoding="utf-8")
    parsed = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(parsed.tags)
    assert not {"src", "href", "xlink:href", "srcset", "data"} & {name for name, _ in parsed.attributes}
    for loading in ("http:", "https:", "url(", "@import", "//"):
        assert loading not in text
    assert parsed.tags.count("svg") == 3
    assert parsed.tags.count("table") == 3  # for readers who do not see the charts
    assert "prefers-color-scheme: dark" in text
    assert "&lt;b&gt;&amp;&quot;own&quot;" in text


def test_a_page_can_be_made_of_next_to_nothing() -> None:
    today = date(2026, 11, 23)
    Page(page({Count("2026-11-23", "default", "python", "answered"): 1.0}, today, today))


def test_a_page_that_cannot_be_written_is_said_so(
    stats: Stats, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(tmp_path)
    assert stats("--html", str(tmp_path / "no" / "page.html")) == 2
    assert "can't be written" in capsys.readouterr().err
