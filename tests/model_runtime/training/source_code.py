"""Generated Python source, and a tokenizer for it."""

from __future__ import annotations

from tokenizers import Tokenizer

from model_runtime.models import DEFAULT_MODEL


def default_tokenizer() -> Tokenizer:
    """The default model's, whose control tokens are the ids 0 to 4."""
    return Tokenizer.from_file(str(DEFAULT_MODEL / "tokenizer.json"))


def module(seed: int, functions: int = 6) -> str:
    """Python source that differs from seed to seed, by more than names."""
    parts = [f'"""Module {seed} of the corpus."""\n\nimport math\n']
    for index in range(functions):
        word = f"value_{seed}_{index}"
        parts.append(
            f"\n\ndef compute_{word}(first, second):\n"
            f'    """Return {word} of two numbers."""\n'
            f"    total = first * {seed + index} + second\n"
            f"    if total > {seed * 7 + index * 3}:\n"
            f"        return math.sqrt(total) - {index}\n"
            f"    for step_{seed}{index} in range({index + 1}):\n"
            f"        total += step_{seed}{index} ** {seed % 5 + 1}\n"
            f"    return total / {seed + 1}\n"
        )
    return "".join(parts)
