"""Model names and folders: the models on this machine, and `pull` for those that are not. Imports no torch.

Only `pull` goes online, and only because the user asked for it.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from model_runtime.api import ModelEntry, ModelNotFound, PullProgress
from model_runtime.folders import models_folder
from model_runtime.models.hub import Hub, download, weight_files
from model_runtime.models.known import KNOWN_MODELS, KnownModel, find

DEFAULT_MODEL = Path(__file__).parent.parent / "default_model"
DEFAULT_NAME, DEFAULT_LICENCE = "default", "Apache-2.0"

USABLE_SHARE = 0.75
"""Share of the machine's memory that a model may take; the editor and the system keep the rest."""

WORKING_SHARE = 1 / 3
"""KV cache and working memory in proportion to the weights: what 4,096 tokens take in the known models
without grouped key heads. The others need less."""

REPOSITORY = re.compile(r"(?!.*(--|\.\.))[^\W_]([\w.-]*\w)?/\w([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)


def list_models(folder: Path | None = None, memory: int | None = None) -> list[ModelEntry]:
    """The default model, the known models, and whatever else is in `folder`.

    Args:
        folder: where `pull` puts models, `models_folder()` by default; it need not exist.
        memory: the machine's memory in bytes, measured by default.
    """
    usable = USABLE_SHARE * (machine_memory() if memory is None else memory)
    known = {model.name: model for model in KNOWN_MODELS}
    local = _on_disk(folder or models_folder())
    names = dict.fromkeys([DEFAULT_NAME, *known, *local])
    return [
        _entry(name, known.get(name), local.get(name), usable)
        for name in names
        if name in known or name in local
    ]


def resolve(model: str | None, folder: Path | None = None) -> Path:
    """The folder of a model: `model` is a path, a name from `list_models(folder)`, or None for the default.

    Raises:
        ModelNotFound: there is no such model on this machine; the message says what to do.
    """
    if model and _exists(path := Path(model).expanduser()):
        return path
    name = _canonical(model or DEFAULT_NAME)
    local = _on_disk(folder or models_folder())
    if name in local:
        return local[name]
    if name == DEFAULT_NAME:
        raise ModelNotFound("this installation has no default model: name a folder that holds a checkpoint")
    if find(name):
        raise ModelNotFound(f"`{name}` is known but not on this machine: run `fimble models pull {name}`")
    if model and Path(model).name != model:
        also = f", or run `fimble models pull {model}`" if REPOSITORY.fullmatch(model) else ""
        raise ModelNotFound(f"there is no folder {model}: check the path{also}")
    raise _unknown(name, local)


def pull(
    name: str,
    folder: Path | None = None,
    progress: PullProgress | None = None,
    *,
    hub: Hub | None = None,
) -> Path:
    """Download a model from the hub and return its folder, which appears in `folder` once it is complete.

    An interrupted download is resumed. Every file is checked against the hub's size and hash. A model that
    is already there is only checked, never overwritten; the default model is part of the package.

    Args:
        name: a known model, or a repository of the hub: `organisation/name`.
        folder: the parent folder, `models_folder()` by default; it need not exist.
        progress: receives the bytes downloaded and the total.
        hub: the hub to download from.

    Raises:
        ModelNotFound: no model has that name.
        DownloadFailed: the message says why, and what to do.
    """
    if name == DEFAULT_NAME:
        return resolve(name, folder)
    known = find(name)
    if known is None and not REPOSITORY.fullmatch(name):
        raise _unknown(name, ())
    repository = known.repository if known else name
    target = (folder or models_folder()) / (known.name if known else name.replace("/", "--"))
    download(repository, target, progress, hub or Hub())
    return target


def machine_memory() -> int:
    """Bytes of RAM, or of the first GPU's memory where that is more and torch is already imported."""
    import psutil  # not on a machine that only trains

    ram = int(psutil.virtual_memory().total)
    torch = sys.modules.get("torch")  # importing torch for one figure would take seconds
    if torch is None or not torch.cuda.is_available():
        return ram
    return max(ram, int(torch.cuda.get_device_properties(0).total_memory))


def _on_disk(folder: Path) -> dict[str, Path]:
    """Name and folder of each usable model; hidden folders are downloads in progress."""
    try:
        folders = sorted(folder.iterdir())
    except OSError:  # missing or unreadable: the default model can be used all the same
        folders = []
    found = {_canonical(path.name): path for path in folders if not path.name.startswith(".")}
    found[DEFAULT_NAME] = DEFAULT_MODEL
    return {name: path for name, path in found.items() if _is_usable(path)}


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
    """A known model's short name, or another repository's name as the hub writes it."""
    name = name.replace("--", "/")
    known = find(name)
    return known.name if known else name


def _entry(name: str, known: KnownModel | None, path: Path | None, usable: float) -> ModelEntry:
    is_default = name == DEFAULT_NAME
    size = _weight_bytes(path) if path else known.download_bytes if known else None
    needed = size or (known.parameters * 2 if known else None)  # most are published in half precision
    return ModelEntry(
        name=name,
        path=path,
        repository=known.repository if known else None,
        family=known.family if known else _model_type(path) if path else None,
        parameters=known.parameters if known else None,
        licence=known.licence if known else DEFAULT_LICENCE if is_default else None,
        fill_in_the_middle=known.fill_in_the_middle if known else is_default or None,
        size=size,
        fits=needed * (1 + WORKING_SHARE) <= usable if needed else None,
    )


def _weight_bytes(folder: Path) -> int | None:
    """Size of the weights on disk; of several formats, the one that is loaded."""
    names = {path.name: path for path in folder.iterdir()}
    return sum(names[name].stat().st_size for name in weight_files(names)) or None


def _model_type(folder: Path) -> str | None:
    try:
        family = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a list shows what is there; loading reports what is wrong with it
    return family if isinstance(family, str) else None


def _unknown(name: str, local: Iterable[str]) -> ModelNotFound:
    names = [*(model.name for model in KNOWN_MODELS), *local]
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "`fimble models` lists those that there are"
    return ModelNotFound(f"there is no model `{name}`: {hint}")
