"""The language server: connections, the editor's workspace and settings, the model, Copilot's dialect."""

from lsp_server.server.serving import serve_stdio, serve_tcp

__all__ = ["serve_stdio", "serve_tcp"]
