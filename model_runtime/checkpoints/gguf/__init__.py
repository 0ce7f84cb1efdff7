"""Reads GGUF files like checkpoint folders of transformers."""
