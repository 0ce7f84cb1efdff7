"""transformers' own model of a checkpoint, watched at work: the other side of `verify`.

What modules give is seen by forward hooks, and rotated keys and values are read from the cache. Queries
appear nowhere but on their way into the scores: in a method of CodeGen's and GPT-J's attention, and elsewhere
in the attention function that transformers looks up in its registry.
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
from model_runtime.checkpoints.reading import some
from model_runtime.checkpoints.verification.trace import Spot, Trace

Model = Any  # transformers' models: it is imported only where somebody verifies


class _Names(NamedTuple):
    """What transformers calls the parts of a model."""

    blocks: str
    attention: str
    final_norm: str
    mlp: str = "mlp"


NAMES = (_Names("h", "attn", "ln_f"), _Names("layers", "self_attn", "norm"))
"""After GPT-2 and after Llama: all families follow one of them."""


@torch.inference_mode()
def trace_theirs(
    path: Path, tokens: Sequence[int], steps: int, *, device: torch.device, dtype: torch.dtype
) -> Trace:
    """Load the checkpoint in `path`, compute `tokens` and as many greedy `steps` after them.

    Raises:
        UnsupportedModel: it cannot load the checkpoint, or has parts that are not known here.
    """
    model = _load(path, device, dtype)
    trace, cache = Trace(), _transformers().DynamicCache()
    with _watched(model, trace):
        logits = _forward(model, tokens, cache)
    trace.see(Spot("logits"), logits)
    for layer, kept in enumerate(cache.layers):  # tensors of (1, kv_heads, length, head_dim)
        trace.see(Spot("keys", layer), kept.keys[0].transpose(0, 1))
        trace.see(Spot("values", layer), kept.values[0].transpose(0, 1))
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
    with _silent():
        try:
            loaded = _transformers().AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise UnsupportedModel(f"{path}: transformers cannot load it ({error})") from error
    model, info = loaded
    # It would draw them at random, with no more than a warning.
    if missing := [str(name) for name in info["missing_keys"]]:
        raise UnsupportedModel(f"{path}: transformers does not find {some(missing)} in it")
    return model.to(device).train(False)


def _transformers() -> Any:
    """The package transformers, which takes seconds to import."""
    return import_module("transformers")


@contextmanager
def _silent() -> Iterator[None]:
    """No progress bars and warnings from transformers: what it loads is ours to tell of."""
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
def _watched(model: Model, trace: Trace) -> Iterator[None]:
    """Show `trace` what the parts of `model` give, while this lasts."""
    body = model.base_model
    names = next((names for names in NAMES if hasattr(body, names.blocks)), None)
    if names is None:
        raise UnsupportedModel(f"verify does not know the parts of transformers' {type(model).__name__}")
    blocks = getattr(body, names.blocks)
    attentions = [getattr(block, names.attention) for block in blocks]
    with ExitStack() as hooks:

        def watch(module: Any, spot: Spot) -> None:
            hooks.callback(module.register_forward_hook(partial(_see_output, trace, spot)).remove)

        hooks.callback(blocks[0].register_forward_pre_hook(partial(_see_input, trace)).remove)
        for layer, block in enumerate(blocks):
            watch(attentions[layer], Spot("attention", layer))
            watch(getattr(block, names.mlp), Spot("MLP", layer))
            watch(block, Spot("block", layer))
        watch(getattr(body, names.final_norm), Spot("final norm"))
        _watch_queries(attentions, trace, hooks)
        yield


def _see_input(trace: Trace, _: Any, inputs: tuple[Any, ...]) -> None:
    trace.see(Spot("embedding"), inputs[0][0])


def _see_output(trace: Trace, spot: Spot, _: Any, __: Any, output: Any) -> None:
    hidden = output[0] if isinstance(output, tuple) else output  # (1, length, width)
    trace.see(spot, hidden[0])


def _watch_queries(attentions: Sequence[Any], trace: Trace, hooks: ExitStack) -> None:
    if hasattr(attentions[0], "_attn"):
        for layer, attention in enumerate(attentions):
            attention._attn = _seeing_queries(trace, layer, attention._attn)
            hooks.callback(delattr, attention, "_attn")  # the class's method shows again
        return
    registry: Any = import_module("transformers.modeling_utils").ALL_ATTENTION_FUNCTIONS
    layers, attend = {attention: layer for layer, attention in enumerate(attentions)}, registry["sdpa"]

    def watched(module: Any, *inputs: Any, **options: Any) -> Any:
        if module not in layers:  # another model, in another thread
            return attend(module, *inputs, **options)
        return _seeing_queries(trace, layers[module], partial(attend, module))(*inputs, **options)

    registry["sdpa"] = watched
    hooks.callback(registry.__setitem__, "sdpa", attend)


def _seeing_queries(trace: Trace, layer: int, attend: Callable[..., Any]) -> Callable[..., Any]:
    """`attend`, whose first input are the queries, (1, heads, length, head_dim)."""

    def run(query: Tensor, *inputs: Any, **options: Any) -> Any:
        trace.see(Spot("queries", layer), query[0].transpose(0, 1))
        return attend(query, *inputs, **options)

    return run
