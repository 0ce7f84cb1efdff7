"""The registry with real folders, and downloads from a real HTTP server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from model_runtime.api import BackendError, ModelEntry, ModelNotFound
from model_runtime.models.fitting import Machine
from model_runtime.models.hub import DownloadFailed, Hub
from model_runtime.models.known import KNOWN_MODELS
from model_runtime.models.registry import (
    DEFAULT_MODEL,
    REPOSITORY,
    list_models,
    pull,
    resolve,
)

GB = 10**9
KNOWN = "tiny_starcoder_py"
KNOWN_REPOSITORY = "bigcode/tiny_starcoder_py"
WEIGHTS = "model.safetensors"
MACHINE = Machine("native", 8 * GB, 10 * GB)


@dataclass
class FakeHub:
    """The part of the hub's HTTP interface that a download meets, and the ways in which it goes wrong.

    `files` is what it lists, `served` what it sends instead, `sizes` what it says instead; `cuts` holds,
    for each coming answer with weights, after how many bytes the connection breaks.
    """

    files: dict[str, bytes]
    commit: str = "c0ffee" * 6 + "c0de"
    served: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    refusal: tuple[str, int, str] | None = None  # a part of the path, the status, the hub's error code
    redirect: str | None = None  # where the files are
    address: str = ""
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def hub(self) -> Hub:
        return Hub(endpoint=self.address, pauses=(0,))

    def asked(self, name: str) -> list[str | None]:
        """The ranges that were asked for of one file."""
        return [headers.get("Range") for path, headers in self.requests if path.endswith(f"/{name}")]

    def listing(self, repository: str) -> dict[str, Any]:
        return {
            "id": repository,
            "sha": self.commit,
            "siblings": [self._sibling(name) for name in self.files],
        }

    def _sibling(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        sibling = {
            "rfilename": name,
            "size": self.sizes.get(name, len(content)),
            "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        if name.endswith((".safetensors", ".bin")):
            sha256 = hashlib.sha256(content).hexdigest()
            sibling["lfs"] = {"size": sibling["size"], "sha256": sha256, "pointerSize": 134}
        return sibling


class Handler(BaseHTTPRequestHandler):
    fake: FakeHub

    def do_GET(self) -> None:
        self.fake.requests.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if self.fake.refusal and self.fake.refusal[0] in path:
            _, status, code = self.fake.refusal
            self._answer(status, b"refused", {"X-Error-Code": code} if code else {})
        elif path.startswith("/api/models/"):
            repository = path.removeprefix("/api/models/").partition("/revision/")[0]
            self._answer(200, json.dumps(self.fake.listing(repository)).encode())
        elif self.fake.redirect:
            self._answer(302, b"", {"Location": self.fake.redirect + path})
        else:
            self._send_file(path.rpartition("/")[2])

    def _send_file(self, name: str) -> None:
        content = self.fake.served.get(name, self.fake.files[name])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        start = start if self.fake.ranges else 0
        cut = self.fake.cuts.pop(0) if self.fake.cuts and name == WEIGHTS else None
        self._answer(206 if start else 200, content[start:], cut=cut)

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """The test's own report is enough."""


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ThreadingHTTPServer]]:
    """Servers to be closed in the end; the hub's client is made anew, so that it goes through no proxy."""
    import huggingface_hub

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    huggingface_hub.close_session()
    servers: list[ThreadingHTTPServer] = []
    yield servers
    huggingface_hub.close_session()
    for server in servers:
        stop(server)


def serve(fake: FakeHub, servers: list[ThreadingHTTPServer]) -> FakeHub:
    handler = type("BoundHandler", (Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    servers.append(server)
    fake.address = f"http://127.0.0.1:{server.server_port}"
    return fake


def stop(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


@pytest.fixture
def fake(checkpoint_folder: Path, network: list[ThreadingHTTPServer]) -> FakeHub:
    """A hub that has the tiny checkpoint, and beside it what no model needs."""
    files = {path.name: path.read_bytes() for path in checkpoint_folder.iterdir()}
    extra = {"README.md": b"#", "pytorch_model.bin": b"no", "onnx/model.onnx": b"no", "LICENSE": b"free"}
    return serve(FakeHub(files | extra), network)


def named(entries: list[ModelEntry], name: str) -> ModelEntry:
    return next(entry for entry in entries if entry.name == name)


def one_line(error: pytest.ExceptionInfo[BackendError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_every_known_model_has_a_name_to_type_and_a_repository_to_pull() -> None:
    assert len({model.name for model in KNOWN_MODELS}) == len(KNOWN_MODELS)
    for model in KNOWN_MODELS:
        assert model.name == model.name.lower()
        assert REPOSITORY.fullmatch(model.repository)
        if model.download_bytes is not None:  # from half to single precision, but for the rounding
            assert 1.9 < model.download_bytes / model.parameters < 4.1


def test_known_models_are_listed_where_none_is_on_disk(tmp_path: Path) -> None:
    entry = named(list_models(tmp_path / "nowhere"), "starcoderbase-1b")
    assert entry.path is None
    assert entry.repository == "bigcode/starcoderbase-1b"
    assert (entry.family, entry.licence, entry.fill_in_the_middle) == (
        "gpt_bigcode",
        "BigCode OpenRAIL-M",
        True,
    )
    assert entry.size == 4_550_000_000


def test_what_is_on_disk_is_listed_with_its_own_facts(tmp_path: Path, checkpoint_folder: Path) -> None:
    for name in (KNOWN, "my-own", "acme--tiny"):
        shutil.copytree(checkpoint_folder, tmp_path / name)
    entries = list_models(tmp_path, MACHINE)
    own = named(entries, "my-own")
    assert own == ModelEntry(
        name="my-own",
        path=tmp_path / "my-own",
        repository=None,
        family="gpt_bigcode",
        parameters=parameters(checkpoint_folder),
        licence=None,
        fill_in_the_middle=None,
        size=(checkpoint_folder / WEIGHTS).stat().st_size,
        fits=True,
        needs=own.needs,
        free=MACHINE.free,
        token_ms=own.token_ms,
    )
    known = named(entries, KNOWN)
    assert (known.path, known.size, known.parameters) == (tmp_path / KNOWN, own.size, 164_000_000)
    assert named(entries, "acme/tiny").path == tmp_path / "acme--tiny"


def parameters(folder: Path) -> int:
    return sum(tensor.size for tensor in load_file(folder / WEIGHTS).values())


def test_a_list_skips_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[1")
    own = [entry for entry in list_models(tmp_path) if entry.path and entry.path.parent == tmp_path]
    assert [(entry.name, entry.family, entry.size, entry.fits) for entry in own] == [
        ("broken", None, None, None)
    ]


def test_a_model_fits_by_the_format_that_it_would_have_here(tmp_path: Path) -> None:
    def fits(machine: Machine) -> dict[str, bool | None]:
        return {entry.name: entry.fits for entry in list_models(tmp_path, machine)}

    native, floats, gpu = (fits(Machine(kind, 12 * GB, 1000 * GB)) for kind in ("native", "torch", "gpu"))
    assert (native["codellama-7b"], native["starcoder2-15b"]) == (True, False)
    assert (floats["codellama-7b"], floats["codegen-2b-mono"]) == (False, False)
    assert (gpu["codellama-7b"], gpu["codegen-2b-mono"]) == (False, True)


def test_a_gguf_file_in_the_folder_is_a_model_of_its_own_size(tmp_path: Path) -> None:
    file = tmp_path / "tiny.Q4_0.gguf"
    file.write_bytes(bytes(3_000_000))
    found = named(list_models(tmp_path, Machine("native", GB, 10 * GB)), file.name)
    assert (found.path, found.size, found.fits, found.token_ms) == (file, 3_000_000, True, 0.3)
    assert resolve(file.name, tmp_path) == file
    restored = named(list_models(tmp_path, Machine("torch", GB, 10 * GB)), file.name)
    assert (restored.fits, restored.needs) == (None, None)


@pytest.mark.skipif(not (DEFAULT_MODEL / "config.json").is_file(), reason="no default model is built yet")
def test_the_default_model_is_always_there(tmp_path: Path) -> None:
    first = list_models(tmp_path)[0]
    assert (first.name, first.path, first.fits) == ("default", DEFAULT_MODEL, True)
    assert resolve(None, tmp_path) == resolve("default", tmp_path) == DEFAULT_MODEL


@pytest.mark.parametrize("written", [KNOWN, KNOWN.upper(), KNOWN_REPOSITORY])
def test_a_name_or_repository_leads_to_the_folder(
    tmp_path: Path, checkpoint_folder: Path, written: str
) -> None:
    shutil.copytree(checkpoint_folder, tmp_path / KNOWN)
    assert resolve(written, tmp_path) == tmp_path / KNOWN


@pytest.mark.parametrize("written", ["acme/tiny", "acme--tiny"])
def test_any_repository_on_disk_has_its_name(tmp_path: Path, checkpoint_folder: Path, written: str) -> None:
    shutil.copytree(checkpoint_folder, tmp_path / "acme--tiny")
    assert resolve(written, tmp_path) == tmp_path / "acme--tiny"


def test_a_path_that_exists_wins_over_a_name(
    tmp_path: Path, checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint_folder, tmp_path / "models" / KNOWN)
    (tmp_path / KNOWN).mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve(KNOWN, tmp_path / "models") == Path(KNOWN)
    assert resolve(str(checkpoint_folder), tmp_path) == checkpoint_folder


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "starcoderbase-1b",
            "`starcoderbase-1b` is known but not on this machine: run `fimble models pull starcoderbase-1b`",
        ),
        (
            "bigcode/starcoderbase-1b",
            "`starcoderbase-1b` is known but not on this machine: run `fimble models pull starcoderbase-1b`",
        ),
        ("starcodebase-1b", "there is no model `starcodebase-1b`: did you mean `starcoderbase-1b`?"),
        ("zzz", "there is no model `zzz`: `fimble models` lists those that there are"),
        (
            "acme/tiny",
            "there is no folder acme/tiny: check the path, or run `fimble models pull acme/tiny`",
        ),
        ("./models/mine", "there is no folder ./models/mine: check the path"),
    ],
)
def test_a_missing_model_is_reported_in_one_line(tmp_path: Path, written: str, message: str) -> None:
    with pytest.raises(ModelNotFound) as error:
        resolve(written, tmp_path)
    assert one_line(error) == message


NO_NETWORK = """
import asyncio, sys
from pathlib import Path

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        raise AssertionError(f"{event} {arguments}")
    if event in ("socket.connect", "socket.sendto"):
        # Where the system has no socket pairs, an event loop makes its own of two loopback sockets.
        host = arguments[1][0] if isinstance(arguments[1], tuple) else ""
        if host not in ("127.0.0.1", "::1"):
            raise AssertionError(f"{event} {arguments}")

sys.addaudithook(guard)
from model_runtime import CompletionRequest, ModelOptions, open_backend
from model_runtime.models import list_models, resolve

async def complete(folder):
    backend = open_backend(ModelOptions(model=str(folder), device="cpu"))
    chunks = [chunk async for chunk in backend.complete(CompletionRequest(prefix="def ", max_tokens=2))]
    await backend.close()
    return chunks[-1].finish

models = Path(sys.argv[1])
assert any(entry.path and entry.path.parent == models for entry in list_models(models))
assert asyncio.run(complete(resolve("acme/tiny", models)))
print("alone")
"""


def test_a_model_on_disk_is_found_and_used_without_the_network(
    tmp_path: Path, checkpoint_folder: Path
) -> None:
    shutil.copytree(checkpoint_folder, tmp_path / "acme--tiny")
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "alone", done.stderr


def test_a_pulled_model_is_complete_and_found_by_name(
    tmp_path: Path, fake: FakeHub, checkpoint_folder: Path
) -> None:
    models = tmp_path / "models"
    folder = pull(KNOWN, models, hub=fake.hub)
    assert folder == models / KNOWN == resolve(KNOWN, models)
    for path in checkpoint_folder.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert list(models.iterdir()) == [folder]


def test_only_what_a_model_needs_is_pulled(tmp_path: Path, fake: FakeHub, checkpoint_folder: Path) -> None:
    folder = pull(KNOWN, tmp_path, hub=fake.hub)
    wanted = {path.name for path in checkpoint_folder.iterdir()} | {"LICENSE"}
    assert {path.name for path in folder.iterdir()} == wanted


def test_shards_are_pulled_with_their_index(tmp_path: Path, fake: FakeHub) -> None:
    del fake.files[WEIGHTS], fake.files["pytorch_model.bin"]
    shards = {f"pytorch_model-0000{n}-of-00002.bin": b"%d" % n for n in (1, 2)}
    fake.files |= {"pytorch_model.bin.index.json": b"{}", **shards}
    names = {path.name for path in pull(KNOWN, tmp_path, hub=fake.hub).iterdir()}
    assert names >= {"pytorch_model.bin.index.json", *shards}


def test_any_repository_can_be_pulled(tmp_path: Path, fake: FakeHub) -> None:
    folder = pull("acme/tiny", tmp_path, hub=fake.hub)
    assert resolve("acme/tiny", tmp_path) == folder
    assert named(list_models(tmp_path), "acme/tiny").path == folder


def test_progress_grows_to_the_total(tmp_path: Path, fake: FakeHub) -> None:
    told: list[tuple[int, int]] = []
    folder = pull(KNOWN, tmp_path, lambda done, total: told.append((done, total)), hub=fake.hub)
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert {whole for _, whole in told} == {total}
    assert told == sorted(told)
    assert told[-1] == (total, total)


def test_a_lost_connection_is_resumed(tmp_path: Path, fake: FakeHub) -> None:
    fake.cuts = [1000, 500, 0]
    folder = pull(KNOWN, tmp_path, hub=fake.hub)
    assert fake.asked(WEIGHTS) == [None, "bytes=1000-", "bytes=1500-", "bytes=1500-"]
    assert (folder / WEIGHTS).read_bytes() == fake.files[WEIGHTS]


def test_the_next_pull_resumes_where_the_last_one_failed(tmp_path: Path, fake: FakeHub) -> None:
    fake.cuts = [1000, 0]
    with pytest.raises(DownloadFailed, match="pull again; what arrived is kept") as error:
        pull(KNOWN, tmp_path, hub=Hub(fake.address, pauses=()))
    assert one_line(error)
    assert named(list_models(tmp_path), KNOWN).path is None
    told: list[int] = []
    folder = pull(KNOWN, tmp_path, lambda done, _total: told.append(done), hub=fake.hub)
    assert fake.asked(WEIGHTS) == [None, "bytes=1000-", "bytes=1000-"]
    assert fake.asked("config.json") == [None]
    assert (folder / WEIGHTS).read_bytes() == fake.files[WEIGHTS]
    assert told == sorted(told)


def test_without_range_support_a_file_is_received_again(tmp_path: Path, fake: FakeHub) -> None:
    fake.cuts, fake.ranges = [1000], False
    assert (pull(KNOWN, tmp_path, hub=fake.hub) / WEIGHTS).read_bytes() == fake.files[WEIGHTS]


def test_files_of_two_commits_never_mix(tmp_path: Path, fake: FakeHub) -> None:
    fake.cuts = [1000, 0]
    with pytest.raises(DownloadFailed):
        pull(KNOWN, tmp_path, hub=Hub(fake.address, pauses=()))
    fake.commit, fake.files[WEIGHTS] = "d" * 40, fake.files[WEIGHTS][::-1]
    folder = pull(KNOWN, tmp_path, hub=fake.hub)
    assert (folder / WEIGHTS).read_bytes() == fake.files[WEIGHTS]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
@pytest.mark.parametrize("damage", ["short", "long", "altered"])
def test_a_damaged_file_is_deleted_and_pulled_again(
    tmp_path: Path, fake: FakeHub, name: str, damage: str
) -> None:
    right = fake.files[name]
    fake.served[name] = {"short": right[:-1], "long": right + b"!", "altered": b"!" + right[1:]}[damage]
    with pytest.raises(DownloadFailed, match=f"{name} of {KNOWN_REPOSITORY} arrived damaged") as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)
    assert named(list_models(tmp_path), KNOWN).path is None
    fake.served.clear()
    assert (pull(KNOWN, tmp_path, hub=fake.hub) / name).read_bytes() == right


def test_an_existing_model_is_only_checked(tmp_path: Path, fake: FakeHub) -> None:
    folder = pull(KNOWN, tmp_path, hub=fake.hub)
    assert pull(KNOWN, tmp_path, hub=fake.hub) == folder
    assert fake.asked(WEIGHTS) == [None]


def test_a_folder_that_differs_from_the_hub_is_never_overwritten(tmp_path: Path, fake: FakeHub) -> None:
    own = tmp_path / KNOWN / "config.json"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(DownloadFailed, match="is there already, but its LICENSE is not the hub's") as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("refusal", "kind", "message"),
    [
        (("/api/", 404, "RepoNotFound"), ModelNotFound, f"the hub shows no {KNOWN_REPOSITORY}"),
        (("/api/", 401, "RepoNotFound"), ModelNotFound, "if private, `hf auth login`"),
        ((f"/{WEIGHTS}", 401, "GatedRepo"), DownloadFailed, f"{KNOWN_REPOSITORY} is gated"),
        ((f"/{WEIGHTS}", 403, "GatedRepo"), DownloadFailed, "accept its licence"),
        ((f"/{WEIGHTS}", 403, ""), DownloadFailed, r"\(HTTP status 403\): `hf auth login`"),
        ((f"/{WEIGHTS}", 404, "EntryNotFound"), DownloadFailed, r"\(HTTP status 404\)"),
        ((f"/{WEIGHTS}", 503, ""), DownloadFailed, r"\(HTTP status 503\): wait"),
    ],
)
def test_a_refusal_is_reported_in_one_line(
    tmp_path: Path, fake: FakeHub, refusal: tuple[str, int, str], kind: type[BackendError], message: str
) -> None:
    fake.refusal = refusal
    with pytest.raises(kind, match=message) as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)
    assert named(list_models(tmp_path), KNOWN).path is None


def test_an_unreachable_hub_is_reported_in_one_line(
    tmp_path: Path, fake: FakeHub, network: list[ThreadingHTTPServer]
) -> None:
    stop(network.pop())
    with pytest.raises(DownloadFailed, match="the connection to the hub failed") as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)


def test_an_answer_that_is_no_hubs_is_reported_in_one_line(tmp_path: Path, fake: FakeHub) -> None:
    fake.refusal = ("/api/", 200, "")  # a hotel's login page answers everything with success
    with pytest.raises(DownloadFailed, match=r"what answers at http://127.0.0.1:\d+ is no hub") as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)


@pytest.mark.parametrize("missing", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_repository_without_a_model_is_refused_before_anything_is_pulled(
    tmp_path: Path, fake: FakeHub, missing: str
) -> None:
    del fake.files[missing], fake.files["pytorch_model.bin"]
    with pytest.raises(DownloadFailed, match="holds no model that fimble reads") as error:
        pull("acme/tiny", tmp_path, hub=fake.hub)
    assert one_line(error)
    assert len(fake.requests) == 1


def test_a_full_disk_is_reported_before_anything_is_pulled(tmp_path: Path, fake: FakeHub) -> None:
    fake.sizes[WEIGHTS] = 10**18
    with pytest.raises(DownloadFailed, match=r"needs 1000000000\.0 GB more") as error:
        pull(KNOWN, tmp_path, hub=fake.hub)
    assert one_line(error)
    assert fake.asked("config.json") == []


def test_in_a_closed_models_folder_there_is_nothing_but_the_default_model(
    closed_folder: Path, fake: FakeHub
) -> None:
    for folder in (closed_folder, closed_folder / "models"):
        assert [entry.name for entry in list_models(folder) if entry.path] == ["default"]
        assert resolve(None, folder) == DEFAULT_MODEL
        with pytest.raises(ModelNotFound, match="fimble models pull"):
            resolve(KNOWN, folder)
        with pytest.raises(DownloadFailed, match=r"cannot be used \(Permission denied\)"):
            pull(KNOWN, folder, hub=fake.hub)
    with pytest.raises(ModelNotFound, match=r"can't be read: Permission denied"):
        resolve(str(closed_folder / "mine"), closed_folder)


def test_the_default_model_is_there_without_the_hub(tmp_path: Path, fake: FakeHub) -> None:
    assert pull("default", tmp_path, hub=fake.hub) == DEFAULT_MODEL
    assert fake.requests == []


def test_a_models_folder_that_is_a_file_is_reported_in_one_line(tmp_path: Path, fake: FakeHub) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(DownloadFailed, match="cannot be used") as error:
        pull(KNOWN, tmp_path / "models", hub=fake.hub)
    assert one_line(error)


@pytest.mark.parametrize("written", ["starcodebase-1b", "zzz", "../etc/x", "a--b/c", "acme/..", "acme/x.git"])
def test_an_impossible_repository_is_not_asked_for(tmp_path: Path, fake: FakeHub, written: str) -> None:
    with pytest.raises(ModelNotFound, match="there is no model") as error:
        pull(written, tmp_path, hub=fake.hub)
    assert one_line(error)
    assert fake.requests == []


def test_names_from_the_hub_never_lead_out_of_the_folder(tmp_path: Path, fake: FakeHub) -> None:
    fake.files |= {"../model-00001-of-00001.safetensors": b"", "..\\config.json": b"", "sub/vocab.json": b""}
    folder = pull(KNOWN, tmp_path / "models", hub=fake.hub)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != folder] == []


def test_the_users_token_stays_with_the_hub(
    tmp_path: Path, fake: FakeHub, network: list[ThreadingHTTPServer]
) -> None:
    store = serve(FakeHub(fake.files), network)
    fake.redirect = store.address
    pull(KNOWN, tmp_path, hub=fake.hub)
    assert all(headers.get("authorization") == "Bearer hf_secret" for _, headers in fake.requests)
    assert all("authorization" not in headers for _, headers in store.requests)
    assert store.asked(WEIGHTS) == [None]


OFFLINE = """
import sys
from pathlib import Path
from model_runtime.models import DownloadFailed, pull
try:
    pull(sys.argv[1], Path(sys.argv[2]))
except DownloadFailed as error:
    print(error)
"""


def test_offline_mode_is_honoured(tmp_path: Path, fake: FakeHub) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": fake.address}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, KNOWN, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stdout.strip() == f"HF_HUB_OFFLINE is set: unset it to pull {KNOWN_REPOSITORY}", done.stderr
    assert fake.requests == []
