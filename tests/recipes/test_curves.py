from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes.curves import draw_curves

RECORD = {"tokens": 1e6, "held_out_loss": 4.0, "exact_match_psm": 0.1, "exact_match_spm": 0.2}


@pytest.mark.parametrize("name", ["curves.svg", "curves.png"])
def test_a_log_is_drawn_reproducibly(tmp_path: Path, name: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(RECORD | {"tokens": n * 1e6}) for n in range(3)) + "\n")
    draw_curves(log, tmp_path / name)
    draw_curves(log, tmp_path / f"again-{name}")
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
    assert len((tmp_path / name).read_bytes()) > 1000


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="empty"):
        draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.svg")
