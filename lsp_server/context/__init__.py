"""Snippets of other open files that are worth showing to the model, and what is never shown."""

from lsp_server.context.selection import Context

__all__ = [
    "Context",
]
