"""Greedy tokens of the native engine and of torch's decoder with the same quantised weights in fp32.

    python -m benchmarks.native_agreement [--model MODEL] [--lines 2000] [--tokens 12] [--context 256]

Every line begins in a file of Python's standard library; both decoders get the tokens before it and write on.
Where they differ, the likeliest two tokens are compared: if their logits are as near to each other as the two
decoders' are, either token is right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from random import Random
from statistics import median

import numpy as np
import torch
from rich.progress import track

from benchmarks.quantization_quality import files_of
from model_runtime.checkpoints import AnyDecoder, load
from model_runtime.decoding import Logits, Sampler, as_logits, generate
from model_runtime.models import resolve
from model_runtime.native import GroupedMatrix, NativeDecoder
from model_runtime.tokenization.tokenizer import Tokenizer
from model_runtime.torch_decoder import Decoder


def restored(native: NativeDecoder) -> Decoder:
    """torch's decoder with the weights of a native one."""
    return Decoder(
        native.config,
        {
            name: torch.from_numpy(weight.dequantized() if isinstance(weight, GroupedMatrix) else weight)
            for name, weight in native.weights.items()
        },
    )


def prompts(tokenizer: Tokenizer, count: int, context: int, seed: int) -> list[list[int]]:
    """The tokens before `count` lines at random places, at most `context` of them."""
    random, found = Random(seed), list[list[int]]()
    files = files_of(None)
    while len(found) < count:
        text = random.choice(files).text
        start = text.rfind("\n", 0, random.randrange(200, len(text))) + 1
        tokens = tokenizer.encode(text[max(0, start - 8 * context) : start])[-context:]
        if len(tokens) > 8:
            found.append(tokens)
    return found


def continued(decoder: AnyDecoder, prompt: Sequence[int], count: int) -> list[int]:
    made = generate(decoder, decoder.new_cache(), prompt, Sampler(), max_tokens=count, chunk=len(prompt))
    return [token for token in made if token is not None]


def error(ours: Logits, theirs: Logits) -> float:
    """The root of the mean square of the difference, relative to that of `theirs`."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", help="a folder, a GGUF file or a name; the default model where not given")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=12, help="to write at each line")
    parser.add_argument("--context", type=int, default=256, help="the most tokens before a line")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8, help="to quantise floats to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load(
        resolve(options.model),
        device="cpu",
        dtype="fp32",
        matrices="int8" if options.bits == 8 else "int4",
    )
    assert isinstance(model.decoder, NativeDecoder), "there is no native engine"
    reference = restored(model.decoder)
    tokenizer = Tokenizer(model.tokenizer, model.tokenizer_settings)
    equal = ties = 0
    errors: list[float] = []
    lines = prompts(tokenizer, options.lines, options.context, options.seed)
    for prompt in track(lines, description="lines", transient=True):
        ours = continued(model.decoder, prompt, options.tokens)
        theirs = continued(reference, prompt, options.tokens)
        equal += ours == theirs
        same = next((i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]), None)
        until = [*prompt, *ours[:same]]
        found, expected = (
            as_logits(each.forward(until, each.new_cache())) for each in (model.decoder, reference)
        )
        errors.append(error(found, expected))
        if same is not None:
            second, best = np.sort(expected)[-2:]
            ties += bool(best - second <= 2 * np.abs(found - expected).max())
    middle, most = median(errors), max(errors)
    sys.stdout.write(
        f"{equal:,} of {len(lines):,} lines have equal tokens; {ties} of the others begin with a tie\n"
        f"logits differ by {middle:.1e} of their size (median), {most:.1e} at most\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
