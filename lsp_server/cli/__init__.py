"""The ``fimble`` command: one module a command, with its arguments, its work and what it prints."""

from lsp_server.cli.main import main

__all__ = ["main"]
