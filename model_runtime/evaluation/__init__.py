"""Evaluation on tasks with known answers: HumanEval, HumanEval-infilling, lines of held-out packages.

Imports no torch.
"""

from model_runtime.evaluation.answers import Answers, model_key
from model_runtime.evaluation.evaluating import Contestant, Plan, evaluate, write
from model_runtime.evaluation.lines import Kind, LineTask, line_places, line_tasks
from model_runtime.evaluation.source_files import SourceFile, read_source_files
from model_runtime.evaluation.tasks import EVALUATION_SETS

__all__ = [
    "EVALUATION_SETS",
    "Answers",
    "Contestant",
    "Kind",
    "LineTask",
    "Plan",
    "SourceFile",
    "evaluate",
    "line_places",
    "line_tasks",
    "model_key",
    "read_source_files",
    "write",
]
