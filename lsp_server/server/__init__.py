"""The language server: connections, workspaces, configuration, model loading and Copilot's protocol."""

from lsp_server.server.serving import serve_stdio, serve_tcp

__all__ = ["serve_stdio", "serve_tcp"]
