"""The training corpus: permissively licensed packages from PyPI, cleaned, decontaminated and deduplicated."""

from recipes.corpus.build import build_corpus
from recipes.corpus.sample import sample_files

__all__ = [
    "build_corpus",
    "sample_files",
]
