"""Draws the log of a training run: loss and exact match over the tokens that were read."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curves(log: Path, target: Path) -> None:
    """Draw `log.jsonl` into an SVG or PNG file.

    Raises:
        ValueError: matplotlib is not installed, or there is nothing to draw.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ValueError("curves are drawn with matplotlib: pip install 'fimble[plot]'") from None
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    if not records:
        raise ValueError(f"{log} is empty: train for some minutes first")
    tokens = [record["tokens"] / 1e6 for record in records]
    matched = any(record["exact_match_psm"] or record["exact_match_spm"] for record in records)
    figure = Figure(figsize=(8 if matched else 4.5, 3), layout="constrained")
    every = figure.subplots(1, 2 if matched else 1, squeeze=False)[0]
    for axes in every:
        axes.set_xlabel("tokens read, millions")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].plot(tokens, [record["held_out_loss"] for record in records], color="tab:blue")
    every[0].set_title("loss on held-out packages, nats a token", fontsize=10)
    if matched:  # otherwise there is nothing to see yet
        for layout, colour in (("psm", "tab:orange"), ("spm", "tab:green")):
            shares = [100 * record[f"exact_match_{layout}"] for record in records]
            every[1].plot(tokens, shares, color=colour, label=layout.upper())
        every[1].set_title("exact match on rests of held-out lines, %", fontsize=10)
        every[1].legend(frameon=False)
    with rc_context({"svg.hashsalt": "fimble", "svg.fonttype": "none"}):  # reproducible output
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
