"""What a user can set, checked where it comes in.

workspace ▶ **settings**. An editor sends them as ``initializationOptions`` and as its configuration's section
``fimble``, with the names below in camelCase; the command line sets the same ones. A mistake in one of them
costs that one: the user is told, and its default stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from model_runtime.api import Device, Dtype, ModelOptions, Quantize


@dataclass(frozen=True)
class Settings:
    """How completions are made.

    `model` is a checkpoint's folder, or None for the default model. `latency_budget_ms` is the time after
    which a completion is shown as far as it has come, counted from when the model is loaded; None sets no
    limit. `temperature` 0 is greedy decoding, where `top_k` and `top_p` have no effect; `top_k` 0 and `top_p`
    1 are off.
    """

    model: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantize: Quantize = "auto"
    max_tokens: int = 64
    latency_budget_ms: float | None = 150
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    multiline: bool = True
    metrics: bool = True

    @property
    def model_options(self) -> ModelOptions:
        """Those of the settings that say which model to open, and where it runs."""
        return ModelOptions(self.model, self.device, self.dtype, self.quantize)


def read_settings(options: object, defaults: Settings) -> tuple[Settings, list[str]]:
    """`defaults` with what an editor's `options` set, and one line for each mistake in them."""
    if options is None:
        return defaults, []
    if not isinstance(options, Mapping):
        return defaults, [f"the settings are {_shown(options)}, but have to be an object"]
    known = {_camel(name): name for name in _RULES}
    values: dict[str, Any] = {}
    mistakes = []
    for key, value in options.items():
        rule = _RULES.get(known.get(key, ""))
        if rule is None:
            mistakes.append(f"there is no setting `{key}`{_hint(key, list(known))}")
        elif rule.accepts(value):
            values[known[key]] = value
        else:
            mistakes.append(f"the setting `{key}` is {_shown(value)}, but has to be {rule.words}")
    return replace(defaults, **values), mistakes


def setting_names() -> list[str]:
    """What an editor can set."""
    return [_camel(name) for name in _RULES]


def settings_schema() -> dict[str, dict[str, object]]:
    """Each setting as a JSON schema with its default and its description, which is Markdown.

    Editors' clients are made from it, so that what is said of a setting is said here only.
    """
    return {
        _camel(name): {**rule.schema, "default": getattr(Settings, name), "description": rule.about}
        for name, rule in _RULES.items()
    }


@dataclass(frozen=True)
class _Rule:
    """What a setting's value has to be: a test, words and a JSON schema for it; and what it is `about`."""

    accepts: Callable[[Any], bool]
    words: str
    schema: Mapping[str, object]
    about: str


def _one_of(kind: Any, about: str) -> _Rule:
    choices = get_args(kind)
    return _Rule(
        lambda value: isinstance(value, str) and value in choices,
        "one of " + ", ".join(f'"{name}"' for name in choices),
        {"type": "string", "enum": list(choices)},
        about,
    )


def _switch(about: str) -> _Rule:
    return _Rule(lambda value: isinstance(value, bool), "true or false", {"type": "boolean"}, about)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_RULES: Final[Mapping[str, _Rule]] = {
    "model": _Rule(
        lambda value: value is None or (isinstance(value, str) and value != ""),
        "a folder, or null for the default model",
        {"type": ["string", "null"], "minLength": 1},
        "a checkpoint's folder, a GGUF file, or a name of `fimble models`; `null` is the default model",
    ),
    "device": _one_of(Device, '`"cpu"`, `"cuda"` or `"mps"`; `"auto"` takes the quickest that is there'),
    "dtype": _one_of(
        Dtype,
        '`"fp32"`, `"fp16"` or `"bf16"`; `"auto"` is fp32 on the CPU, half precision elsewhere',
    ),
    "quantize": _one_of(
        Quantize,
        'whether matrices are int8: `"none"` or `"int8"`; `"auto"` is int8 on x86 CPUs, unless `dtype` is '
        "set: quicker for all but tiny models, a quarter of the memory, and the same bits whatever was "
        "computed before",
    ),
    "max_tokens": _Rule(
        lambda value: _is_count(value) and value > 0,
        "a whole number, at least 1",
        {"type": "integer", "minimum": 1},
        "the most tokens in one completion",
    ),
    "latency_budget_ms": _Rule(
        lambda value: value is None or (_is_number(value) and value > 0),
        "a number of milliseconds above 0, or null for no limit",
        {"type": ["number", "null"], "exclusiveMinimum": 0},
        "after so many milliseconds a completion is shown as far as it is whole, and goes on in the "
        "background; `null` sets no limit",
    ),
    "temperature": _Rule(
        lambda value: _is_number(value) and value >= 0,
        "a number, at least 0",
        {"type": "number", "minimum": 0},
        "0 always takes the likeliest token; above it tokens are drawn",
    ),
    "top_k": _Rule(
        _is_count,
        "a whole number, at least 0",
        {"type": "integer", "minimum": 0},
        "draw among the k likeliest; 0 is off",
    ),
    "top_p": _Rule(
        lambda value: _is_number(value) and 0 < value <= 1,
        "a number above 0, at most 1",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "draw among the likeliest that make up this probability; 1 is off",
    ),
    "multiline": _switch("whether completions may have several lines"),
    "metrics": _switch(
        "whether `fimble stats` has something to show: counts, on this machine only, without code or file "
        "names"
    ),
}


def _hint(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(_camel(key), known, n=1)
    return f": did you mean `{close[0]}`?" if close else f"; there are {', '.join(known)}"


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
