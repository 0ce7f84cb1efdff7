"""Evaluation on tasks with known answers: HumanEval, HumanEval-infilling, lines of held-out packages.

Imports no torch.
"""

from model_runtime.evaluation.answers import Answers, model_key
from model_runtime.evaluation.evaluating import EvaluatedModel, Plan, complete, evaluate
from model_runtime.evaluation.lines import Kind, LineTask, draw_line_tasks, find_gaps
from model_runtime.evaluation.source_files import SourceFile, read_source_files
from model_runtime.evaluation.tasks import EVALUATION_SETS

__all__ = [
    "EVALUATION_SETS",
    "Answers",
    "EvaluatedModel",
    "Kind",
    "LineTask",
    "Plan",
    "SourceFile",
    "complete",
    "draw_line_tasks",
    "evaluate",
    "find_gaps",
    "model_key",
    "read_source_files",
]
