"""Text to tokens and back; no text can forge a control token."""

from model_runtime.tokenization.tokenizer import IncrementalDecoder, Tokenizer

__all__ = [
    "IncrementalDecoder",
    "Tokenizer",
]
