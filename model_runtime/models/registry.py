"""From what the user calls a model to the folder that `loading` reads: known names, this disk, the hub.

`list_models` and `resolve` look at this machine only. `pull` is the one place where fimble goes online, and
only because the user asked for it. Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from model_runtime.api import ModelEntry, ModelNotFound, PullProgress
from model_runtime.folders import default_data_folder
from model_runtime.models.hub import Hub, download, weight_files
from model_runtime.models.known import KNOWN_MODELS, KnownModel, find

DEFAULT_MODEL = Path(__file__).parent.parent / "default_model"
DEFAULT_NAME, DEFAULT_LICENCE = "default", "Apache-2.0"

USABLE_SHARE = 0.75
"""Of the machine's memory; the editor and the system keep the rest."""

WORKING_SHARE = 1 / 3
"""The cache and working memory beside the weights, in proportion to them: what 4,096 tokens take in those
known models whose query heads share no key heads. The others need less."""

REPOSITORY = re.compile(r"(?!.*(--|\.\.))[^\W_]([\w.-]*\w)?/\w([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)


def default_models_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where pulled models are kept: `FIMBLE_MODELS_DIR`, or a folder among fimble's data."""
    if chosen := environment.get("FIMBLE_MODELS_DIR"):
        return Path(chosen).expanduser()
    return default_data_folder(environment, platform) / "models"


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
    if model and _exists(path := Path(model).expanduser()):
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
    A model that is here already is only checked, and never overwritten; the default one comes with fimble.

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
    if name == DEFAULT_NAME:
        return resolve(name, models_folder)
    known = find(name)
    if known is None and not REPOSITORY.fullmatch(name):
        raise _unknown(name, ())
    repository = known.repository if known else name
    target = models_folder / (known.name if known else name.replace("/", "--"))
    download(repository, target, progress, revision=revision, hub=hub or Hub())
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
    try:
        folders = sorted(models_folder.iterdir())
    except OSError:  # not there, or closed to us: what comes with fimble can be used all the same
        folders = []
    here = {_canonical(folder.name): folder for folder in folders if not folder.name.startswith(".")}
    here[DEFAULT_NAME] = DEFAULT_MODEL
    return {name: folder for name, folder in here.items() if _is_usable(folder)}


def _is_usable(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ModelNotFound(f"{path} can't be read: {error.strerror}") from error


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
    return sum(names[name].stat().st_size for name in weight_files(names)) or None


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
