"""Model names and folders: the models on this machine, and `pull` for those that are not. Imports no torch.

Only `pull` goes online, and only because the user asked for it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from model_runtime.api import ModelEntry, ModelNotFound, PullProgress
from model_runtime.folders import models_folder
from model_runtime.models.fitting import CACHE_TOKENS, Machine, Shape, cache_values, fit, this_machine
from model_runtime.models.hub import Hub, download, weight_files
from model_runtime.models.known import KNOWN_MODELS, KnownModel, find

DEFAULT_MODEL = Path(__file__).parent.parent / "default_model"
DEFAULT_NAME, DEFAULT_LICENCE = "default", "Apache-2.0"

CONTEXT_KEYS = ("max_position_embeddings", "n_positions")
"""The context length in config.json."""

MAX_HEADER_BYTES = 100 * 10**6
"""The largest header that a safetensors file may have."""

REPOSITORY = re.compile(r"(?!.*(--|\.\.))[^\W_]([\w.-]*\w)?/\w([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)


def list_models(folder: Path | None = None, machine: Machine | None = None) -> list[ModelEntry]:
    """The default model, the known models, and whatever else is in `folder`: checkpoints and GGUF files.

    Args:
        folder: where `pull` puts models, `models_folder()` by default; it need not exist.
        machine: what a model has to fit, `this_machine()` by default.
    """
    machine = machine or this_machine()
    known = {model.name: model for model in KNOWN_MODELS}
    local = _on_disk(folder or models_folder())
    names = dict.fromkeys([DEFAULT_NAME, *known, *local])
    return [
        _entry(name, known.get(name), local.get(name), machine)
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


def _on_disk(folder: Path) -> dict[str, Path]:
    """Name and folder of each usable model; hidden folders are downloads in progress."""
    try:
        folders = sorted(folder.iterdir())
    except OSError:  # missing or unreadable: the default model can be used all the same
        folders = []
    found = {_canonical(path.name): path for path in folders if not path.name.startswith(".")}
    found[DEFAULT_NAME] = DEFAULT_MODEL
    return {name: path for name, path in found.items() if _is_usable(path)}


def _is_usable(path: Path) -> bool:
    try:
        return path.is_file() if _is_gguf(path) else (path / "config.json").is_file()
    except OSError:
        return False


def _is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf"


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


def _entry(name: str, known: KnownModel | None, path: Path | None, machine: Machine) -> ModelEntry:
    is_default = name == DEFAULT_NAME
    config = _config(path) if path else {}
    shape = _shape(known, path, config)
    found = fit(shape, machine)
    family = known.family if known else config.get("model_type")
    return ModelEntry(
        name=name,
        path=path,
        repository=known.repository if known else None,
        family=family if isinstance(family, str) else None,
        parameters=shape.parameters,
        licence=known.licence if known else DEFAULT_LICENCE if is_default else None,
        fill_in_the_middle=known.fill_in_the_middle if known else is_default or None,
        size=_weight_bytes(path) if path else known.download_bytes if known else None,
        fits=None if found.needs is None else found.obstacle is None,
        obstacle=found.obstacle,
        needs=found.needs,
        free=machine.free,
        token_ms=found.token_ms,
    )


def _shape(known: KnownModel | None, path: Path | None, config: Mapping[str, Any]) -> Shape:
    if known is not None:
        return Shape(known.parameters, cache_values=known.cache_values)
    if path is None or _is_gguf(path):
        return Shape(None, gguf_bytes=_weight_bytes(path) if path else None)
    context = next((config[name] for name in CONTEXT_KEYS if isinstance(config.get(name), int)), CACHE_TOKENS)
    return Shape(_parameters(path), cache_values=cache_values(config), context=context)


def _weight_bytes(path: Path) -> int | None:
    """Size of the weights on disk; of several formats, the one that is loaded."""
    if _is_gguf(path):
        return path.stat().st_size
    names = {file.name: file for file in path.iterdir()}
    return sum(names[name].stat().st_size for name in weight_files(names)) or None


def _parameters(folder: Path) -> int | None:
    """The number of weights, by the headers of safetensors, or else by the size in half precision."""
    names = {file.name: file for file in folder.iterdir()}
    files = [names[name] for name in weight_files(names) if not name.endswith(".json")]
    if not all(file.suffix == ".safetensors" for file in files):
        return (_weight_bytes(folder) or 0) // 2 or None
    try:
        return sum(prod(tensor["shape"]) for file in files for tensor in _tensors(file)) or None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # as for the config


def _tensors(file: Path) -> Iterator[dict[str, Any]]:
    """What a safetensors file says of each tensor."""
    with file.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise ValueError("this is no safetensors file")
        header = json.loads(content.read(size))
    yield from (tensor for name, tensor in header.items() if name != "__metadata__")


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a list shows what is there; loading reports what is wrong with it
    return config if isinstance(config, dict) else {}


def _unknown(name: str, local: Iterable[str]) -> ModelNotFound:
    names = [*(model.name for model in KNOWN_MODELS), *local]
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "`fimble models` lists those that there are"
    return ModelNotFound(f"there is no model `{name}`: {hint}")
