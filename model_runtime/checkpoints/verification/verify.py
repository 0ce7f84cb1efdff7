"""Compares fimble's decoder with transformers' model of the same checkpoint, part by part.

The two models are opened one after the other, so that memory holds one at a time, and only their traces are
kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import tokenizers

from model_runtime.api import (
    CorruptCheckpoint,
    Dtype,
    InvalidRequest,
    LoadProgress,
    ModelNotFound,
    UnsupportedModel,
    Verification,
)
from model_runtime.checkpoints.folder import read_json
from model_runtime.checkpoints.loading import LoadedModel, load

ROUNDING: Mapping[Dtype, float] = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2}
"""The relative difference that rounding may cause in a deep model. With 16 layers, initialised as for
training, two correct implementations differ by 1e-6, 2e-3 and 2e-2; in fp32, mistakes are seldom as small as
a hundred times that."""

GREEDY_STEPS = 32

SNIPPET = '''\
from collections import Counter


class Inventory:
    """What is in stock, by article number — naïve, but quick."""

    def __init__(self, items: dict[str, int] | None = None) -> None:
        self._items = Counter(items or {})

    def take(self, article: str, count: int = 1) -> bool:
        if self._items[article] < count:
            return False
        self._items[article] -= count
        return True
'''
"""The default input: code with a little of everything."""


def verify_checkpoint(
    path: Path,
    *,
    device: str,
    dtype: Dtype,
    text: str | None = None,
    max_tokens: int = 64,
    tolerance: float | None = None,
    reference: Path | None = None,
    progress: LoadProgress | None = None,
) -> Verification:
    """Compare the decoder of the checkpoint folder `path` with transformers' model.

    Args and errors are those of `model_runtime.verify`; `reference` is the folder that transformers loads, if
    it is another one with the same tokens.
    """
    import torch

    from model_runtime.checkpoints.verification.compare import compare_greedy, compare_parts
    from model_runtime.checkpoints.verification.decoder_trace import trace_decoder
    from model_runtime.checkpoints.verification.transformers_trace import trace_transformers
    from model_runtime.torch_decoder import DTYPES, Decoder

    if max_tokens < 1:
        raise InvalidRequest(f"{max_tokens} tokens: compare at least 1")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InvalidRequest(f"the tolerance is {tolerance}: use 0 or more")
    tolerance = ROUNDING[dtype] if tolerance is None else tolerance
    reference = reference or path
    _check_readable_by_transformers(reference)
    report = progress or (lambda share, what: None)
    model = load(path, device=device, dtype=dtype, progress=lambda share, what: report(share / 3, what))
    name, family, config = model.name, model.family, model.decoder.config
    steps = min(GREEDY_STEPS, max(1, config.context_length // 2))
    room = max(1, config.context_length - steps)
    tokens = _encode(model, SNIPPET if text is None else text)[: min(max_tokens, room)]
    report(1 / 3, "computing with fimble")
    assert isinstance(model.decoder, Decoder), "floats are computed with torch"
    traced = trace_decoder(model.decoder, tokens, steps)
    del model  # before the next one is opened
    report(2 / 3, "computing with transformers")
    expected = trace_transformers(reference, tokens, steps, device=torch.device(device), dtype=DTYPES[dtype])
    return Verification(
        model=name,
        family=family,
        device=device,
        dtype=dtype,
        tokens=len(tokens),
        tolerance=tolerance,
        differences=tuple(compare_parts(traced, expected, config, tolerance)),
        greedy=compare_greedy(traced, expected, tolerance),
    )


def _check_readable_by_transformers(path: Path) -> None:
    if path.is_file():
        raise UnsupportedModel(f"{path} is a file: verify compares folders that transformers loads")
    config = path / "config.json"
    if config.is_file() and read_json(config).get("quantization_config"):
        raise UnsupportedModel(f"{path} is quantised: `fimble convert SRC DST --to hf`, then verify DST")


def _encode(model: LoadedModel, text: str) -> Sequence[int]:
    """The ids of `text` by the checkpoint's own tokenizer, including what it puts before a text."""
    assert isinstance(model.tokenizer, Path), "only folders are verified"
    path = model.tokenizer / "tokenizer.json"
    if not path.is_file():
        raise ModelNotFound(
            f"{path.parent} has no tokenizer.json: copy it from where the checkpoint came from"
        )
    try:
        ids: list[int] = tokenizers.Tokenizer.from_file(str(path)).encode(text).ids
    except Exception as error:  # the library raises bare Exception
        raise CorruptCheckpoint(f"{path} is no sound tokenizer file ({error}): copy it again") from error
    if not ids:
        raise InvalidRequest("the text has no tokens: name a file that holds some code")
    if max(ids) >= model.decoder.config.vocab_size:
        raise CorruptCheckpoint(f"{path} has tokens that the model lacks: it is another one's")
    return ids
