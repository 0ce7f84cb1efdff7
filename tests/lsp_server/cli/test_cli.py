"""The command line: what it prints, and that every mistake is one line and exit status 2."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server import __version__
from lsp_server.cli.arguments import Location, parse_address
from lsp_server.cli.main import main, parser
from lsp_server.cli.options import chosen_model, chosen_settings
from lsp_server.files import CommandError
from lsp_server.settings import Settings
from model_runtime.api import Backend, BackendError, ModelInfo, ModelNotFound, ModelOptions
from tests.lsp_server.fakes import INFO, FakeBackend

Run = Callable[..., int]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend("foo", "(1)", "\nbar\n")


@pytest.fixture
def run(backend: FakeBackend) -> Run:
    """Runs a command line against the fake backend."""

    def run(*argv: str) -> int:
        return main(argv, lambda _: backend)

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes("é = \r\nif x:\r\n".encode())
    return path


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("fimble: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    return errors


def test_a_completion_goes_to_standard_output_as_it_is(
    run: Run, source: Path, backend: FakeBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("complete", f"{source}:1:5") == 0
    assert capsys.readouterr().out == "foo(1)"
    assert (backend.requests[0].prefix, backend.requests[0].suffix) == ("é = ", "\nif x:\n")


def test_without_a_column_the_lines_end_is_completed(run: Run, source: Path, backend: FakeBackend) -> None:
    assert run("complete", f"{source}:2") == 0
    assert backend.requests[0].prefix == "é = \nif x:"


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("b.py", "x = 1\n", "python"),
        ("app.js", "let x = 1\n", "javascript"),
        ("Makefile", "x = 1\n", "makefile"),
        ("run", "#!/usr/bin/env python3\n", "python"),
        ("unknown", "x = 1\n", ""),
    ],
)
def test_a_file_is_completed_in_its_language(
    run: Run, tmp_path: Path, backend: FakeBackend, name: str, text: str, language: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert run("complete", f"{tmp_path / name}:1") == 0
    assert backend.requests[0].language == language


@pytest.mark.parametrize(("name", "completion"), [("app.js", "value)"), ("unknown", "value")])
def test_brackets_in_a_files_comments_are_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, completion: str
) -> None:
    (tmp_path / name).write_text("call( // :)\n  ", encoding="utf-8")
    assert main(["complete", f"{tmp_path / name}:2"], lambda _: FakeBackend("value)")) == 0
    assert capsys.readouterr().out == completion


def test_text_that_is_withdrawn_when_it_is_whole_is_not_printed(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = FakeBackend("foo", "(1")  # an editor sees the bracket, until it turns out that none closes it
    assert main(["complete", f"{source}:1"], lambda _: backend) == 0
    printed = capsys.readouterr().out
    assert main(["complete", f"{source}:1", "--json"], lambda _: backend) == 0
    assert printed == json.loads(capsys.readouterr().out)["text"] == "foo"


def test_where_there_is_nothing_to_offer_it_is_said_so(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = FakeBackend(" ")
    assert main(["complete", f"{source}:1"], lambda _: backend) == 0
    assert capsys.readouterr() == ("", "fimble: nothing to offer here\n")
    assert main(["complete", f"{source}:1", "--json"], lambda _: backend) == 0
    out, errors = capsys.readouterr()
    record = json.loads(out)
    assert (record["text"], record["first_token_ms"], errors) == ("", None, "")


def test_json_is_one_record(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend("foo", "(1)")
    assert main(["complete", f"{source}:1", "--json"], lambda _: backend) == 0
    record = json.loads(capsys.readouterr().out)
    assert record.pop("first_token_ms") <= record.pop("total_ms")
    assert record == {
        "text": "foo(1)",
        "prompt_tokens": 5,
        "reused_tokens": 3,
        "decoded_tokens": 2,
        "model": "fake",
    }


def test_options_reach_the_model(run: Run, source: Path, backend: FakeBackend) -> None:
    options = ["--max-tokens=9", "--temperature=0.5", "--top-k=4", "--top-p=0.9", "--seed=7"]
    assert run("complete", f"{source}:1", *options) == 0
    [request] = backend.requests
    assert (request.max_tokens, request.temperature, request.seed) == (9, 0.5, 7)
    assert (request.top_k, request.top_p, request.deadline) == (4, 0.9, None)


def test_a_latency_budget_is_kept_where_one_is_given(
    run: Run, source: Path, backend: FakeBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.pieces = ("foo(1)", "\n", "bar")
    backend.may_finish.clear()  # else it would write for ever
    assert run("complete", f"{source}:2", "--latency-budget-ms=50") == 0
    assert backend.requests[0].deadline is not None
    assert capsys.readouterr().out.startswith("foo(1)")


def test_the_model_that_is_named_is_opened(source: Path, backend: FakeBackend) -> None:
    opened: list[ModelOptions] = []

    def open_backend(options: ModelOptions) -> Backend:
        opened.append(options)
        return backend

    location = f"{source}:1"
    options = ["--model", "/m", "--device=cpu", "--dtype=bf16", "--quantize=int4", "--memory-mb=512"]
    assert main(["complete", location, *options], open_backend) == 0
    assert opened == [ModelOptions("/m", "cpu", "bf16", "int4", 512)]


def test_a_server_is_started_with_the_options_that_were_given() -> None:
    options = ["--model=/m", "--quantize=int4", "--memory-mb=512"]
    passed_on = chosen_model(parser().parse_args(["try", *options]))
    again = parser().parse_args(["serve", *passed_on])
    assert chosen_settings(again) == Settings("/m", quantize="int4", memory_mb=512)


def test_prefix_and_suffix_come_from_files_or_standard_input(
    run: Run, source: Path, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("ü = ".encode())))
    assert run("complete", "--prefix-file", "-", "--suffix-file", str(source)) == 0
    assert (backend.requests[0].prefix, backend.requests[0].suffix) == ("ü = ", "é = \nif x:\n")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("a.py:3", Location("a.py", 3, None)),
        ("a.py:3:1", Location("a.py", 3, 1)),
        (r"C:\x.py:3:1", Location(r"C:\x.py", 3, 1)),
        (r"C:\x.py:3", Location(r"C:\x.py", 3, None)),
        ("/tmp/a:1/b.py:3:1", Location("/tmp/a:1/b.py", 3, 1)),
    ],
)
def test_a_location_is_a_file_a_line_and_perhaps_a_column(text: str, location: Location) -> None:
    assert Location.parse(text) == location


@pytest.mark.parametrize("text", ["a.py", "a.py:", "a.py:x", ":3", "a.py:0", "a.py:3:0", "a.py:-1"])
def test_what_names_no_line_is_no_location(text: str) -> None:
    with pytest.raises(CommandError):
        Location.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9257", ("127.0.0.1", 9257)),
        (":9257", ("127.0.0.1", 9257)),
        ("localhost:0", ("localhost", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_without_a_host_is_this_machine(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "x", "host:", "host:port", "1:65536", "-1"])
def test_what_names_no_port_is_no_address(text: str) -> None:
    with pytest.raises(CommandError):
        parse_address(text)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("{source}:9", "a.py has 3 lines, so there is no line 9"),
        ("{source}:1:6", "line 1 of {source} has 4 characters: the column is at most 5, not 6"),
        ("{source}:0", "lines and columns count from 1"),
        ("{source}", "write FILE:LINE or FILE:LINE:COL"),
        ("{source}x:1", "there is no file {source}x"),
        ("{folder}:1", "{folder} is a folder"),
        ("{latin}:1", "is not UTF-8 text (byte 2): save it as UTF-8 first"),
    ],
)
def test_a_place_that_is_none_is_said_so(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str], where: str, words: str
) -> None:
    latin = source.with_name("latin.py")
    latin.write_bytes(b"x\xe9")
    names = {"source": source, "folder": source.parent, "latin": latin}
    assert run("complete", where.format(**names)) == 2
    assert words.format(**names) in failure(capsys)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "frobnicate"),
        (["complete"], "give FILE:LINE:COL, or --prefix-file"),
        (["complete", "a.py:1", "--prefix-file", "b"], "not both"),
        (["complete", "--prefix-file", "-", "--suffix-file", "-"], "not both"),
        (["complete", "a.py:1", "--max-tokens", "many"], "--max-tokens"),
        (["complete", "a.py:1", "--device", "gpu"], "--device"),
        (["serve", "--memory-mb", "63"], "'63' is not a whole number of megabytes, at least 64"),
        (["doctor", "--memory-mb", "much"], "'much' is not a whole number of megabytes"),
        (["serve", "--tcp", "nowhere"], "--tcp 'nowhere' is not an address"),
        (["serve", "--stdio", "--tcp", "9257"], "--tcp: not allowed with argument --stdio"),
    ],
)
def test_a_command_that_makes_no_sense_is_said_so(
    run: Run, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    try:
        status = run(*argv)
    except SystemExit as exited:  # argparse's way
        status = int(exited.code or 0)
    assert status == 2
    assert words in failure(capsys)


def test_a_setting_that_makes_no_sense_is_said_so(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("complete", f"{source}:1", "--max-tokens", "0") == 2
    assert "max_tokens is 0" in failure(capsys)


@pytest.mark.parametrize("error", [ModelNotFound("no config.json in /m"), BackendError("two\nlines")])
def test_a_model_that_cannot_be_used_is_said_so_in_one_line(
    source: Path, capsys: pytest.CaptureFixture[str], error: BackendError
) -> None:
    assert main(["complete", f"{source}:1"], lambda _: FakeBackend(error=error)) == 2
    assert " ".join(str(error).split()) in failure(capsys)


def test_a_mistake_of_ours_is_one_line_too(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: ModelOptions) -> Backend:
        raise ZeroDivisionError("1 / 0")

    assert main(["complete", f"{source}:1"], broken) == 2
    assert "ZeroDivisionError: 1 / 0" in failure(capsys)


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_where_an_error_comes_from(source: Path, place: str) -> None:
    argv = ["complete", f"{source}:1"]
    argv.insert(0 if place == "before" else 1, "--debug")
    with pytest.raises(ModelNotFound):
        main(argv, lambda _: FakeBackend(error=ModelNotFound("gone")))


def test_an_interrupted_command_is_quiet(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: ModelOptions) -> Backend:
        raise KeyboardInterrupt

    assert main(["complete", f"{source}:1"], interrupted) == 130
    assert capsys.readouterr() == ("", "")


def test_a_port_in_use_is_said_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("serve", "--tcp", str(port)) == 2
    assert f"can't listen on 127.0.0.1:{port}" in failure(capsys)


def test_the_doctor_finds_a_healthy_set_up_healthy(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = {line.split()[1]: line.split()[0] for line in lines}
    assert {"python", "torch", "devices", "threads", "model", "completion"} <= subjects.keys()
    assert "fail" not in subjects.values()


@pytest.mark.parametrize(("options", "limit"), [([], "not set"), (["--memory-mb=512"], "512")])
def test_the_doctor_says_what_computes_and_how_much_memory_it_takes(
    run: Run, capsys: pytest.CaptureFixture[str], options: list[str], limit: str
) -> None:
    run("doctor", *options)
    lines = capsys.readouterr().out.splitlines()
    assert "ok    engine       native (avx2)" in lines
    use = f"40 MB of weights, KV cache up to 512 MB (65,536 tokens); memoryMb {limit}"
    assert f"ok    memory       {use}" in lines


@pytest.mark.parametrize(
    ("info", "line"),
    [
        (
            replace(INFO, engine="torch", native_problem="it was not built: install it again"),
            "warn  engine       torch: it was not built: install it again",
        ),
        (replace(INFO, engine="torch"), "ok    engine       torch, for this quantize and dtype"),
        (replace(INFO, engine="torch", device="cuda:0"), "ok    engine       torch"),
    ],
)
def test_the_doctor_says_why_the_native_engine_does_not_compute(
    capsys: pytest.CaptureFixture[str], info: ModelInfo, line: str
) -> None:
    main(["doctor"], lambda _: FakeBackend("x", info=info))
    assert line in capsys.readouterr().out.splitlines()


def test_the_doctor_says_what_fails_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModelNotFound("no config.json in /m: name a folder that holds a checkpoint")
    assert main(["doctor"], lambda _: FakeBackend(error=error)) == 1
    assert f"fail  model        {error}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "argv", [["--help"], ["serve", "--help"], ["complete", "--help"], ["doctor", "--help"]]
)
def test_help_explains(run: Run, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        run(*argv)
    assert exited.value.code == 0
    assert "usage: fimble" in capsys.readouterr().out


def test_the_version_is_the_packages(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--version")
    assert capsys.readouterr().out == f"fimble {__version__}\n"
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [__version__]
