"""What models reach on tasks with known answers: HumanEval, HumanEval-infilling, lines of held-out packages.

`fimble eval` ▶ the package's door ▶ evaluating ▶ {tasks ▶ lines, answers, scoring, baseline, running}.
Imports no torch.
"""

from model_runtime.evaluation.answers import Answers, model_key
from model_runtime.evaluation.evaluating import Contestant, Plan, evaluate, write
from model_runtime.evaluation.lines import Kind, LineTask, line_places, line_tasks

__all__ = [
    "Answers",
    "Contestant",
    "Kind",
    "LineTask",
    "Plan",
    "evaluate",
    "line_places",
    "line_tasks",
    "model_key",
    "write",
]
