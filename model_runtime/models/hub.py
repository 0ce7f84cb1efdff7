"""Downloads a model from the Hugging Face Hub into a folder, completely or not at all.

huggingface_hub provides the API, the connection and its errors. Its own download starts over in every process
(huggingface/huggingface_hub#4228), hours for a large model, so files are received and resumed here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_runtime.api import BackendError, ModelNotFound, PullProgress

SMALL_FILES = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|merges\.txt|tokenizer\.model|(LICEN[CS]E|NOTICE)(\.\w+)?"
)

TIMEOUT = 30
"""Seconds without data after which the connection counts as lost."""


class DownloadFailed(BackendError):
    """A model could not be downloaded. The next pull resumes with what has arrived."""


@dataclass(frozen=True)
class Hub:
    """The hub to download from.

    Attributes:
        endpoint: its address; None for huggingface_hub's default.
        pauses: seconds to wait before each retry; attempts that received data do not count.
    """

    endpoint: str | None = None
    pauses: tuple[float, ...] = (1, 2, 4, 8)


def download(repository: str, target: Path, progress: PullProgress | None, hub: Hub) -> None:
    """Download a repository's model into the folder `target`, which appears once it is complete and verified.

    If `target` exists, it is only checked.

    Raises:
        ModelNotFound: the hub has no such repository.
        DownloadFailed: the message says why, and what to do.
    """
    with _one_line_errors(repository, target.parent):
        remote = _remote_model(repository, hub)
        if target.exists():
            _check_existing(target, remote)
        else:
            folder = _partial_folder(target, remote.commit)
            _Download(remote, folder, hub, progress or (lambda _done, _total: None)).run()
            folder.rename(target)


@dataclass(frozen=True)
class _RemoteFile:
    """A file on the hub; large ones have a SHA-256, the others git's blob hash."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None

    def matches(self, path: Path) -> bool:
        """Whether `path` is a file of the same size and hash."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return _hash(path, hashlib.sha256()) == self.sha256
        return self.git_sha1 in (None, _hash(path, hashlib.sha1(b"blob %d\0" % self.size)))


@dataclass(frozen=True)
class _RemoteModel:
    """The files of a model at one commit of its repository, the smallest first."""

    repository: str
    commit: str
    files: tuple[_RemoteFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class _Download:
    """Downloads a model's files into `folder`, resuming each where an earlier download stopped."""

    def __init__(self, remote: _RemoteModel, folder: Path, hub: Hub, progress: PullProgress) -> None:
        self._remote, self._folder, self._hub, self._progress = remote, folder, hub, progress

    def run(self) -> None:
        self._check_disk_space()
        before = 0
        for file in self._remote.files:
            path = self._folder / file.name
            self._fetch(file, path, before)
            if not file.matches(path):
                size = path.stat().st_size
                path.unlink()
                raise DownloadFailed(
                    f"{file.name} of {self._remote.repository} arrived damaged "
                    f"({size} bytes of {file.size}): pull again"
                )
            before += file.size
            self._progress(before, self._remote.size)

    def _check_disk_space(self) -> None:
        need = self._remote.size - sum(path.stat().st_size for path in self._folder.iterdir())
        free = shutil.disk_usage(self._folder).free
        if need > free:
            raise DownloadFailed(
                f"{self._remote.repository} needs {need / 1e9:.1f} GB more and {self._folder.parent} has "
                f"{free / 1e9:.1f} GB free: make room, or set FIMBLE_MODELS_DIR to another disk"
            )

    def _fetch(self, file: _RemoteFile, path: Path, before: int) -> None:
        """Receive a file, retrying after lost connections as long as data arrives."""
        pauses = iter(self._hub.pauses)
        path.touch()
        while (start := path.stat().st_size) < file.size:
            try:
                self._receive(file, path, before)
                return
            except _connection_error() as error:  # noqa: PERF203 - a connection costs more than a `try`
                if _status(error) in range(400, 500):
                    raise
                if path.stat().st_size > start:
                    pauses = iter(self._hub.pauses)
                elif (pause := next(pauses, None)) is not None:
                    time.sleep(pause)
                else:
                    raise

    def _receive(self, file: _RemoteFile, path: Path, before: int) -> None:
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # though documented

        url = hf_hub_url(
            self._remote.repository, file.name, revision=self._remote.commit, endpoint=self._hub.endpoint
        )
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if start := path.stat().st_size:
            headers["Range"] = f"bytes={start}-"
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
            hf_raise_for_status(response)
            with path.open("ab" if response.status_code == 206 else "wb") as out:
                for piece in response.iter_bytes():
                    out.write(piece)
                    if out.tell() > file.size:
                        return
                    self._progress(before + out.tell(), self._remote.size)


def _remote_model(repository: str, hub: Hub) -> _RemoteModel:
    """Ask the hub which files make up the model."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint)
    try:
        info = api.model_info(repository, files_metadata=True, timeout=TIMEOUT)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DownloadFailed(
            f"what answers at {api.endpoint} is no hub: check HF_ENDPOINT, or log in to the network"
        ) from error
    found = {
        file.rfilename: _RemoteFile(
            file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None, file.blob_id
        )
        for file in info.siblings or ()
    }
    names = [*weight_files(found), *filter(SMALL_FILES.fullmatch, found)]
    if not weight_files(found) or not {"config.json", "tokenizer.json"} <= found.keys() or not info.sha:
        raise DownloadFailed(
            f"{repository} holds no model that fimble reads: config.json, tokenizer.json and "
            "safetensors or .bin weights are needed"
        )
    files = sorted((found[name] for name in names), key=lambda file: file.size)
    return _RemoteModel(repository, info.sha, tuple(files))


def weight_files(names: Collection[str]) -> list[str]:
    """The files that hold a model's weights: safetensors, or else pickles."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        whole, index = f"{stem}.{suffix}", f"{stem}.{suffix}.index.json"
        shards = [name for name in names if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name)]
        if whole in names:
            return [whole]
        if shards and index in names:
            return [index, *shards]
    return []


def _check_existing(folder: Path, remote: _RemoteModel) -> None:
    other = [file.name for file in remote.files if not file.matches(folder / file.name)]
    if other:
        raise DownloadFailed(
            f"{folder} is there already, but its {other[0]} is not the hub's: move it away and pull again"
        )


def _partial_folder(target: Path, commit: str) -> Path:
    """The hidden folder that becomes `target`; one for each commit, so that files of two never mix."""
    hidden = re.compile(rf"\.{re.escape(target.name)}\.\w+\.part")
    folder = target.with_name(f".{target.name}.{commit[:12]}.part")
    folder.mkdir(parents=True, exist_ok=True)
    for other in target.parent.iterdir():
        if hidden.fullmatch(other.name) and other != folder:
            shutil.rmtree(other)
    return folder


def _hash(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _connection_error() -> type[Exception]:
    """The base class of the HTTP client's errors; which client that is depends on the release."""
    from huggingface_hub import errors

    error: type[Exception] = vars(errors)["HTTPError"]
    return error


def _status(error: Exception) -> int | None:
    """The HTTP status, if the hub answered."""
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


@contextmanager
def _one_line_errors(repository: str, models_folder: Path) -> Iterator[None]:
    try:
        yield
    except (_connection_error(), OSError) as error:
        raise _explain(error, repository, models_folder) from error


def _explain(error: Exception, repository: str, models_folder: Path) -> BackendError:
    """What went wrong and what to do, in one line; from the specific to the general."""
    from huggingface_hub import errors

    kept = "and pull again; what arrived is kept"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return DownloadFailed(f"HF_HUB_OFFLINE is set: unset it to pull {repository}")
    if isinstance(error, errors.GatedRepoError):
        return DownloadFailed(
            f"{repository} is gated: accept its licence at the hub, then `hf auth login` {kept}"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFound(f"the hub shows no {repository}: check the name or, if private, `hf auth login`")
    if (status := _status(error)) is not None:
        advice = "`hf auth login`" if status in (401, 403) else "wait"
        return DownloadFailed(f"the hub refuses {repository} (HTTP status {status}): {advice} {kept}")
    if isinstance(error, _connection_error()):
        words = (str(error) or type(error).__name__).splitlines()[0]
        return DownloadFailed(f"the connection to the hub failed ({words}): check the network {kept}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DownloadFailed(f"the disk of {models_folder} is full: make room {kept}")
    reason = getattr(error, "strerror", None) or error
    return DownloadFailed(
        f"{models_folder} cannot be used ({reason}): set FIMBLE_MODELS_DIR to another folder"
    )
