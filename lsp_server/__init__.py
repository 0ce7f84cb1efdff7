"""Speaks LSP; knows text, positions and people, and never imports torch."""

__version__ = "0.1.0"
