"""The language server, its command line and its tools. This package never imports torch."""

__version__ = "0.1.0"
