"""Training on source code: fill-in-the-middle examples, rows of tokens, and a resumable training loop.

Knows of no particular model: a network, its tokenizer and its optimizers are given. Imports torch.
"""

from model_runtime.training.examples import Example, Layout, Mixture, draw_examples
from model_runtime.training.loss import ExactMatch, exact_match
from model_runtime.training.optimizers import Muon
from model_runtime.training.packing import Packer, SpecialTokens
from model_runtime.training.rows import RowFiles, Rows, read_row_files, write_row_files
from model_runtime.training.saved_state import load_state, save_state
from model_runtime.training.trainer import Progress, Trainer, TrainingData, TrainingOptions

__all__ = [
    "ExactMatch",
    "Example",
    "Layout",
    "Mixture",
    "Muon",
    "Packer",
    "Progress",
    "RowFiles",
    "Rows",
    "SpecialTokens",
    "Trainer",
    "TrainingData",
    "TrainingOptions",
    "draw_examples",
    "exact_match",
    "load_state",
    "read_row_files",
    "save_state",
    "write_row_files",
]
