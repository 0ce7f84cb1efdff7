"""Models of real shapes with random weights, created on the device, and their speed.

Both our decoder and transformers' models; nothing is read from a file or a hub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from model_runtime.checkpoints.families import family_of
from model_runtime.decoding import DecoderConfig, Drafter, Sampler, generate, weight_shapes
from model_runtime.torch_decoder import Acceleration, Decoder, Int8Weight, quantize

Facts = Mapping[str, Any]
Kind = Literal["float", "int8"]

_GPT: Facts = {"bos_token_id": 0, "eos_token_id": 0, "layer_norm_epsilon": 1e-5}
_BIGCODE: Facts = {
    **_GPT, "model_type": "gpt_bigcode", "activation_function": "gelu_pytorch_tanh", "multi_query": True,
    "n_positions": 8192, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip

SHAPES: dict[str, Facts] = {
    # huggingface.co/Salesforce/codegen-16B-mono, config.json
    "CodeGen-16B": {
        **_GPT, "model_type": "codegen", "activation_function": "gelu_new", "n_positions": 2048,
        "n_ctx": 2048, "n_embd": 6144, "n_layer": 34, "n_head": 24, "n_inner": None, "rotary_dim": 64,
        "vocab_size": 51200, "tie_word_embeddings": False,
    },
    # huggingface.co/bigcode/starcoder and starcoderbase-1b, config.json
    "StarCoder-15B": {**_BIGCODE, "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24576},
    "StarCoder-1B": {**_BIGCODE, "n_embd": 2048, "n_layer": 24, "n_head": 16, "n_inner": 8192},
}  # fmt: skip

Size = Literal["real", "toy", "interpreted"]
"""Of a benchmark on a GPU, of a test run on a CPU, and of one with kernels in Triton's interpreter."""

SMALL: dict[Size, Facts] = {
    "toy": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 512},
    "interpreted": {"n_embd": 16, "n_layer": 1, "n_head": 4, "vocab_size": 33},
}

PIECE = 512
"""Tokens in a prefill chunk."""

PERIOD = 32
"""Our CodeGen-shaped models count to this, over and over: the most repetitive text."""


def shape(name: str, size: Size) -> Facts:
    """A model's config.json, or a small one of its family."""
    facts = SHAPES[name]
    if size == "real":
        return facts
    small = SMALL[size]
    inner = {"n_inner": None if facts["n_inner"] is None else 4 * small["n_embd"]}
    turned = {"rotary_dim": small["n_embd"] // small["n_head"] // 2} if "rotary_dim" in facts else {}
    return {**facts, **small, **inner, **turned}


def decoder_config(facts: Facts) -> DecoderConfig:
    return family_of(facts).decoder_config(facts)


def random_weights(
    config: DecoderConfig, dtype: torch.dtype, device: torch.device, *, int8: bool
) -> dict[str, Tensor | Int8Weight]:
    """Random weights; with an untied head, those of a model that counts, modulo `PERIOD`.

    The output of blocks is small, so that the residual stream stays close to the token's embedding, and the
    head is the embedding shifted by one row. Speed does not depend on the weights.
    """
    generator = torch.Generator(device).manual_seed(0)
    weights: dict[str, Tensor | Int8Weight] = {}
    for name, size in weight_shapes(config).items():
        if len(size) == 1:
            fill = 1.0 if name.endswith("norm.weight") else 0.0
            weights[name] = torch.full(size, fill, dtype=dtype, device=device)
            continue
        quiet = name.endswith(("attention_out.weight", "mlp_down.weight")) or name.startswith("positions")
        tensor = torch.empty(size, dtype=dtype, device=device)
        tensor.normal_(0.0, 1e-4 if quiet else 0.02, generator=generator)
        if name == "head.weight":
            tensor.copy_(_embedding(weights, dtype).roll(1, dims=0))
            tensor[0] = _embedding(weights, dtype)[PERIOD - 1]
        weights[name] = quantize(tensor) if int8 and not name.startswith("positions") else tensor
    return weights


def _embedding(weights: Mapping[str, Tensor | Int8Weight], dtype: torch.dtype) -> Tensor:
    table = weights["embedding.weight"]
    return table.dequantized(dtype) if isinstance(table, Int8Weight) else table


def open_ours(
    facts: Facts, dtype: torch.dtype, device: torch.device, kind: Kind,
    accelerated: Acceleration | None = None,
) -> Decoder:  # fmt: skip
    config = decoder_config(facts)
    return Decoder(config, random_weights(config, dtype, device, int8=kind == "int8"), accelerated)


def open_theirs(facts: Facts, dtype: torch.dtype, device: torch.device) -> Any:
    """transformers' own model, with its default initialization."""
    from transformers import AutoConfig, AutoModelForCausalLM

    given = dict(facts)
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    return model.to(device).eval()


@dataclass(frozen=True)
class Speed:
    """Greedy decoding after a prompt: seconds in total, to the first token, and for each further token."""

    total: float
    first: float
    token: float
    tokens: list[int]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed(
    decoder: Decoder,
    prompt: Sequence[int],
    count: int,
    runs: int,
    drafter: Callable[[], Drafter] | None = None,
) -> Speed:
    """Greedy decoding: the median of so many runs, after one that compiles and records graphs."""
    cache = decoder.new_cache(min(decoder.config.context_length, len(prompt) + count))
    found = []
    for _ in range(1 + runs):
        cache.rewind(0)
        synchronize(decoder.device)
        drafts, begun = drafter() if drafter else None, time.perf_counter()
        times, tokens = [], []
        for token in generate(
            decoder, cache, prompt, Sampler(), max_tokens=count, chunk=PIECE, drafter=drafts
        ):
            if token is not None:
                times.append(time.perf_counter() - begun)
                tokens.append(token)
        found.append(Speed(times[-1], times[0], (times[-1] - times[0]) / (count - 1), tokens))
    return sorted(found[1:], key=lambda run: run.total)[runs // 2]


def theirs_speed(model: Any, prompt: Sequence[int], count: int) -> float:
    """Seconds of transformers' `generate` for the same; one run, after a short warm-up."""
    ids = torch.tensor([list(prompt)], device=model.device)
    options = {"do_sample": False, "attention_mask": torch.ones_like(ids), "pad_token_id": 0}
    for length in (3, count):
        synchronize(model.device)
        begun = time.perf_counter()
        output = model.generate(ids, max_new_tokens=length, min_new_tokens=length, **options)
        synchronize(model.device)
    assert output.shape[1] == len(prompt) + count
    return time.perf_counter() - begun


def step_bytes(decoder: Decoder, length: int) -> int:
    """Bytes that a step must read: the weights, and the keys and values of `length` tokens."""
    config = decoder.config
    cached = 2 * config.layers * config.kv_heads * config.head_dim * decoder.dtype.itemsize
    return decoder.step_bytes + cached * length
