"""The user's settings, and their validation.

An editor sends them as ``initializationOptions`` and in its configuration section ``fimble``, with the names
below in camelCase; the command line sets the same ones. An invalid setting is reported and keeps its default.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from model_runtime.api import Device, Dtype, ModelOptions, Quantize


@dataclass(frozen=True)
class LanguageSwitches:
    """Which languages get completions: pairs of an editor's name of a language, and whether it does.

    `*` stands for all languages that are not named.
    """

    switches: tuple[tuple[str, bool], ...] = ()

    def allow(self, language: str) -> bool:
        """Whether documents in a language get completions."""
        found = dict(self.switches)
        return found.get(language, found.get("*", True))


@dataclass(frozen=True)
class Settings:
    """The settings, as `_RULES` describes them.

    `model` None is the default model, `memory_mb` None is chosen when it is loaded. `latency_budget_ms`
    counts from when the model is loaded. `temperature` 0 is greedy decoding, which ignores `top_k` and
    `top_p`.
    """

    model: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantize: Quantize = "auto"
    memory_mb: int | None = None
    max_tokens: int = 64
    latency_budget_ms: float | None = 150
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    multiline: bool = True
    languages: LanguageSwitches = LanguageSwitches()
    metrics: bool = True

    @property
    def model_options(self) -> ModelOptions:
        """Which model to open, and where it runs."""
        return ModelOptions(self.model, self.device, self.dtype, self.quantize, self.memory_mb)


SECTION: Final = "fimble"
"""The section of an editor's configuration."""

LEAST_MEMORY_MB: Final = 64
"""The smallest `memory_mb`."""


def read_settings(options: object, defaults: Settings) -> tuple[Settings, list[str]]:
    """`defaults` overridden by an editor's `options`, and one line for each mistake in them."""
    if options is None or options in ([], "", False):  # empty tables of Lua and Vim script become lists
        return defaults, []
    if isinstance(options, Mapping) and isinstance(options.get(SECTION), Mapping | list):
        return read_settings(options[SECTION], defaults)
    if not isinstance(options, Mapping):
        return defaults, [f"the settings are {_shown(options)}, but must be an object"]
    known = {_camel(name): name for name in _RULES}
    values: dict[str, Any] = {}
    mistakes = []
    for key, value in options.items():
        rule = _RULES.get(known.get(key, ""))
        if rule is None:
            mistakes.append(f"there is no setting `{key}`{_hint(key, list(known))}")
        elif rule.accepts(value):
            values[known[key]] = rule.read(value)
        else:
            mistakes.append(f"the setting `{key}` is {_shown(value)}, but must be {rule.words}")
    return replace(defaults, **values), mistakes


def setting_names() -> list[str]:
    """The names of the settings, as editors send them."""
    return [_camel(name) for name in _RULES]


def settings_schema() -> dict[str, dict[str, object]]:
    """The JSON schema of each setting, with its default and its description in Markdown.

    The settings pages of editor clients and the documentation are made from it.
    """
    return {
        _camel(name): {"default": getattr(Settings, name), **rule.schema, "description": rule.description}
        for name, rule in _RULES.items()
    }


@dataclass(frozen=True)
class _Rule:
    """How a value is checked, what it must be in words and as a JSON schema, and the description.

    `read` turns a value that is accepted into that of `Settings`.
    """

    accepts: Callable[[Any], bool]
    words: str
    schema: Mapping[str, object]
    description: str
    read: Callable[[Any], Any] = lambda value: value


def _one_of(kind: Any, description: str) -> _Rule:
    choices = get_args(kind)
    return _Rule(
        lambda value: isinstance(value, str) and value in choices,
        "one of " + ", ".join(f'"{name}"' for name in choices),
        {"type": "string", "enum": list(choices)},
        description,
    )


def _switch(description: str) -> _Rule:
    return _Rule(lambda value: isinstance(value, bool), "true or false", {"type": "boolean"}, description)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_RULES: Final[Mapping[str, _Rule]] = {
    "model": _Rule(
        lambda value: value is None or (isinstance(value, str) and value != ""),
        "a folder, or null for the default model",
        {"type": ["string", "null"], "minLength": 1},
        "the folder of a checkpoint, a GGUF file, or a name listed by `fimble models`; `null` is the default "
        "model",
    ),
    "device": _one_of(
        Device, 'where the model runs: `"cpu"`, `"cuda"` or `"mps"`; `"auto"` is the fastest available'
    ),
    "dtype": _one_of(
        Dtype,
        'precision: `"fp32"`, `"fp16"` or `"bf16"`; `"auto"` is fp32 on the CPU and half precision elsewhere',
    ),
    "quantize": _one_of(
        Quantize,
        'weight quantization: `"none"`, `"int8"` or, on CPUs, `"int4"`; `"auto"` is int8 on CPUs with the '
        "native engine unless `dtype` is set. int8 takes a quarter of the memory, int4 down to a sixth; "
        "what a checkpoint has in fewer bits stays as it is",
    ),
    "memory_mb": _Rule(
        lambda value: value is None or (_is_count(value) and value >= LEAST_MEMORY_MB),
        f"a whole number of megabytes, at least {LEAST_MEMORY_MB}, or null for a quarter of the free memory",
        {"type": ["integer", "null"], "minimum": LEAST_MEMORY_MB},
        "the most memory, in MB, that the native engine takes for what it has computed of open files (the KV "
        "cache), besides the weights; `null` is a quarter of what is free when the model is loaded",
    ),
    "max_tokens": _Rule(
        lambda value: _is_count(value) and value > 0,
        "a whole number, at least 1",
        {"type": "integer", "minimum": 1},
        "the maximum number of tokens in a completion",
    ),
    "latency_budget_ms": _Rule(
        lambda value: value is None or (_is_number(value) and value > 0),
        "a number of milliseconds above 0, or null for no limit",
        {"type": ["number", "null"], "exclusiveMinimum": 0},
        "after this many milliseconds, the complete part of a completion is shown while the rest is "
        "generated in the background; `null` is no limit",
    ),
    "temperature": _Rule(
        lambda value: _is_number(value) and value >= 0,
        "a number, at least 0",
        {"type": "number", "minimum": 0},
        "sampling temperature; 0 always takes the most likely token",
    ),
    "top_k": _Rule(
        _is_count,
        "a whole number, at least 0",
        {"type": "integer", "minimum": 0},
        "sample from the k most likely tokens; 0 is off",
    ),
    "top_p": _Rule(
        lambda value: _is_number(value) and 0 < value <= 1,
        "a number above 0, at most 1",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "sample from the most likely tokens with this total probability; 1 is off",
    ),
    "multiline": _switch("whether completions may have several lines"),
    "languages": _Rule(
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(key, str) and isinstance(on, bool) for key, on in value.items())
        ),
        'an object of languages and true or false, such as {"markdown": false}',
        {"type": "object", "additionalProperties": {"type": "boolean"}, "default": {}},
        "the languages that get completions, by the editor's names for them: "
        '`{"markdown": false}` is all but one, `{"*": false, "python": true}` that one alone',
        lambda value: LanguageSwitches(tuple(value.items())),
    ),
    "metrics": _switch(
        "whether to count completions for `fimble stats`; counts stay on this machine and hold neither code "
        "nor file names"
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
