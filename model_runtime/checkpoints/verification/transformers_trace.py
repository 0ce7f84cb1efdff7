"""Traces transformers' model of a checkpoint, for `fimble verify`.

Forward hooks record the modules' outputs, and rotated keys and values are read from the cache. Rotated
queries are only visible to a method of CodeGen's and GPT-J's attention, and for other families to the
attention function that transformers looks up in its registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model_runtime.api import UnsupportedModel
from model_runtime.checkpoints.folder import some
from model_runtime.checkpoints.verification.trace import Trace, TracePoint

Model = Any  # transformers' models; it is imported only for verification


class _Names(NamedTuple):
    """The names of a model's parts in transformers."""

    blocks: str
    attention: str
    final_norm: str
    mlp: str = "mlp"


NAMES = (_Names("h", "attn", "ln_f"), _Names("layers", "self_attn", "norm"))
"""As in GPT-2 and as in Llama; every family follows one of them."""


@torch.inference_mode()
def trace_transformers(
    path: Path, tokens: Sequence[int], steps: int, *, device: torch.device, dtype: torch.dtype
) -> Trace:
    """Load the checkpoint in `path`, compute `tokens`, and `steps` greedy tokens after them.

    Raises:
        UnsupportedModel: it cannot load the checkpoint, or its model has unknown parts.
    """
    model = _load(path, device, dtype)
    trace, cache = Trace(), _transformers().DynamicCache()
    with _recording(model, trace):
        logits = _forward(model, tokens, cache)
    trace.record(TracePoint("logits"), logits)
    for layer, cached in enumerate(cache.layers):  # tensors of (1, kv_heads, length, head_dim)
        trace.record(TracePoint("keys", layer), cached.keys[0].transpose(0, 1))
        trace.record(TracePoint("values", layer), cached.values[0].transpose(0, 1))
    token = trace.choose(logits[-1])
    for _ in range(steps - 1):
        token = trace.choose(_forward(model, [token], cache)[-1])
    return trace


def _forward(model: Model, tokens: Sequence[int], cache: Any) -> Tensor:
    """The logits after each of `tokens`, (length, vocab)."""
    ids = torch.tensor([tokens], device=model.device)
    logits: Tensor = model(ids, past_key_values=cache, use_cache=True).logits[0]
    return logits


def _load(path: Path, device: torch.device, dtype: torch.dtype) -> Model:
    with _quiet():
        try:
            loaded = _transformers().AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise UnsupportedModel(f"{path}: transformers cannot load it ({error})") from error
    model, info = loaded
    # They would be initialised at random, with no more than a warning.
    if missing := [str(name) for name in info["missing_keys"]]:
        raise UnsupportedModel(f"{path}: transformers does not find {some(missing)} in it")
    return model.to(device).train(False)


def _transformers() -> Any:
    """The package transformers, which takes seconds to import."""
    return import_module("transformers")


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off transformers' progress bars and warnings."""
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _recording(model: Model, trace: Trace) -> Iterator[None]:
    """Record the outputs of the parts of `model` in `trace`."""
    body = model.base_model
    names = next((names for names in NAMES if hasattr(body, names.blocks)), None)
    if names is None:
        raise UnsupportedModel(f"verify does not know the parts of transformers' {type(model).__name__}")
    blocks = getattr(body, names.blocks)
    attentions = [getattr(block, names.attention) for block in blocks]
    with ExitStack() as hooks:

        def watch(module: Any, point: TracePoint) -> None:
            hooks.callback(module.register_forward_hook(partial(_record_output, trace, point)).remove)

        hooks.callback(blocks[0].register_forward_pre_hook(partial(_record_input, trace)).remove)
        for layer, block in enumerate(blocks):
            watch(attentions[layer], TracePoint("attention", layer))
            watch(getattr(block, names.mlp), TracePoint("MLP", layer))
            watch(block, TracePoint("block", layer))
        watch(getattr(body, names.final_norm), TracePoint("final norm"))
        _record_queries(attentions, trace, hooks)
        yield


def _record_input(trace: Trace, _: Any, inputs: tuple[Any, ...]) -> None:
    trace.record(TracePoint("embedding"), inputs[0][0])


def _record_output(trace: Trace, point: TracePoint, _: Any, __: Any, output: Any) -> None:
    hidden = output[0] if isinstance(output, tuple) else output  # (1, length, width)
    trace.record(point, hidden[0])


def _record_queries(attentions: Sequence[Any], trace: Trace, hooks: ExitStack) -> None:
    if hasattr(attentions[0], "_attn"):
        for layer, attention in enumerate(attentions):
            attention._attn = _recording_queries(trace, layer, attention._attn)
            hooks.callback(delattr, attention, "_attn")  # reveals the class's method again
        return
    registry: Any = import_module("transformers.modeling_utils").ALL_ATTENTION_FUNCTIONS
    layers, attend = {attention: layer for layer, attention in enumerate(attentions)}, registry["sdpa"]

    def recorded(module: Any, *inputs: Any, **options: Any) -> Any:
        if module not in layers:  # another model, in another thread
            return attend(module, *inputs, **options)
        return _recording_queries(trace, layers[module], partial(attend, module))(*inputs, **options)

    registry["sdpa"] = recorded
    hooks.callback(registry.__setitem__, "sdpa", attend)


def _recording_queries(trace: Trace, layer: int, attend: Callable[..., Any]) -> Callable[..., Any]:
    """Record the first input of `attend`: the queries, (1, heads, length, head_dim)."""

    def run(query: Tensor, *inputs: Any, **options: Any) -> Any:
        trace.record(TracePoint("queries", layer), query[0].transpose(0, 1))
        return attend(query, *inputs, **options)

    return run
