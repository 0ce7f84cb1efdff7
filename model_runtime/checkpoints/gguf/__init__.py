"""GGUF files, read as if they were checkpoint folders."""
