from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from model_runtime.training.infilling import make_example, windows
from tests.model_runtime.training.wheels import module

SOURCE = st.text(alphabet=st.sampled_from("ab (:)\t\n\n    é🎉"), max_size=400)


@given(text=SOURCE, seed=st.integers(0, 2**32))
def test_the_three_parts_of_an_example_are_the_window(text: str, seed: int) -> None:
    example = make_example(text, Random(seed))
    assert example.prefix + example.middle + example.suffix == text


@given(seed=st.integers(0, 2**32))
def test_windows_are_whole_lines_and_together_the_file(seed: int) -> None:
    text = module(3, functions=60)
    cut = list(windows(text, 2000, Random(seed)))
    assert "".join(cut) == text
    assert all(window.endswith("\n") for window in cut)
    assert max(map(len, cut)) <= 2000


def test_a_line_longer_than_a_window_stays_whole() -> None:
    text = "x = 1\n" + "y" * 5000 + "\nz = 2\n"
    assert "".join(windows(text, 2000, Random(0))) == text


def test_both_layouts_and_plain_text_come_about() -> None:
    random = Random(0)
    layouts = [make_example(module(1), random).layout for _ in range(300)]
    assert {layout: layouts.count(layout) > 30 for layout in ("plain", "psm", "spm")} == {
        "plain": True,
        "psm": True,
        "spm": True,
    }
