"""Speaks LSP; knows text, positions and people, and never imports torch."""
