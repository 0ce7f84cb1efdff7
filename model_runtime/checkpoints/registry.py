"""From what the user calls a model to the folder that `loading` reads: known names, this disk, the hub.

`list_models` and `resolve` look at this machine only. `pull` is the one place where fimble goes online, and
only because the user asked for it. Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_runtime.api import BackendError, ModelNotFound
from model_runtime.checkpoints.known_models import KNOWN_MODELS, KnownModel, find

DEFAULT_MODEL = Path(__file__).parent.parent / "default_model"
DEFAULT_NAME, DEFAULT_LICENCE = "default", "Apache-2.0"

USABLE_SHARE = 0.75
"""Of the machine's memory; the editor and the system keep the rest."""

WORKING_SHARE = 1 / 3
"""The cache and working memory beside the weights, in proportion to them: what 4,096 tokens take in those
known models whose query heads share no key heads. The others need less."""

REPOSITORY = re.compile(r"(?!.*(--|\.\.))[^\W_]([\w.-]*\w)?/\w([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)

SMALL_FILES = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|merges\.txt|tokenizer\.model|(LICEN[CS]E|NOTICE)(\.\w+)?"
)

TIMEOUT = 30
"""Seconds without a byte from the hub that count as a cut connection."""

PullProgress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes that there will be."""


class DownloadFailed(BackendError):
    """A model could not be brought from the hub. What arrived is kept, for the next pull to go on with."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that has a name: what is known of it, and where it is. None is what nobody knows.

    `path` is None where it is not on this machine; `size` is that of its weights in bytes, here or else to
    download; `fits` says whether this machine can hold them as they are stored, and a cache beside them.
    """

    name: str
    path: Path | None
    repository: str | None
    family: str | None
    parameters: int | None
    licence: str | None
    fill_in_the_middle: bool | None
    size: int | None
    fits: bool | None


@dataclass(frozen=True)
class Hub:
    """Where models are pulled from.

    `endpoint` is the hub's address, None for huggingface_hub's own choice; `pauses` are the seconds to wait
    before trying again, one for each try in a row that brought nothing.
    """

    endpoint: str | None = None
    pauses: tuple[float, ...] = (1, 2, 4, 8)


def default_models_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where pulled models are kept: `FIMBLE_MODELS_DIR`, or the system's place for a program's data."""
    if chosen := environment.get("FIMBLE_MODELS_DIR"):
        return Path(chosen).expanduser()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "fimble" / "models"


def list_models(models_folder: Path, memory: int | None = None) -> list[ModelEntry]:
    """What can be used: the default model, then the known ones, then whatever else lies in `models_folder`.

    Args:
        models_folder: where `pull` puts models; it need not exist.
        memory: bytes that this machine has; None to ask it.
    """
    room = USABLE_SHARE * (machine_memory() if memory is None else memory)
    known = {model.name: model for model in KNOWN_MODELS}
    here = _on_disk(models_folder)
    names = dict.fromkeys([DEFAULT_NAME, *known, *here])
    return [
        _entry(name, known.get(name), here.get(name), room) for name in names if name in known or name in here
    ]


def resolve(model: str | None, models_folder: Path) -> Path:
    """The folder of the model that the user means: a path, a name that `list_models` gives, or the default.

    Raises:
        ModelNotFound: there is none; the message says what to do.
    """
    if model and (path := Path(model).expanduser()).exists():
        return path
    name = _canonical(model or DEFAULT_NAME)
    here = _on_disk(models_folder)
    if name in here:
        return here[name]
    if name == DEFAULT_NAME:
        raise ModelNotFound("this installation has no default model: name a folder that holds a checkpoint")
    if find(name):
        raise ModelNotFound(f"`{name}` is known but not on this machine: run `fimble models pull {name}`")
    if model and Path(model).name != model:
        also = f", or run `fimble models pull {model}`" if REPOSITORY.fullmatch(model) else ""
        raise ModelNotFound(f"there is no folder {model}: check the path{also}")
    raise _unknown(name, here)


def pull(
    name: str,
    models_folder: Path,
    progress: PullProgress | None = None,
    *,
    revision: str | None = None,
    hub: Hub | None = None,
) -> Path:
    """Bring a model from the hub into `models_folder`, where it appears once it is whole; returns its folder.

    What an earlier pull left unfinished is gone on with. Every file is held against the hub's size and hash.
    A model that is here already is only checked, and never overwritten.

    Args:
        name: a known model, or a repository of the hub: `organisation/name`.
        models_folder: made where it does not exist.
        progress: is told how far the download is.
        revision: a branch, tag or commit; None for the newest.
        hub: where to pull from.

    Raises:
        ModelNotFound: nothing has that name.
        DownloadFailed: the message says why, and what to do.
    """
    known, hub = find(name), hub or Hub()
    if known is None and not REPOSITORY.fullmatch(name):
        raise _unknown(name, ())
    repository = known.repository if known else name
    target = models_folder / (known.name if known else name.replace("/", "--"))
    with _one_line_errors(repository, revision, models_folder):
        remote = _look_up(repository, revision, hub)
        if target.exists():
            _check_present(target, remote)
        else:
            folder = _unfinished_folder(target, remote.commit)
            _Download(remote, folder, hub, progress or (lambda _done, _total: None)).run()
            folder.rename(target)
    return target


def machine_memory() -> int:
    """Bytes of RAM, or of the GPU's memory where that is more and a torch that is loaded can say so."""
    torch = sys.modules.get("torch")  # importing it for one figure would take seconds
    if torch is None or not torch.cuda.is_available():
        return _ram()
    return max(_ram(), int(torch.cuda.get_device_properties(0).total_memory))


def _ram() -> int:
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: begins with its own length, then has the total
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _on_disk(models_folder: Path) -> dict[str, Path]:
    """Each usable model's name and folder. What is pulled only in part lies in a hidden folder."""
    folders = sorted(models_folder.iterdir()) if models_folder.is_dir() else []
    here = {_canonical(folder.name): folder for folder in folders if not folder.name.startswith(".")}
    here[DEFAULT_NAME] = DEFAULT_MODEL
    return {name: folder for name, folder in here.items() if (folder / "config.json").is_file()}


def _canonical(name: str) -> str:
    """A known model's short name, however it was written; another repository's as the hub writes it."""
    name = name.replace("--", "/")
    known = find(name)
    return known.name if known else name


def _entry(name: str, known: KnownModel | None, path: Path | None, room: float) -> ModelEntry:
    ours = name == DEFAULT_NAME
    size = _weight_bytes(path) if path else known.download_bytes if known else None
    need = size or (known.parameters * 2 if known else None)  # most are published in half precision
    return ModelEntry(
        name=name,
        path=path,
        repository=known.repository if known else None,
        family=known.family if known else _model_type(path) if path else None,
        parameters=known.parameters if known else None,
        licence=known.licence if known else DEFAULT_LICENCE if ours else None,
        fill_in_the_middle=known.fill_in_the_middle if known else ours or None,
        size=size,
        fits=need * (1 + WORKING_SHARE) <= room if need else None,
    )


def _weight_bytes(folder: Path) -> int | None:
    """What the weights take on disk; of several formats, the one that `loading` prefers."""
    names = {path.name: path for path in folder.iterdir()}
    return sum(names[name].stat().st_size for name in _weights(names)) or None


def _model_type(folder: Path) -> str | None:
    try:
        family = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a list says what there is; what is wrong with it is said when it is loaded
    return family if isinstance(family, str) else None


def _unknown(name: str, here: Iterable[str]) -> ModelNotFound:
    names = [*(model.name for model in KNOWN_MODELS), *here]
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "`fimble models` lists those that there are"
    return ModelNotFound(f"there is no model `{name}`: {hint}")


@dataclass(frozen=True)
class _File:
    """A file on the hub, which gives a SHA-256 for large ones and git's own hash for the others."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None

    def is_at(self, path: Path) -> bool:
        """Whether `path` holds this very file."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return _hash(path, hashlib.sha256()) == self.sha256
        return self.git_sha1 in (None, _hash(path, hashlib.sha1(b"blob %d\0" % self.size)))


@dataclass(frozen=True)
class _Remote:
    """The files of a repository that a model needs, the smallest first, at one commit."""

    repository: str
    commit: str
    files: tuple[_File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class _Download:
    """Brings a repository's files into `folder`, each one from where an earlier download stopped."""

    def __init__(self, remote: _Remote, folder: Path, hub: Hub, progress: PullProgress) -> None:
        self._remote, self._folder, self._hub, self._progress = remote, folder, hub, progress

    def run(self) -> None:
        self._check_room()
        before = 0
        for file in self._remote.files:
            path = self._folder / file.name
            self._fetch(file, path, before)
            if not file.is_at(path):
                arrived = path.stat().st_size
                path.unlink()
                raise DownloadFailed(
                    f"{file.name} of {self._remote.repository} arrived damaged "
                    f"({arrived} bytes of {file.size}): pull again"
                )
            before += file.size
            self._progress(before, self._remote.size)

    def _check_room(self) -> None:
        need = self._remote.size - sum(path.stat().st_size for path in self._folder.iterdir())
        free = shutil.disk_usage(self._folder).free
        if need > free:
            raise DownloadFailed(
                f"{self._remote.repository} needs {need / 1e9:.1f} GB more and {self._folder.parent} has "
                f"{free / 1e9:.1f} GB free: make room, or set FIMBLE_MODELS_DIR to another disk"
            )

    def _fetch(self, file: _File, path: Path, before: int) -> None:
        """Take a cut connection up again for as long as that helps."""
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

    def _receive(self, file: _File, path: Path, before: int) -> None:
        # The library's own download begins anew in every process, hours of it for a large model; so what
        # is used of it is its connection, with its login, proxies and offline switch.
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


def _look_up(repository: str, revision: str | None, hub: Hub) -> _Remote:
    """Ask the hub for the files of a model."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint)
    try:
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DownloadFailed(
            f"what answers at {api.endpoint} is no hub: check HF_ENDPOINT, or log in to the network"
        ) from error
    found = {
        file.rfilename: _File(
            file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None, file.blob_id
        )
        for file in info.siblings or ()
    }
    names = [*_weights(found), *filter(SMALL_FILES.fullmatch, found)]
    if not _weights(found) or not {"config.json", "tokenizer.json"} <= found.keys() or not info.sha:
        raise DownloadFailed(
            f"{repository} holds no model that fimble reads: config.json, tokenizer.json and "
            "safetensors or .bin weights are needed"
        )
    files = sorted((found[name] for name in names), key=lambda file: file.size)
    return _Remote(repository, info.sha, tuple(files))


def _weights(names: Collection[str]) -> list[str]:
    """The files that hold a model's weights, the safe format first."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        whole, index = f"{stem}.{suffix}", f"{stem}.{suffix}.index.json"
        shards = [name for name in names if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name)]
        if whole in names:
            return [whole]
        if shards and index in names:
            return [index, *shards]
    return []


def _check_present(folder: Path, remote: _Remote) -> None:
    other = [file.name for file in remote.files if not file.is_at(folder / file.name)]
    if other:
        raise DownloadFailed(
            f"{folder} is there already, but its {other[0]} is not the hub's: move it away and pull again"
        )


def _unfinished_folder(target: Path, commit: str) -> Path:
    """The hidden folder that becomes `target`. Each commit has its own: files of two never meet in one."""
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
    """The root of what the library's HTTP client raises: which client that is depends on the release."""
    from huggingface_hub import errors

    error: type[Exception] = vars(errors)["HTTPError"]
    return error


def _status(error: Exception) -> int | None:
    """The status of the hub's answer, where it answered at all."""
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


@contextmanager
def _one_line_errors(repository: str, revision: str | None, models_folder: Path) -> Iterator[None]:
    try:
        yield
    except (_connection_error(), OSError) as error:
        raise _explain(error, repository, revision, models_folder) from error


def _explain(error: Exception, repository: str, revision: str | None, models_folder: Path) -> BackendError:
    """What went wrong, and what to do, for the user; the order is from the narrow to the wide."""
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
    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadFailed(f"{repository} has no revision `{revision or 'main'}`: see its page at the hub")
    if (status := _status(error)) is not None:
        advice = "`hf auth login`" if status in (401, 403) else "wait"
        return DownloadFailed(f"the hub refuses {repository} (HTTP status {status}): {advice} {kept}")
    if isinstance(error, _connection_error()):
        words = (str(error) or type(error).__name__).splitlines()[0]
        return DownloadFailed(f"the connection to the hub failed ({words}): check the network {kept}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DownloadFailed(f"the disk of {models_folder} is full: make room {kept}")
    return DownloadFailed(
        f"{models_folder} cannot be used ({error}): set FIMBLE_MODELS_DIR to another folder"
    )
