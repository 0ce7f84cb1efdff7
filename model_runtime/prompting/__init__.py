"""Prompts: fill-in-the-middle layouts within a token budget, and token healing."""

from model_runtime.prompting.fim import Sentinels, find_sentinels
from model_runtime.prompting.healing import Healer
from model_runtime.prompting.prompt import Prompt, lay_out

__all__ = [
    "Healer",
    "Prompt",
    "Sentinels",
    "find_sentinels",
    "lay_out",
]
